"""What it costs a training process to get a batch from a loader process, through shared memory and through a pipe.

In CPU time of the receiving thread: while it holds the interpreter, a GPU gets no next work from this process.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.faces import CROP_PX, benchmark_faces, repeated
from benchmarks.measure import Figure
from difffake.backbone import data
from difffake.backbone.crop_file import packed_crops
from difffake.config import BackboneConfig, PseudoFakesConfig

_PAIRS = 64
_BATCHES = 12


def run() -> Iterator[Figure]:
    """Of a batch's CPU time in the process that trains; nothing else is in it."""
    room = data._SHARED_MEMORY
    try:
        shared = _receiving_ms(wants_shared=True)
        data._SHARED_MEMORY = Path("/nowhere")
        piped = _receiving_ms(wants_shared=False)
    finally:
        data._SHARED_MEMORY = room
    what = f"receiving a batch of {_PAIRS} pairs at {CROP_PX} px"
    yield Figure(f"{what}, from shared memory", shared, "CPU ms")
    yield Figure(f"{what}, from a pipe", piped, "CPU ms", note=f"medians of {_BATCHES} batches")


def _receiving_ms(*, wants_shared: bool) -> float:
    shown = repeated(benchmark_faces(), _PAIRS * (_BATCHES + 1))
    config = BackboneConfig(input_size_px=CROP_PX, batch_pairs=_PAIRS, faces_per_video_per_epoch=len(shown))
    with tempfile.TemporaryDirectory() as folder, packed_crops(shown.crops_jpeg, Path(folder) / "crops") as crops:
        faces = replace(shown, crops_jpeg=crops)
        batches = data.TrainingBatches(faces, config, PseudoFakesConfig(), 0, loader_workers=1).epoch(1)
        held = next(batches)
        if ("shm/torch_" in Path("/proc/self/maps").read_text()) != wants_shared:
            raise RuntimeError(f"{data._SHARED_MEMORY} has too little room to measure this")
        del held
        taken = []
        for _ in range(_BATCHES):
            started = time.thread_time()
            # Looked at as well: pages of shared memory arrive when they are touched.
            next(batches).images[:, ::4].max()
            taken.append((time.thread_time() - started) * 1e3)
    return statistics.median(taken)
