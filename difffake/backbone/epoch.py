"""One pass over the training faces, and its verdict on the validation faces."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn.functional import cross_entropy

from difffake.backbone.arrival import Arrival
from difffake.backbone.contrast import contrast_loss
from difffake.backbone.data import Batch, Images, Labels, naming_lost_processes
from difffake.backbone.device import resolve_embed_batch, uses_bf16
from difffake.backbone.embed import features_and_fake_probability
from difffake.backbone.embedder import Backbone
from difffake.backbone.learner import Learner
from difffake.backbone.sam import SharpnessAwareMinimisation
from difffake.backbone.schedule import learning_rate_at
from difffake.backbone.team import Team
from difffake.backbone.training_folder import EpochRecord
from difffake.config import BackboneConfig
from difffake.errors import DivergedError, TrainingError
from difffake.randomness import derive_seed


class BatchSource(Protocol):
    """What `TrainingBatches` offers."""

    @property
    def steps_an_epoch(self) -> int:
        """Batches of each epoch."""
        ...

    def start(self, epoch: int, /) -> None:
        """Begin to prepare an epoch."""

    def epoch(self, epoch: int, /) -> Iterator[Batch]:
        """The batches of an epoch."""
        ...


@dataclass
class _Sums:
    """Sums over an epoch; `correct` and `skipped_pairs` are this process's own, and a tensor is still on its device."""

    correct: Tensor
    images: int = 0
    loss: float = 0.0
    skipped_pairs: int = 0


@dataclass(frozen=True)
class _Step:
    """A step whose loss the device may still be working on."""

    loss: Arrival
    images: int
    where: str


class EpochRunner:
    """Takes a network through epochs; each depends on seed, epoch and the state it starts from alone.

    Of several processes each has its share of every batch and of the validation faces; loss, gradient and AUC are
    those of the whole.

    Args:
        learner: its network is on the device it is trained on.
        batches: the shares of this process.
        validation_images: (N, S, S, 3) uint8 RGB at the network's input size, this process's share.
        validation_labels: (N,) int64, 1 for fakes.
    """

    def __init__(
        self,
        learner: Learner,
        batches: BatchSource,
        validation_images: Images,
        validation_labels: Labels,
        config: BackboneConfig,
        seed: int,
        team: Team | None = None,
    ) -> None:
        backbone = learner.backbone
        self._backbone = backbone
        self._boundary = learner.boundary
        self._average = learner.average
        self._device = backbone.device
        self._team = team or Team(backbone.device)
        self._optimiser = learner.optimiser
        self._minimisation = SharpnessAwareMinimisation(backbone, learner.optimiser, config.sam_rho, self._team)
        self._batches = batches
        self._validation = validation_images, validation_labels
        self._config = config
        self._bf16 = uses_bf16(config, backbone.device)
        self._seed = seed
        self._embed_batch = resolve_embed_batch(config, backbone.device)

    def run(self, epoch: int, epochs: int, on_step: Callable[[int, int], None] | None) -> EpochRecord:
        """Train through 1-based `epoch` of `epochs` and validate; `on_step` gets the steps done and those in all.

        Raises:
            DivergedError: a loss, weight or probability is not finite.
            TrainingError: no face allowed a mask, or a process that prepares batches is lost.
        """
        start_s = time.perf_counter()
        # The loss of a process that prepares batches may be told at any time.
        with naming_lost_processes():
            sums = self.train(epoch, epochs, on_step)
            if epoch < epochs:
                self._batches.start(epoch + 1)
            self._require_finite_weights(epoch)
            with self._average.applied():
                auc = validation_auc(self._backbone, *self._validation, self._embed_batch, self._team)
        return EpochRecord(
            epoch=epoch,
            train_loss=sums.loss / sums.images,
            train_accuracy=int(sums.correct) / sums.images,
            validation_auc=auc,
            learning_rate=self._optimiser.param_groups[0]["lr"],
            seconds=time.perf_counter() - start_s,
            skipped_pairs=sums.skipped_pairs,
        )

    def train(self, epoch: int, epochs: int, on_step: Callable[[int, int], None] | None) -> _Sums:
        """The training part of `run`."""
        sums = _Sums(correct=torch.zeros((), dtype=torch.int64, device=self._device))
        steps_an_epoch = self._batches.steps_an_epoch
        steps = epochs * steps_an_epoch
        self._backbone.train()
        # What the layers draw (dropout, stochastic depth) is the epoch's own, so a resumed epoch draws it again; and
        # the process's own, as its pictures are.
        names = ("backbone", epoch) if self._team.index == 0 else ("backbone", epoch, self._team.index)
        running: _Step | None = None
        with torch.random.fork_rng(devices=[self._device] if self._device.type == "cuda" else []):
            torch.manual_seed(derive_seed(self._seed, *names))
            for step, batch in enumerate(self._batches.epoch(epoch), start=(epoch - 1) * steps_an_epoch):
                self._set_learning_rate(step, steps)
                started = self._train_on(batch, sums, where=f"epoch {epoch}, step {step + 1} of {steps}")
                # Looked at one step late: a GPU has its next step by then and need not wait for this process.
                self._count(running, sums)
                running = started
                if on_step is not None:
                    on_step(step + 1, steps)
            self._count(running, sums)
        skipped = torch.tensor(sums.skipped_pairs, device=self._device)
        self._team.sum_in_place([skipped, sums.correct])
        sums.skipped_pairs = int(skipped)
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

    def _train_on(self, batch: Batch, sums: _Sums, where: str) -> _Step | None:
        sums.skipped_pairs += batch.skipped_pairs
        count = self._team.total(len(batch.labels))
        if count == 0:
            return None
        pixels = torch.from_numpy(batch.images).to(self._device, non_blocking=True)
        labels = torch.from_numpy(batch.labels).to(self._device, non_blocking=True)
        images = self._backbone.preprocessing.normalise(pixels)
        boundaries = self._boundaries(batch)
        is_plain = boundaries is None and not self._config.contrast_weight
        videos = torch.from_numpy(batch.videos).to(self._device, non_blocking=True)
        passes: list[Tensor] = []

        def share_of_loss() -> Tensor:
            last: Tensor | None = None
            with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
                if is_plain:
                    logits = self._backbone(images)
                else:
                    last, logits = self._backbone.map_and_logits(images)
            passes.append(logits.detach())
            # Shares differ in size: each image has the same weight in the sum over the processes.
            loss = cross_entropy(logits.float(), labels, reduction="sum")
            if boundaries is not None and last is not None and self._boundary is not None:
                loss = loss + self._config.boundary_weight * self._boundary.loss(last, boundaries)
            if self._config.contrast_weight and last is not None:
                loss = loss + self._config.contrast_weight * contrast_loss(self._backbone.pooled(last), videos)
            return loss / count

        loss = self._minimisation.step(share_of_loss)
        self._average.update()
        sums.correct += (passes[0].argmax(dim=1) == labels).sum()
        return _Step(Arrival(loss), count, where)

    def _boundaries(self, batch: Batch) -> Tensor | None:
        if self._boundary is None or batch.boundaries is None:
            return None
        return torch.from_numpy(batch.boundaries).to(self._device, non_blocking=True)

    def _count(self, step: _Step | None, sums: _Sums) -> None:
        if step is None:
            return
        loss = step.loss.wait()[0].item()
        if not math.isfinite(loss):
            raise DivergedError(f"the loss is {loss} in {step.where}: {self._remedy()}")
        sums.images += step.images
        sums.loss += loss * step.images

    def _require_finite_weights(self, epoch: int) -> None:
        finite = torch.stack([parameter.detach().isfinite().all() for parameter in self._backbone.parameters()])
        if not finite.all():
            raise DivergedError(f"weights are not finite after epoch {epoch}: {self._remedy()}")

    def _remedy(self) -> str:
        return (
            f"lower backbone.learning_rate (now {self._config.learning_rate:g}) or backbone.sam_rho (now "
            f"{self._config.sam_rho:g})"
        )


def validation_auc(
    backbone: Backbone, images: Images, labels: Labels, batch_size: int, team: Team | None = None
) -> float:
    """Area under the ROC curve of the fake probability over (N, S, S, 3) uint8 images with (N,) labels, 1 for fakes.

    Raises:
        DivergedError: a probability is not finite.
    """
    parts = [
        features_and_fake_probability(backbone, images[start : start + batch_size])[1]
        for start in range(0, len(images), batch_size)
    ]
    own = torch.from_numpy(np.concatenate(parts) if parts else np.zeros(0, np.float32))
    everybody = team or Team(backbone.device)
    fake_probability = everybody.concatenate(own).cpu().numpy()
    if not np.isfinite(fake_probability).all():
        raise DivergedError(
            "the network answers validation faces with probabilities that are not finite: lower "
            "backbone.learning_rate or backbone.sam_rho"
        )
    return float(roc_auc_score(everybody.concatenate(torch.from_numpy(labels)).cpu().numpy(), fake_probability))
