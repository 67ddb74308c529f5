"""Training on a CPU: its steps with their pseudo-fakes, against the same steps once they have their batch.

One process does both, one after the other: the floor is taken in the same training and in CPU time, as two trainings
differ by more than the batches cost.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator
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

_ROUNDS = 5
_STEPS = 4
_CONFIG = BackboneConfig(
    model="tf_efficientnet_lite0", pretrained="wheel", input_size_px=128, augmentation="flip_jpeg", device="cpu"
)
_NO_VALIDATION = np.zeros((0, 1, 1, 3), np.uint8), np.zeros(0, np.int64)


def run() -> list[Figure]:
    """The demo's network; the paper's is in the figures of a GPU."""
    steps = _STEPS * _CONFIG.batch_pairs
    shown = repeated(benchmark_faces(), steps)
    config = _CONFIG.model_copy(update={"faces_per_video_per_epoch": len(shown)})
    with tempfile.TemporaryDirectory() as folder, packed_crops(shown.crops_jpeg, Path(folder) / "crops") as crops:
        batches = _TimedBatches(TrainingBatches(replace(shown, crops_jpeg=crops), config, PseudoFakesConfig(), 0))
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
    what = "CPU, Lite0 at 128 px, 16 pairs, SAM"
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


def _runner(config: BackboneConfig, batches: BatchSource) -> EpochRunner:
    backbone = build_backbone(config, seed=0)
    backbone.to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(backbone.parameters(), config.learning_rate, momentum=config.momentum)
    return EpochRunner(Learner.plain(backbone, optimiser), batches, *_NO_VALIDATION, config, seed=0)
