"""What 1,000 videos cost: CPU seconds, bytes and task runs of each stage, by the tasks of the pipeline themselves."""

import json
import sys
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure import Figure, in_fresh_process, spent
from benchmarks.media import sample_sets
from data_catalog.home import Home
from data_catalog.schemas import TableName
from difffake.backbone.checkpoints import save_weights
from difffake.backbone.embedder import build_backbone
from difffake.config import BackboneConfig, FacesConfig, RunnerConfig
from difffake.faces.finder import build_face_finder
from tasks.embeddings import EmbeddingNetwork, EmbeddingShard, embed_shard
from tasks.faces import PendingVideo, extract_shard, extraction_fingerprint

_FACES = FacesConfig(detector="blazeface")
_NETWORKS = {
    "EfficientNet-Lite0, 224 px": BackboneConfig(
        model="tf_efficientnet_lite0", pretrained="wheel", normalisation="pretrained", input_size_px=224, device="cpu"
    ),
    "EfficientNet-B4, 224 px": BackboneConfig(pretrained="none", device="cpu"),
}
_EMBEDDED_VIDEOS = 4


def run() -> list[Figure]:
    """Costs a thousand videos, from those of the sample."""
    figures = []
    for name in sample_sets():
        measured = json.loads(in_fresh_process("benchmarks.cost", [name]))
        videos = measured["videos"]
        note = f"{videos} videos, {measured['faces'] / videos:.1f} faces a video"
        figures += [
            Figure(f"source read, {name}", measured["source_bytes"] / videos / 1e6, "GB per 1,000", note=note),
            Figure(f"extraction, {name}", measured["extract_s"] / videos * 1000, "CPU s per 1,000", note=note),
            Figure(f"faces stored, {name}", measured["face_bytes"] / videos / 1e6, "GB per 1,000", note=note),
        ]
        for network, cost in measured["networks"].items():
            per_video, what = measured["faces"] / videos / cost["faces"], f"{network}, {name}"
            figures += [
                Figure(f"embedding, {what}", cost["cpu_s"] * per_video * 1000, "CPU s per 1,000", note=note),
                Figure(f"embeddings, {what}", cost["bytes"] * per_video / 1e6, "GB per 1,000", note=note),
            ]
    runs = 1000 / RunnerConfig().videos_per_shard
    return [*figures, Figure("task runs of extraction, and of scoring", runs, "per 1,000", note="at full shards")]


def _measure(name: str) -> dict[str, Any]:
    torch.set_num_threads(1)
    extraction = extraction_fingerprint(_FACES, build_face_finder(_FACES))
    with tempfile.TemporaryDirectory(prefix="difffake-benchmark-") as place:
        home = Home(Path(place))
        home.create()
        pending = list(_pending(name))
        shards = [tuple(pending[start : start + 8]) for start in range(0, len(pending), 8)]
        with spent() as extracting:
            for shard in shards:
                extract_shard.fn(home, _FACES, extraction, shard)
        names = home.lake.read(TableName.FACES, ["face_id", "video_sha256"]).to_pylist()
        return {
            "videos": len(pending),
            "source_bytes": sum(video.size_bytes for video in pending),
            "extract_s": extracting.cpu_s,
            "faces": len(names),
            "face_bytes": _bytes_below(home.root / "lake" / TableName.FACES.value),
            "networks": {
                network: _embedding(home, config, names[: _EMBEDDED_VIDEOS * 40])
                for network, config in _NETWORKS.items()
            },
        }


def _embedding(home: Home, config: BackboneConfig, names: list[dict[str, str]]) -> dict[str, float]:
    weights = home.root / f"{config.model}.safetensors"
    save_weights(build_backbone(config, seed=0), weights)
    network = EmbeddingNetwork(config.model, weights, 1)
    # Loads the network, as once a process.
    embed_shard.fn(home, config, network, _shard(names[:1]))
    table = home.root / "lake" / TableName.EMBEDDINGS.value
    before = _bytes_below(table)
    with spent() as embedding:
        embed_shard.fn(home, config, network, _shard(names[1:]))
    return {"cpu_s": embedding.cpu_s, "faces": len(names) - 1, "bytes": _bytes_below(table) - before}


def _shard(names: list[dict[str, str]]) -> EmbeddingShard:
    return EmbeddingShard(tuple(row["face_id"] for row in names), tuple(row["video_sha256"] for row in names))


def _pending(name: str) -> Iterator[PendingVideo]:
    for path in sample_sets()[name]:
        stat = path.stat()
        content = sha256(path.read_bytes()).hexdigest()
        yield PendingVideo(path.stem, content, path.resolve().as_uri(), stat.st_size, stat.st_mtime_ns, "video")


def _bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*.parquet"))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_measure(sys.argv[1])))
