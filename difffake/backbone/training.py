"""Training of the backbone on real faces and fresh pseudo-fakes (Sec. 3.2 and 4.1).

On a CPU the weights are a function of faces, configuration and seed, to the bit for one number of threads, whether or
not the process was killed and started again. On a GPU they are so up to the order of sums: torch's switch to
deterministic algorithms is global, so it is left to the calling program. Several processes share every batch, its
gradient and its batch statistics, and give the weights of one process up to the order of sums (but for networks that
draw in training: dropout, stochastic depth).
"""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from difffake.backbone.checkpoints import save_weights
from difffake.backbone.crop_file import packed_crops
from difffake.backbone.device import resolve_device, resolve_loader_workers, resolve_processes, uses_bf16
from difffake.backbone.embedder import build_backbone
from difffake.backbone.initial_weights import check_model_name
from difffake.backbone.processes import run_in_processes
from difffake.backbone.team import Team
from difffake.backbone.trainer import BatchMakers, OnEpoch, OnStep, Training, run_training
from difffake.backbone.training_folder import History
from difffake.backbone.validation import ValidationSet
from difffake.config import BackboneConfig, PseudoFakesConfig
from difffake.errors import DivergedError, TrainingError
from difffake.faces.records import FaceSet
from difffake.randomness import derive_seed

# Bump it when the trained weights change.
STAGE_VERSION = 1
_CROPS = "crops.bin"
# They change how soon the weights are there, not which; the path of initial weights does.
_RUNTIME_KEYS = set(BackboneConfig.outside_fingerprint - {"weights"})


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
    on_epoch: OnEpoch | None = None,
    on_step: OnStep | None = None,
    batch_makers: BatchMakers | None = None,
) -> TrainingResult:
    """Train to the last epoch, going on from the checkpoint in `work_dir` where there is one.

    Args:
        train: real faces of the training videos; every epoch draws fresh pseudo-fakes from them.
        validation: faces of other videos; they choose the epochs that are kept.
        work_dir: made where absent; belongs to this training alone.
        on_epoch: called after each epoch this process runs, once it is durable.
        on_step: called after each step with the steps done and the steps of the whole training; the latter fall when
            training ends early.
        batch_makers: makes the batches, with the same content, instead of this process or its loader processes.

    Raises:
        DivergedError: numbers that are not finite, now or in an earlier try; says what was kept.
        TrainingError: no faces to train on or to validate on, or a process of several was lost.
        ArtefactError: a crop cannot be decoded, or `work_dir` belongs to another training.
        ConfigError, WeightsError: the network or its initial weights cannot be had.
    """
    _require_faces(train, validation, pseudo_fakes)
    device = resolve_device(config.device)
    processes = resolve_processes(config, device)
    work_dir.mkdir(parents=True, exist_ok=True)
    digest = _training_digest(config, pseudo_fakes, train, validation, seed)
    training = Training(config, pseudo_fakes, train, validation, work_dir, digest, seed, batch_makers)
    folder = training.folder()
    folder.require_not_diverged()
    try:
        history = _run(training, device, processes, on_epoch, on_step)
    except DivergedError as error:
        raise folder.mark_diverged(error) from error
    kept = folder.finish(history)
    return TrainingResult(best_weights=kept[0], kept_weights=kept, history=history)


def check_backbone(config: BackboneConfig) -> torch.device:
    """Check all that can be wrong with a backbone's configuration on this machine before hours are spent.

    Returns:
        The device it will run on.

    Raises:
        ConfigError, WeightsError: it cannot be built, fed or run here.
    """
    device = resolve_device(config.device)
    resolve_processes(config, device)
    uses_bf16(config, device)
    check_model_name(config.model)
    if config.weights is not None or config.pretrained != "hub":
        # The hub's weights may not be needed, and need a network.
        backbone = build_backbone(config, seed=0)
        if config.boundary_weight:
            backbone.map_channels()
        if config.window_px is not None:
            backbone.require_side(config.window_px)
    return device


def store_untrained(config: BackboneConfig, path: Path, seed: int) -> None:
    """Write the network as it is before training, marked so that nobody takes its answers for a verdict."""
    save_weights(build_backbone(config, derive_seed(seed, "backbone", "initial weights")), path)


def _run(
    training: Training, device: torch.device, processes: int, on_epoch: OnEpoch | None, on_step: OnStep | None
) -> History:
    loader_workers = 0 if training.batch_makers else resolve_loader_workers(training.config, device, processes)
    if processes == 1 and loader_workers == 0:
        return run_training(training, Team(device), on_epoch, on_step)
    with packed_crops(training.train.crops_jpeg, training.work_dir / _CROPS) as crops:
        lean = replace(training, train=replace(training.train, crops_jpeg=crops))
        if processes == 1:
            return run_training(lean, Team(device), on_epoch, on_step)
        # One clear error here rather than one from each process.
        check_backbone(training.config)
        return run_in_processes(lean, device, processes, on_epoch, on_step)


def _require_faces(train: FaceSet, validation: ValidationSet, pseudo_fakes: PseudoFakesConfig) -> None:
    for name, count in (("training", len(train)), ("validation", len(validation))):
        if count == 0:
            raise TrainingError(
                f"there are no {name} faces: expected faces of real {name} videos; check that the dataset has videos "
                f"of that split, that their faces were extracted, and that data.train_compression names files you have"
            )
    if pseudo_fakes.wants_other_faces_alone and len(set(train.video_keys)) < 2:
        raise TrainingError(
            "pseudo_fakes.families wants other faces alone, and all training faces are of one video: give more videos, "
            "or another family some weight"
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
