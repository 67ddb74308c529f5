"""The training itself, as one process sees it: alone, or as one of a team."""

import logging
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

from difffake.backbone.averaging import WeightAverage
from difffake.backbone.batch_statistics import share_batch_statistics
from difffake.backbone.boundary import BoundaryHead
from difffake.backbone.data import TrainingBatches
from difffake.backbone.device import require_compiler, resolve_loader_workers
from difffake.backbone.embedder import Backbone, build_backbone
from difffake.backbone.epoch import EpochRunner
from difffake.backbone.learner import Learner
from difffake.backbone.optimiser import build_optimiser
from difffake.backbone.schedule import epochs_to_run
from difffake.backbone.team import Team
from difffake.backbone.training_folder import EpochRecord, History, TrainingFolder
from difffake.backbone.validation import ValidationSet, render_validation_set
from difffake.config import BackboneConfig, PseudoFakesConfig
from difffake.faces.records import FaceSet
from difffake.memory import give_back_memory, keeping_freed_memory
from difffake.randomness import derive_seed

OnEpoch = Callable[[EpochRecord], None]
OnStep = Callable[[int, int], None]
BatchMakers = Callable[[], AbstractContextManager[Executor]]
"""Gives an executor whose workers make batches, until it is left; can be sent to another process."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Training:
    """Everything a process needs to know to take part; can be sent to another process."""

    config: BackboneConfig
    pseudo_fakes: PseudoFakesConfig
    train: FaceSet
    validation: ValidationSet
    work_dir: Path
    digest: str
    seed: int
    batch_makers: BatchMakers | None = None

    def folder(self) -> TrainingFolder:
        """Where the training is on disk."""
        return TrainingFolder(self.work_dir, self.digest, self.config.keep_best)


def run_training(training: Training, team: Team, on_epoch: OnEpoch | None, on_step: OnStep | None) -> History:
    """Train to the end from the newest checkpoint; the first process of a team writes and reports.

    Raises:
        DivergedError, TrainingError, ArtefactError, ConfigError, WeightsError: see `train_backbone`.
    """
    config, seed = training.config, training.seed
    backbone = build_backbone(config, derive_seed(seed, "backbone", "initial weights"))
    if config.window_px is not None:
        backbone.require_side(config.window_px)
    backbone.network = share_batch_statistics(backbone.network, team)
    backbone.to(team.device).to(memory_format=torch.channels_last)
    backbone.is_trained = True
    learner = _learner(backbone, config, seed)
    folder = training.folder()
    history = folder.resume(learner)
    epochs = _length(history, config)
    if len(history) == epochs:
        return history
    if config.compile:
        require_compiler(team.device)
        # In place: torch.compile(network) would be another module, whose weights have other names.
        backbone.network.compile()
    with (
        training.batch_makers() if training.batch_makers is not None else nullcontext() as executor,
        keeping_freed_memory() if team.device.type == "cpu" else nullcontext(),
    ):
        runner = _runner(training, team, learner, executor)
        while len(history) < epochs:
            history = (*history, runner.run(len(history) + 1, epochs, on_step))
            epochs = _length(history, config)
            if team.index == 0:
                folder.store(learner, history)
                _log(history[-1], epochs)
                if on_epoch is not None:
                    on_epoch(history[-1])
    give_back_memory()
    return history


def _learner(backbone: Backbone, config: BackboneConfig, seed: int) -> Learner:
    boundary = None
    if config.boundary_weight:
        boundary = BoundaryHead(backbone.map_channels(), derive_seed(seed, "backbone", "boundary"))
        boundary.to(backbone.device)
    parameters = [*backbone.parameters(), *(boundary.parameters() if boundary is not None else ())]
    average = WeightAverage(backbone.network, config.average_decay)
    return Learner(backbone, boundary, build_optimiser(parameters, config), average)


def _runner(training: Training, team: Team, learner: Learner, executor: Executor | None) -> EpochRunner:
    config = training.config
    batches = TrainingBatches(
        training.train,
        config,
        training.pseudo_fakes,
        training.seed,
        loader_workers=resolve_loader_workers(config, team.device, team.count),
        share=(team.index, team.count),
        pin_memory=team.device.type == "cuda",
        executor=executor,
    )
    images, labels = render_validation_set(training.validation.share(team.index, team.count), config.input_size_px)
    return EpochRunner(learner, batches, images, labels, config, training.seed, team)


def _length(history: History, config: BackboneConfig) -> int:
    aucs = [record.validation_auc for record in history]
    return epochs_to_run(aucs, config.epochs, config.decay_fraction, config.early_stop_epochs)


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
