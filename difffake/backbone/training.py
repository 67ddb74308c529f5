"""Training of the backbone on real faces and fresh pseudo-fakes (Sec. 3.2 and 4.1).

On a CPU the weights are a function of faces, configuration and seed, to the bit for one number of threads, whether or
not the process was killed and started again. On a GPU they are so up to the order of sums: torch's switch to
deterministic algorithms is global, so it is left to the calling program.
"""

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from difffake.backbone.data import TrainingBatches
from difffake.backbone.device import resolve_device
from difffake.backbone.embedder import build_backbone
from difffake.backbone.epoch import EpochRunner
from difffake.backbone.optimiser import build_optimiser
from difffake.backbone.training_folder import EpochRecord, History, TrainingFolder
from difffake.backbone.validation import ValidationSet, render_validation_set
from difffake.config import BackboneConfig, PseudoFakesConfig
from difffake.errors import TrainingError
from difffake.faces.records import FaceSet
from difffake.randomness import derive_seed

# Bump it when the trained weights change.
STAGE_VERSION = 1
# They change how soon the weights are there, not which.
_RUNTIME_KEYS = {"device", "loader_workers", "embed_batch"}

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingResult:
    """What a training leaves in its work_dir.

    Attributes:
        best_weights: of the epoch with the highest validation AUC; `load_weights` reads it.
        kept_weights: of the `keep_best` best epochs, best first.
        history: every epoch, those before a resumption too.
    """

    best_weights: Path
    kept_weights: tuple[Path, ...]
    history: History


def train_backbone(
    config: BackboneConfig,
    pseudo_fakes: PseudoFakesConfig,
    train: FaceSet,
    validation: ValidationSet,
    work_dir: Path,
    seed: int,
    on_epoch: Callable[[EpochRecord], None] | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> TrainingResult:
    """Train to the last epoch, going on from the checkpoint in `work_dir` where there is one.

    Args:
        train: real faces of the training videos; every epoch draws fresh pseudo-fakes from them.
        validation: faces of other videos; they choose the epochs that are kept.
        work_dir: made where absent; belongs to this training alone.
        on_epoch: called after each epoch this process runs, once it is durable.
        on_step: called after each step with the steps done and the steps of the whole training.

    Raises:
        TrainingError: no faces to train on or to validate on, or numbers that are not finite.
        ArtefactError: a crop cannot be decoded, or `work_dir` belongs to another training.
        ConfigError, WeightsError: the network or its initial weights cannot be had.
    """
    _require_faces(train, validation)
    backbone = build_backbone(config, derive_seed(seed, "backbone", "initial weights"))
    backbone.to(resolve_device(config.device)).to(memory_format=torch.channels_last)
    optimiser = build_optimiser(backbone.parameters(), config)
    work_dir.mkdir(parents=True, exist_ok=True)
    digest = _training_digest(config, pseudo_fakes, train, validation, seed)
    folder = TrainingFolder(work_dir, digest, config.keep_best)
    history = folder.resume(backbone, optimiser)
    if len(history) < config.epochs:
        batches = TrainingBatches(train, config, pseudo_fakes, seed)
        images, labels = render_validation_set(validation, config.input_size_px)
        runner = EpochRunner(backbone, optimiser, batches, images, labels, config, seed)
        for epoch in range(len(history) + 1, config.epochs + 1):
            history = (*history, runner.run(epoch, on_step))
            folder.store(backbone, optimiser, history)
            _log(history[-1], config.epochs)
            if on_epoch is not None:
                on_epoch(history[-1])
    kept = folder.finish(history)
    return TrainingResult(best_weights=kept[0], kept_weights=kept, history=history)


def _require_faces(train: FaceSet, validation: ValidationSet) -> None:
    for name, count in (("training", len(train)), ("validation", len(validation))):
        if count == 0:
            raise TrainingError(
                f"there are no {name} faces: expected faces of real {name} videos; check that the dataset has videos "
                f"of that split, that their faces were extracted, and that data.train_compression names files you have"
            )


def _training_digest(
    config: BackboneConfig, pseudo_fakes: PseudoFakesConfig, train: FaceSet, validation: ValidationSet, seed: int
) -> str:
    decides = {
        "stage_version": STAGE_VERSION,
        "backbone": config.model_dump(mode="json", exclude=_RUNTIME_KEYS),
        "pseudo_fakes": pseudo_fakes.model_dump(mode="json"),
        "seed": seed,
        "train": [train.face_ids, train.video_keys],
        "validation": [validation.faces.face_ids, [recipe.model_dump(mode="json") for recipe in validation.recipes]],
    }
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def _log(record: EpochRecord, epochs: int) -> None:
    _logger.info(
        "epoch %d of %d: loss %.4f, accuracy %.3f, validation AUC %.4f, learning rate %.2g, %d pairs skipped, %.1f s",
        record.epoch,
        epochs,
        record.train_loss,
        record.train_accuracy,
        record.validation_auc,
        record.learning_rate,
        record.skipped_pairs,
        record.seconds,
    )
