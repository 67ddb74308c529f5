"""Training: its steps while pseudo-fakes are made for them, against the same steps on a ready batch.

On a GPU two trainings are compared in wall time, since loader processes work beside it. On a CPU one process does both,
one after the other: the floor is what a step takes once it has its batch, in the same training and in CPU time, as two
trainings differ by more than the batches cost.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.measure import Figure
from benchmarks.media import sample_faces
from difffake.backbone.crop_file import packed_crops
from difffake.backbone.data import Batch, TrainingBatches
from difffake.backbone.device import resolve_device, resolve_loader_workers
from difffake.backbone.embedder import build_backbone
from difffake.backbone.epoch import BatchSource, EpochRunner
from difffake.config import BackboneConfig, PseudoFakesConfig
from difffake.faces.records import FaceSet

_VIDEOS = 8
_CROP_PX = 224
_ROUNDS = 5
_BATCHES_OF_PAIRS = (16, 32, 64, 128)
_STEPS_ON_GPU, _STEPS_ON_CPU = 60, 4
_BAR = 1.05
_FAKES = PseudoFakesConfig()
_NO_VALIDATION = np.zeros((0, 1, 1, 3), np.uint8), np.zeros(0, np.int64)


def run() -> list[Figure]:
    """The paper's network on a GPU, at its batch and at the fastest; the demo's on a CPU."""
    faces = sample_faces(_CROP_PX, _VIDEOS)
    if not torch.cuda.is_available():
        config = BackboneConfig(
            model="tf_efficientnet_lite0", pretrained="wheel", input_size_px=128, augmentation="flip_jpeg"
        )
        return _shares(faces, config, _STEPS_ON_CPU, "CPU, Lite0 at 128 px, 16 pairs, SAM")
    paper = BackboneConfig(pretrained="none")
    speeds = {pairs: _speed_when_ready(_with_pairs(paper, pairs)) for pairs in _BATCHES_OF_PAIRS}
    best = max(speeds, key=lambda pairs: speeds[pairs])
    figures = [
        figure
        for pairs in sorted({16, best})
        for figure in _compare(faces, _with_pairs(paper, pairs), _STEPS_ON_GPU, f"GPU, B4 at 224 px, {pairs} pairs")
    ]
    compiled = _speed_when_ready(_with_pairs(paper, best).model_copy(update={"compile": True}))
    note = f"{best} pairs, batch ready; not compiled {speeds[best]:.0f}"
    return [*figures, Figure("compiled", compiled, "images/s", note=note)]


def _with_pairs(config: BackboneConfig, pairs: int) -> BackboneConfig:
    """The same training with another batch."""
    return config.model_copy(update={"batch_pairs": pairs})


def _shares(faces: FaceSet, config: BackboneConfig, steps: int, what: str) -> list[Figure]:
    shown = _repeated(faces, steps * config.batch_pairs)
    config = config.model_copy(update={"faces_per_video_per_epoch": len(shown)})
    with tempfile.TemporaryDirectory() as folder, packed_crops(shown.crops_jpeg, Path(folder) / "crops") as crops:
        batches = _TimedBatches(TrainingBatches(replace(shown, crops_jpeg=crops), config, _FAKES, 0))
        runner = _runner(config, batches)
        ratios, speeds = [], []
        for epoch in range(1, _ROUNDS + 2):
            batches.seconds, started = 0.0, time.process_time()
            images = runner.train(epoch, epochs=_ROUNDS + 1, on_step=None).images
            whole = time.process_time() - started
            ratios.append(whole / (whole - batches.seconds))
            speeds.append(images / whole)
    # The first round chooses kernels.
    ratios, speeds = sorted(ratios[1:]), speeds[1:]
    spread = f"median of {_ROUNDS}, {ratios[0]:.3f} to {ratios[-1]:.3f}"
    return [
        Figure(
            f"a training step with its pseudo-fakes, {what}",
            statistics.median(ratios),
            "x",
            bar=_BAR,
            note=f"[floor: the same step once it has its batch] {spread}",
        ),
        Figure(f"training, {what}", statistics.median(speeds), "images a CPU s"),
    ]


def _compare(faces: FaceSet, config: BackboneConfig, steps: int, what: str) -> list[Figure]:
    device = resolve_device(config.device)
    workers = resolve_loader_workers(config, device, processes=1)
    # As many faces as the steps want: some are shown twice, under other names and so with other pseudo-fakes.
    shown = _repeated(faces, steps * config.batch_pairs)
    config = config.model_copy(update={"faces_per_video_per_epoch": len(shown)})
    with tempfile.TemporaryDirectory() as folder, packed_crops(shown.crops_jpeg, Path(folder) / "crops") as crops:
        packed = replace(shown, crops_jpeg=crops)
        real = TrainingBatches(packed, config, _FAKES, 0, loader_workers=workers, pin_memory=device.type == "cuda")
        ready = _ReadyBatches(next(iter(TrainingBatches(faces, config, _FAKES, 0).epoch(1))), steps)
        runner, floor = _runner(config, real), _runner(config, ready)
        speeds = [(_images_per_s(runner, epoch), _images_per_s(floor, epoch)) for epoch in range(1, _ROUNDS + 2)]
    # The first round starts loader processes and chooses kernels.
    ratios = sorted(given / made for made, given in speeds[1:])
    spread = f"median of {_ROUNDS}, {ratios[0]:.3g} to {ratios[-1]:.3g}; {workers} loader processes"
    return [
        Figure(
            f"a training step with its loader, {what}",
            statistics.median(ratios),
            "x",
            bar=_BAR,
            note=f"[floor: the same step on one batch in memory] {spread}",
        ),
        Figure(f"training, {what}", statistics.median(made for made, _ in speeds[1:]), "images/s"),
    ]


def _speed_when_ready(config: BackboneConfig) -> float:
    """Images a second on a batch that is ready; 0 where it does not fit the GPU's memory."""
    try:
        runner = _runner(config, _ReadyBatches(_grey(config), _STEPS_ON_GPU))
        return max(_images_per_s(runner, epoch) for epoch in (1, 2, 3))
    except torch.OutOfMemoryError:
        return 0.0


class _TimedBatches:
    """Batches, and the CPU seconds they took to make.

    Attributes:
        seconds: since it was last set to 0.
    """

    def __init__(self, batches: TrainingBatches) -> None:
        self._batches = batches
        self.steps_an_epoch = batches.steps_an_epoch
        self.seconds = 0.0

    def start(self, epoch: int) -> None:
        """As the batches do."""
        self._batches.start(epoch)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch."""
        started = time.process_time()
        for batch in self._batches.epoch(epoch):
            self.seconds += time.process_time() - started
            yield batch
            started = time.process_time()


class _ReadyBatches:
    """The same batch, again and again."""

    def __init__(self, batch: Batch, steps: int) -> None:
        self._batch = batch.pin_memory() if torch.cuda.is_available() else batch
        self.steps_an_epoch = steps

    def start(self, _epoch: int) -> None:
        """Nothing to prepare."""

    def epoch(self, _epoch: int) -> Iterator[Batch]:
        """`steps_an_epoch` times the batch, whatever the epoch."""
        return iter([self._batch] * self.steps_an_epoch)


def _runner(config: BackboneConfig, batches: BatchSource) -> EpochRunner:
    backbone = build_backbone(config, seed=0)
    backbone.to(resolve_device(config.device)).to(memory_format=torch.channels_last)
    if config.compile:
        backbone.network.compile()
    optimiser = torch.optim.SGD(backbone.parameters(), config.learning_rate, momentum=config.momentum)
    return EpochRunner(backbone, optimiser, batches, *_NO_VALIDATION, config, seed=0)


def _images_per_s(runner: EpochRunner, epoch: int) -> float:
    started = time.perf_counter()
    # Ends with the last step's loss read from the device.
    images = runner.train(epoch, epochs=_ROUNDS + 1, on_step=None).images
    return images / (time.perf_counter() - started)


def _grey(config: BackboneConfig) -> Batch:
    size_px, images = config.input_size_px, 2 * config.batch_pairs
    labels = np.repeat(np.array([0, 1], np.int64), config.batch_pairs)
    return Batch(np.full((images, size_px, size_px, 3), 128, np.uint8), labels, skipped_pairs=0)


def _repeated(faces: FaceSet, count: int) -> FaceSet:
    shown = faces.of_rows([number % len(faces) for number in range(count)])
    return replace(shown, face_ids=tuple(f"{name}-{number}" for number, name in enumerate(shown.face_ids)))
