"""Training on a CPU: its steps with their pseudo-fakes, against the same steps once they have their batch.

One process does both, one after the other: the floor is taken in the same training and in CPU time, as two trainings
differ by more than the batches cost.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.faces import benchmark_faces, repeated
from benchmarks.measure import Figure
from difffake.backbone.crop_file import packed_crops
from difffake.backbone.data import Batch, TrainingBatches
from difffake.backbone.embedder import build_backbone
from difffake.backbone.epoch import BatchSource, EpochRunner
from difffake.backbone.learner import Learner
from difffake.config import BackboneConfig, PseudoFakesConfig
from difffake.memory import keeping_freed_memory

_ROUNDS = 5
_STEPS = 4
_PAPER_LIKE = BackboneConfig(
    model="tf_efficientnet_lite0", pretrained="wheel", input_size_px=128, augmentation="flip_jpeg", device="cpu"
)
_CPU = _PAPER_LIKE.model_copy(update={"input_size_px": 224, "augmentation": "robust", "sam_rho": 0.0})
_DIVERSE = PseudoFakesConfig(variant="diverse", colour_strength="moderate")
_NO_VALIDATION = np.zeros((0, 1, 1, 3), np.uint8), np.zeros(0, np.int64)


def run() -> list[Figure]:
    """The demo's former network with SAM and the paper's pseudo-fakes, and `cpu.yaml`'s; the GPU's are apart."""
    return [*_measured(_PAPER_LIKE, PseudoFakesConfig()), *_measured(_CPU, _DIVERSE), _kept_memory()]


def _measured(config: BackboneConfig, pseudo_fakes: PseudoFakesConfig) -> list[Figure]:
    ratios, speeds = [], []
    with _batches(config, pseudo_fakes) as batches, keeping_freed_memory():
        runner = _runner(batches.config, batches)
        for epoch in range(1, _ROUNDS + 2):
            batches.seconds, started = 0.0, time.process_time()
            images = runner.train(epoch, epochs=_ROUNDS + 1, on_step=None).images
            whole = time.process_time() - started
            ratios.append(whole / (whole - batches.seconds))
            speeds.append(images / whole)
    # The first round chooses kernels.
    ratios, speeds = sorted(ratios[1:]), speeds[1:]
    spread = f"median of {_ROUNDS}, {ratios[0]:.3f} to {ratios[-1]:.3f}"
    passes = ", SAM" if config.sam_rho else ""
    what = f"CPU, Lite0 at {config.input_size_px} px, 16 pairs{passes}, {pseudo_fakes.variant}, {config.augmentation}"
    return [
        Figure(
            f"a training step with its pseudo-fakes, {what}",
            statistics.median(ratios),
            "x",
            bar=1.05,
            note=f"[floor: the same step once it has its batch] {spread}",
        ),
        Figure(f"training, {what}", statistics.median(speeds), "images a CPU s"),
    ]


def _kept_memory() -> Figure:
    """What it brings that freed memory stays with the process, in pairs of epochs of one training."""
    ratios = []
    with _batches(_CPU, _DIVERSE) as batches:
        runner = _runner(batches.config, batches)
        for number in range(_ROUNDS + 1):
            kept, given_back = (_cpu_s(runner, 2 * number + turn, is_kept=turn == 1) for turn in (1, 2))
            ratios.append(given_back / kept)
    ratios = sorted(ratios[1:])
    spread = f"median of {_ROUNDS}, {ratios[0]:.2f} to {ratios[-1]:.2f}"
    what = f"a training step at {_CPU.input_size_px} px whose freed memory goes back to the kernel"
    return Figure(what, statistics.median(ratios), "x", note=f"[floor: it stays with the process] {spread}")


def _cpu_s(runner: EpochRunner, epoch: int, *, is_kept: bool) -> float:
    with keeping_freed_memory() if is_kept else nullcontext():
        started = time.process_time()
        runner.train(epoch, epochs=2 * _ROUNDS + 2, on_step=None)
        return time.process_time() - started


@contextmanager
def _batches(config: BackboneConfig, pseudo_fakes: PseudoFakesConfig) -> Iterator["_TimedBatches"]:
    shown = repeated(benchmark_faces(), _STEPS * config.batch_pairs)
    config = config.model_copy(update={"faces_per_video_per_epoch": len(shown)})
    with tempfile.TemporaryDirectory() as folder, packed_crops(shown.crops_jpeg, Path(folder) / "crops") as crops:
        yield _TimedBatches(TrainingBatches(replace(shown, crops_jpeg=crops), config, pseudo_fakes, 0), config)


class _TimedBatches:
    """Batches, and the CPU seconds they took to make.

    Attributes:
        config: which of the batches are of.
        seconds: since it was last set to 0.
    """

    def __init__(self, batches: TrainingBatches, config: BackboneConfig) -> None:
        self.config = config
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


def _runner(config: BackboneConfig, batches: BatchSource) -> EpochRunner:
    backbone = build_backbone(config, seed=0)
    backbone.to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(backbone.parameters(), config.learning_rate, momentum=config.momentum)
    return EpochRunner(Learner.plain(backbone, optimiser), batches, *_NO_VALIDATION, config, seed=0)
