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
        note = f"{measured['videos']} videos, {measured['faces'] / measured['videos']:.1f} faces a video; {name}"
        per_shard = RunnerConfig().videos_per_shard
        figures += [
            Figure("source read", measured["source_bytes"] / measured["videos"] / 1e6, "GB per 1,000", note=note),
            Figure("extraction", measured["extract_s"] / measured["videos"] * 1000, "CPU s per 1,000", note=note),
            Figure("faces stored", measured["face_bytes"] / measured["videos"] / 1e6, "GB per 1,000", note=note),
            Figure("task runs of extraction, and of scoring", 1000 / per_shard, "per 1,000", note="at full shards"),
        ]
        for network, cost in measured["networks"].items():
            per_video = measured["faces"] / measured["videos"] / cost["faces"]
            figures += [
                Figure("embedding", cost["cpu_s"] * per_video * 1000, "CPU s per 1,000", note=f"{network}; {name}"),
                Figure("embeddings", cost["bytes"] * per_video / 1e6, "GB per 1,000", note=f"{network}; {name}"),
            ]
    return figures


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
    shard = EmbeddingShard(tuple(row["face_id"] for row in names), tuple(row["video_sha256"] for row in names))
    table = home.root / "lake" / TableName.EMBEDDINGS.value
    before = _bytes_below(table)
    with spent() as embedding:
        embed_shard.fn(home, config, EmbeddingNetwork(config.model, weights, 1), shard)
    return {"cpu_s": embedding.cpu_s, "faces": len(names), "bytes": _bytes_below(table) - before}


def _pending(name: str) -> Iterator[PendingVideo]:
    for path in sample_sets()[name]:
        stat = path.stat()
        content = sha256(path.read_bytes()).hexdigest()
        yield PendingVideo(path.stem, content, path.resolve().as_uri(), stat.st_size, stat.st_mtime_ns, "video")


def _bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*.parquet"))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_measure(sys.argv[1])))
