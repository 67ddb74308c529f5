"""Embedding: stored crops in, against forward passes on ready pictures at the fastest batch size."""

import time
from collections.abc import Callable

import cv2
import numpy as np
import torch

from benchmarks.measure import Figure, median_of
from benchmarks.media import sample_faces
from difffake.backbone.device import resolve_device, resolve_embed_batch
from difffake.backbone.embed import embed_crops, embed_images
from difffake.backbone.embedder import build_backbone
from difffake.config import BackboneConfig

_BATCHES = (4, 8, 16, 32, 64)
_REPEATS = 5
_ON_CPU = BackboneConfig(
    model="tf_efficientnet_lite0", pretrained="wheel", normalisation="pretrained", input_size_px=224, device="cpu"
)
_ON_GPU = BackboneConfig(pretrained="none")


def run() -> list[Figure]:
    """The laptop experiment's network on a CPU, the paper's on a GPU."""
    config = _ON_GPU if torch.cuda.is_available() else _ON_CPU
    cv2.setNumThreads(1)
    device = resolve_device(config.device)
    faces = sample_faces(config.input_size_px)
    backbone = build_backbone(config, seed=0)
    backbone.to(device).to(memory_format=torch.channels_last)
    size_px = config.input_size_px
    pictures = np.random.default_rng(0).integers(0, 256, (max(_BATCHES), size_px, size_px, 3), dtype=np.uint8)
    crops = [faces.crops_jpeg[number % len(faces)] for number in range(max(_BATCHES))]

    def forward(batch: int) -> float:
        return _seconds(
            lambda: [embed_images(backbone, pictures[start : start + batch]) for start in range(0, len(crops), batch)]
        )

    batch_size = resolve_embed_batch(config, device)
    for batch in _BATCHES:
        forward(batch)
    best = min(_BATCHES, key=lambda batch: min(forward(batch) for _ in range(_REPEATS)))
    ratio, spread = median_of(
        _REPEATS, lambda: _seconds(lambda: embed_crops(backbone, crops, batch_size, device)) / forward(best)
    )
    speed, _ = median_of(_REPEATS, lambda: len(crops) / _seconds(
        lambda: embed_crops(backbone, crops, batch_size, device)
    ))  # fmt: skip
    where = f"{config.model} at {size_px} px, {device.type}"
    note = f"[floor: forward passes on pictures in memory, {best} at once] {spread}"
    return [
        Figure(f"embedding, {where}", ratio, "x", bar=1.1, note=note),
        Figure(f"embedding, {where}", speed, "faces/s", note=f"{torch.get_num_threads()} threads"),
    ]


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
