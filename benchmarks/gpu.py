"""The paper's network on a GPU: training and embedding against the same work on tensors the GPU already holds.

In wall time, since loader processes and decoding threads work beside the GPU. Nothing is measured without one.
"""

import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from torch.profiler import ProfilerActivity, profile

from benchmarks.faces import CROP_PX, benchmark_faces, repeated
from benchmarks.measure import Figure
from difffake.backbone.crop_file import packed_crops
from difffake.backbone.data import TrainingBatches
from difffake.backbone.device import crops_at_once, resolve_loader_workers, uses_bf16
from difffake.backbone.embed import embed_crops
from difffake.backbone.embedder import Backbone, build_backbone, evaluating
from difffake.backbone.epoch import EpochRunner
from difffake.backbone.learner import Learner
from difffake.backbone.sam import SharpnessAwareMinimisation
from difffake.config import BackboneConfig, PseudoFakesConfig
from difffake.faces.records import FaceSet

_PAPER = BackboneConfig(pretrained="none", input_size_px=CROP_PX, device="cuda")
_GPU = torch.device("cuda")
_PAIRS = (16, 64, 256)
_FED_PAIRS = (16, 64)
_CROPS = (64, 128, 256, 512)
_CROPS_A_SHARD = 8192
_SECONDS = 3.0
"""About how long a measurement takes."""
_TIMES_READY = 5
_ROUNDS = 3
_TOP = 10
_PROFILED_STEPS = 5
_NO_VALIDATION = np.zeros((0, 1, 1, 3), np.uint8), np.zeros(0, np.int64)


def run() -> Iterator[Figure]:
    """Ratios, speeds, the largest batches, and what the GPU does."""
    if not torch.cuda.is_available():
        yield Figure("not run: torch sees no GPU", 0, "GPUs")
        return
    faces = benchmark_faces()
    speeds: dict[int, float] = {}
    for pairs in _PAIRS:
        speeds[pairs] = _resident_images_per_s(pairs)
        what = f"training on tensors the GPU holds, B4 at {CROP_PX} px, {pairs} pairs"
        yield Figure(what, speeds[pairs], "images/s", note=_name())
    yield from _embedding(faces)
    for pairs in _FED_PAIRS:
        yield from _fed_by_loader(faces, pairs, speeds[pairs])
    yield from _top_operations()
    yield from _largest_batches()


def _name() -> str:
    return f"{torch.cuda.get_device_name()}, torch {torch.__version__}"


def _resident_images_per_s(pairs: int) -> float:
    resident = _Resident(*_on_gpu(_PAPER), pairs)
    resident.train(3)
    steps = max(3, round(_SECONDS / 2 * 3 / _seconds(lambda: resident.train(3))))
    return max(2 * pairs * steps / _seconds(lambda: resident.train(steps)) for _ in range(2))


def _fed_by_loader(faces: FaceSet, pairs: int, images_per_s: float) -> list[Figure]:
    config = _PAPER.model_copy(update={"batch_pairs": pairs})
    workers = resolve_loader_workers(config, _GPU, processes=1)
    # Many times the batches that are ready before the first step: two a loader process.
    steps = max(_TIMES_READY * 2 * workers, round(_SECONDS * images_per_s / (2 * pairs)))
    shown = repeated(faces, steps * pairs)
    config = config.model_copy(update={"faces_per_video_per_epoch": len(shown)})
    fakes = PseudoFakesConfig()
    with tempfile.TemporaryDirectory() as folder, packed_crops(shown.crops_jpeg, Path(folder) / "crops") as crops:
        fed = TrainingBatches(replace(shown, crops_jpeg=crops), config, fakes, 0, workers, pin_memory=True)
        backbone, optimiser = _on_gpu(config)
        runner = EpochRunner(Learner.plain(backbone, optimiser), fed, *_NO_VALIDATION, config, seed=0)
        floor = _Resident(backbone, optimiser, pairs)
        # This round starts loader processes and chooses kernels.
        loader_s = _seconds(lambda: deque(fed.epoch(1), maxlen=0))
        floor.train(3)
        measured = []
        for epoch in range(2, _ROUNDS + 2):
            # While the loader rests; then it begins as the training does.
            resident_s = _seconds(lambda: floor.train(steps))
            fed_s = _seconds(partial(runner.train, epoch, epochs=_ROUNDS + 1, on_step=None))
            measured.append((fed_s / resident_s, 2 * pairs * steps / fed_s))
        loader_s = min(loader_s, _seconds(lambda: deque(fed.epoch(_ROUNDS + 2), maxlen=0)))
    ratios = sorted(ratio for ratio, _ in measured)
    note = f"[floor: the same step on tensors the GPU holds] median of {_ROUNDS}, {ratios[0]:.3f} to {ratios[-1]:.3f}"
    what = f"training, B4 at {CROP_PX} px, {pairs} pairs"
    return [
        Figure(f"a step fed by its loader, {what}", statistics.median(ratios), "x", bar=1.05, note=note),
        Figure(what, statistics.median(speed for _, speed in measured), "images/s", note=f"{steps} steps"),
        Figure(f"the loader alone, {what}", 2 * pairs * steps / loader_s, "images/s", note=f"{workers} processes"),
    ]


def _embedding(faces: FaceSet) -> Iterator[Figure]:
    backbone, _ = _on_gpu(_PAPER)
    pixels = _random_pixels(4 * max(_CROPS))
    crops = repeated(faces, _CROPS_A_SHARD).crops_jpeg
    speeds = {}
    for batch in _CROPS:
        forward = _forward_passes(backbone, pixels, batch)
        forward()
        speeds[batch] = max(len(pixels) / _seconds(forward) for _ in range(_ROUNDS))
        what = f"forward passes on pictures the GPU holds, {batch} at once"
        yield Figure(what, speeds[batch], "faces/s", note=_name())
    best = max(speeds, key=lambda batch: speeds[batch])
    forward = _forward_passes(backbone, pixels, best)
    batch = crops_at_once(_GPU, CROP_PX)
    embed_crops(backbone, crops, batch, _GPU)
    measured = []
    for _ in range(_ROUNDS):
        whole_s = _seconds(lambda: embed_crops(backbone, crops, batch, _GPU))
        measured.append((whole_s / len(crops) / _seconds(forward) * len(pixels), len(crops) / whole_s))
    ratios = sorted(ratio for ratio, _ in measured)
    spread = f"median of {_ROUNDS}, {ratios[0]:.3f} to {ratios[-1]:.3f}"
    what = f"embedding, B4 at {CROP_PX} px, from JPEG"
    note = f"[floor: forward passes on pictures the GPU holds, {best} at once] {spread}; {batch} at once"
    yield Figure(what, statistics.median(ratios), "x", bar=1.1, note=note)
    yield Figure(what, statistics.median(speed for _, speed in measured), "faces/s")


def _largest_batches() -> list[Figure]:
    backbone, optimiser = _on_gpu(_PAPER)

    def trains(images: int) -> None:
        _Resident(backbone, optimiser, images // 2).train(2)

    def embeds(images: int) -> None:
        pixels = _random_pixels(images)
        _forward_passes(backbone, pixels, images)()

    gigabytes = torch.cuda.get_device_properties(_GPU).total_memory / 2**30
    note = f"of {gigabytes:.0f} GiB"
    return [
        Figure("the largest training batch", _most(trains, 128), "images", note=note),
        Figure("the most faces embedded at once", _most(embeds, 512), "images", note=note),
    ]


def _most(work: Callable[[int], None], grain: int) -> int:
    """The most images that fit the GPU's memory, to an eighth."""
    fits, too_many = 0, grain
    while _fits(work, too_many):
        fits, too_many = too_many, 2 * too_many
    while too_many - fits > max(grain, fits // 8):
        middle = (fits + too_many) // 2 // grain * grain
        fits, too_many = (middle, too_many) if _fits(work, middle) else (fits, middle)
    return fits


def _fits(work: Callable[[int], None], images: int) -> bool:
    torch.cuda.empty_cache()
    try:
        work(images)
        torch.cuda.synchronize()
    except torch.OutOfMemoryError:
        return False
    except RuntimeError as error:
        # Kernels that count elements in 32 bits.
        if "32-bit" not in str(error) and "canUse32BitIndexMath" not in str(error):
            raise
        return False
    finally:
        torch.cuda.empty_cache()
    return True


def _top_operations() -> list[Figure]:
    backbone, optimiser = _on_gpu(_PAPER)
    resident = _Resident(backbone, optimiser, _PAPER.batch_pairs)
    pixels = _random_pixels(crops_at_once(_GPU, CROP_PX))
    embed = _forward_passes(backbone, pixels, len(pixels))
    return [
        *_operations(f"training, {_PAPER.batch_pairs} pairs", lambda: resident.train(1)),
        *_operations(f"embedding, {len(pixels)} at once", embed),
    ]


def _operations(what: str, step: Callable[[], None]) -> list[Figure]:
    step()
    # Without the profiler, which slows the process that starts the work.
    seconds = _seconds(partial(_repeat, step))
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        _repeat(step)
        torch.cuda.synchronize()
    # By the operation that starts them, not by the hundred kernels.
    operations = [entry for entry in profiler.key_averages() if entry.device_type.name == "CPU"]
    operations.sort(key=lambda entry: entry.self_device_time_total, reverse=True)
    busy_us = sum(entry.self_device_time_total for entry in operations)
    share = busy_us / 1e6 / seconds
    return [
        Figure(
            f"the GPU at work, {what}", busy_us / 1e3 / _PROFILED_STEPS, "ms a step", note=f"{share:.0%} of the time"
        ),
        *(
            Figure(
                f"{what}: {entry.key}",
                entry.self_device_time_total / 1e3 / _PROFILED_STEPS,
                "ms a step",
                note=f"{entry.self_device_time_total / busy_us:.0%}, {entry.count // _PROFILED_STEPS} times",
            )
            for entry in operations[:_TOP]
        ),
    ]


def _repeat(step: Callable[[], None]) -> None:
    for _ in range(_PROFILED_STEPS):
        step()


class _Resident:
    """Training steps on a batch the GPU holds, whose loss nobody reads."""

    def __init__(self, backbone: Backbone, optimiser: torch.optim.Optimizer, pairs: int) -> None:
        self._backbone = backbone
        self._minimisation = SharpnessAwareMinimisation(backbone, optimiser, _PAPER.sam_rho)
        self._images = backbone.preprocessing.normalise(_random_pixels(2 * pairs))
        self._labels = torch.arange(2, device=_GPU).repeat_interleave(pairs)
        self._bf16 = uses_bf16(_PAPER, _GPU)

    def train(self, steps: int) -> None:
        """So many steps, all begun when it returns."""
        self._backbone.train()
        for _ in range(steps):
            self._minimisation.step(self._loss)

    def _loss(self) -> torch.Tensor:
        with torch.autocast("cuda", torch.bfloat16, enabled=self._bf16):
            logits = self._backbone(self._images)
        return cross_entropy(logits.float(), self._labels)


def _forward_passes(backbone: Backbone, pixels: torch.Tensor, batch: int) -> Callable[[], None]:
    """What embeds pictures the GPU holds, and leaves the results there."""

    def forward() -> None:
        with evaluating(backbone), torch.inference_mode():
            for start in range(0, len(pixels), batch):
                normalised = backbone.preprocessing.normalise(pixels[start : start + batch])
                backbone.features_and_logits(normalised)

    return forward


def _on_gpu(config: BackboneConfig) -> tuple[Backbone, torch.optim.Optimizer]:
    backbone = build_backbone(config, seed=0)
    backbone.to(_GPU).to(memory_format=torch.channels_last)
    return backbone, torch.optim.SGD(backbone.parameters(), config.learning_rate, momentum=config.momentum)


def _random_pixels(images: int) -> torch.Tensor:
    generator = torch.Generator(_GPU).manual_seed(0)
    shape = images, CROP_PX, CROP_PX, 3
    return torch.randint(0, 256, shape, dtype=torch.uint8, device=_GPU, generator=generator)


def _seconds(work: Callable[[], object]) -> float:
    torch.cuda.synchronize()
    started = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - started
