"""Embedding: stored crops in, against forward passes on ready pictures at the fastest batch size; which are pending."""

import json
import sys
from collections.abc import Callable
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from benchmarks.faces import benchmark_faces
from benchmarks.measure import Figure, in_fresh_process, median_of, spent
from benchmarks.pairs import FACES_PER_VIDEO, usable_faces
from data_catalog.lake import Lake
from data_catalog.schemas import TABLES, TableName
from difffake.backbone.device import resolve_embed_batch
from difffake.backbone.embed import embed_crops, embed_images
from difffake.backbone.embedder import build_backbone
from difffake.config import BackboneConfig

_BATCHES = (4, 8, 16, 32, 64)
_REPEATS = 5
_KNOWN_VIDEOS = 25_000
_CONFIG = BackboneConfig(
    model="tf_efficientnet_lite0", pretrained="wheel", normalisation="pretrained", input_size_px=224, device="cpu"
)


def run() -> list[Figure]:
    """The laptop experiment's network, and that no face goes through it twice; a GPU has its own figures."""
    return [*_against_forward_passes(), *_pending()]


def _against_forward_passes() -> list[Figure]:
    cv2.setNumThreads(1)
    device = torch.device("cpu")
    faces = benchmark_faces()
    backbone = build_backbone(_CONFIG, seed=0)
    backbone.to(memory_format=torch.channels_last)
    size_px, batch_size = _CONFIG.input_size_px, resolve_embed_batch(_CONFIG, device)
    pictures = np.random.default_rng(0).integers(0, 256, (max(_BATCHES), size_px, size_px, 3), dtype=np.uint8)
    crops = [faces.crops_jpeg[number % len(faces)] for number in range(max(_BATCHES))]

    def forward(batch: int) -> float:
        return _seconds(
            lambda: [embed_images(backbone, pictures[start : start + batch]) for start in range(0, len(crops), batch)]
        )

    def whole() -> float:
        return _seconds(lambda: embed_crops(backbone, crops, batch_size, device))

    for batch in _BATCHES:
        forward(batch)
    best = min(_BATCHES, key=lambda batch: min(forward(batch) for _ in range(_REPEATS)))
    ratio, spread = median_of(_REPEATS, lambda: whole() / forward(best))
    each, _ = median_of(_REPEATS, lambda: whole() / len(crops) * 1000)
    where = f"{_CONFIG.model} at {size_px} px, {device.type}"
    note = f"[floor: forward passes on pictures in memory, {best} at once] {spread}; {batch_size} at once"
    return [
        Figure(f"embedding, {where}", ratio, "x", bar=1.1, note=note),
        Figure(f"embedding, {where}", each, "CPU ms a face", note=f"{torch.get_num_threads()} threads"),
    ]


def _seconds(work: Callable[[], object]) -> float:
    with spent() as measured:
        work()
    return measured.cpu_s


def _pending() -> list[Figure]:
    measured = json.loads(in_fresh_process("benchmarks.embedding", [str(_KNOWN_VIDEOS)], threads=2))
    what = "which faces have no embedding yet"
    note = f"{_KNOWN_VIDEOS * FACES_PER_VIDEO:,} faces, one pending; stored vectors of length 1: they are not read"
    return [
        Figure(what, measured["wall_s"], "s", note=note),
        Figure(what, measured["cpu_s"] / measured["floor_s"], "x", note="[floor: the same on names in memory]"),
    ]


def _measure(videos: int) -> dict[str, float]:
    """What the stage asks before it embeds, where all but one face have gone through the network."""
    usable = usable_faces(videos)
    done = usable.slice(1)
    columns = {
        "face_id": done["face_id"],
        "video_sha256": done["video_sha256"],
        "backbone": pa.array(["benchmark"] * done.num_rows),
        "features": pa.ListArray.from_arrays(np.arange(done.num_rows + 1), np.zeros(done.num_rows, np.float32)),
        "fake_probability": pa.nulls(done.num_rows, pa.float32()),
    }
    with TemporaryDirectory(prefix="difffake-benchmark-") as folder:
        lake = Lake(folder)
        lake.create()
        lake.append_missing(TableName.EMBEDDINGS, pa.table(columns).cast(TABLES[TableName.EMBEDDINGS].schema))
        with spent() as measured:
            pending = lake.query("pending_embeddings", {"backbone": "benchmark"}, {"usable_faces": usable})
    with spent() as floor:
        missing = pc.invert(pc.is_in(usable["face_id"], done["face_id"]))
    if pending["face_id"].to_pylist() != usable.filter(missing)["face_id"].to_pylist():
        raise RuntimeError(f"one face has no embedding, and {pending.num_rows} are said to have none")
    return {"wall_s": measured.wall_s, "cpu_s": measured.cpu_s, "floor_s": floor.cpu_s}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_measure(int(sys.argv[1]))))
