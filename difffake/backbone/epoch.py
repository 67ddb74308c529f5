"""One pass over the training faces, and its verdict on the validation faces."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn.functional import cross_entropy

from difffake.backbone.data import Batch, Images, Labels, TrainingBatches
from difffake.backbone.embed import embed_images
from difffake.backbone.embedder import Backbone
from difffake.backbone.sam import SharpnessAwareMinimisation
from difffake.backbone.schedule import learning_rate_at
from difffake.backbone.training_folder import EpochRecord
from difffake.config import BackboneConfig
from difffake.errors import TrainingError
from difffake.randomness import derive_seed


@dataclass
class _Sums:
    """Sums over an epoch."""

    images: int = 0
    loss: float = 0.0
    correct: int = 0
    skipped_pairs: int = 0


class EpochRunner:
    """Takes a network through epochs; each depends on seed, epoch and the state it starts from alone.

    Args:
        backbone: on the device it is trained on.
        validation_images: (N, S, S, 3) uint8 RGB at the network's input size.
        validation_labels: (N,) int64, 1 for fakes.
    """

    def __init__(
        self,
        backbone: Backbone,
        optimiser: torch.optim.Optimizer,
        batches: TrainingBatches,
        validation_images: Images,
        validation_labels: Labels,
        config: BackboneConfig,
        seed: int,
    ) -> None:
        self._backbone = backbone
        self._device = backbone.device
        self._optimiser = optimiser
        self._minimisation = SharpnessAwareMinimisation(backbone, optimiser, config.sam_rho)
        self._batches = batches
        self._validation = validation_images, validation_labels
        self._config = config
        self._seed = seed

    def run(self, epoch: int, on_step: Callable[[int, int], None] | None) -> EpochRecord:
        """Train through 1-based `epoch` and validate; `on_step` gets the steps done and those of the whole training.

        Raises:
            TrainingError: a loss or probability is not finite, or no face allowed a mask.
        """
        start_s = time.perf_counter()
        sums = self._train(epoch, on_step)
        auc = validation_auc(self._backbone, *self._validation, self._config.embed_batch)
        return EpochRecord(
            epoch=epoch,
            train_loss=sums.loss / sums.images,
            train_accuracy=sums.correct / sums.images,
            validation_auc=auc,
            learning_rate=self._optimiser.param_groups[0]["lr"],
            seconds=time.perf_counter() - start_s,
            skipped_pairs=sums.skipped_pairs,
        )

    def _train(self, epoch: int, on_step: Callable[[int, int], None] | None) -> _Sums:
        sums = _Sums()
        steps_an_epoch = self._batches.steps_an_epoch
        steps = self._config.epochs * steps_an_epoch
        self._backbone.train()
        # What the layers draw (dropout, stochastic depth) is the epoch's own, so a resumed epoch draws it again.
        with torch.random.fork_rng(devices=[self._device] if self._device.type == "cuda" else []):
            torch.manual_seed(derive_seed(self._seed, "backbone", epoch))
            for step, batch in enumerate(self._batches.epoch(epoch), start=(epoch - 1) * steps_an_epoch):
                self._set_learning_rate(step, steps)
                self._train_on(batch, sums, where=f"epoch {epoch}, step {step + 1} of {steps}")
                if on_step is not None:
                    on_step(step + 1, steps)
        if sums.images == 0:
            raise TrainingError(
                f"no mask could be drawn on any of the {sums.skipped_pairs} faces of epoch {epoch}: "
                "their landmarks lie outside the crops or in one point; extract the faces again"
            )
        return sums

    def _set_learning_rate(self, step: int, steps: int) -> None:
        rate = learning_rate_at(step, steps, self._config.learning_rate, self._config.decay_fraction)
        for group in self._optimiser.param_groups:
            group["lr"] = rate

    def _train_on(self, batch: Batch, sums: _Sums, where: str) -> None:
        sums.skipped_pairs += batch.skipped_pairs
        if len(batch.images) == 0:
            return
        images = self._backbone.preprocessing.normalise(torch.from_numpy(batch.images).to(self._device))
        labels = torch.from_numpy(batch.labels).to(self._device)
        passes: list[Tensor] = []

        def batch_loss() -> Tensor:
            with torch.autocast(self._device.type, torch.bfloat16, enabled=self._device.type == "cuda"):
                logits = self._backbone(images)
            passes.append(logits.detach())
            return cross_entropy(logits.float(), labels)

        loss = self._minimisation.step(batch_loss).item()
        if not np.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss} in {where}: lower backbone.learning_rate (now {self._config.learning_rate:g}) or "
                "backbone.sam_rho; the checkpoint of the epoch before is kept"
            )
        sums.images += len(labels)
        sums.loss += loss * len(labels)
        sums.correct += int((passes[0].argmax(dim=1) == labels).sum())


def validation_auc(backbone: Backbone, images: Images, labels: Labels, batch_size: int) -> float:
    """Area under the ROC curve of the fake probability over (N, S, S, 3) uint8 images with (N,) labels, 1 for fakes.

    Raises:
        TrainingError: a probability is not finite.
    """
    fake_probability = np.concatenate(
        [
            embed_images(backbone, images[start : start + batch_size]).fake_probability
            for start in range(0, len(images), batch_size)
        ]
    )
    if not np.isfinite(fake_probability).all():
        raise TrainingError(
            "the network answers validation faces with probabilities that are not finite: lower "
            "backbone.learning_rate or backbone.sam_rho; the checkpoint of the epoch before is kept"
        )
    return float(roc_auc_score(labels, fake_probability))
