"""A miniature of DFDC Preview, in the official naming."""

import json
from collections.abc import Callable
from pathlib import Path


def _real(split: str, person: str) -> dict[str, object]:
    return {"label": "real", "set": split, "target_id": person, "swapped_id": None, "augmentations": []}


def _fake(split: str, target: str, swapped: str, recording: str) -> dict[str, object]:
    entry: dict[str, object] = {"label": "fake", "set": split, "augmentations": []}
    return entry | {"target_id": target, "swapped_id": swapped, "source_video": recording}


LISTED: dict[str, dict[str, object]] = {
    "original_videos/643049/643049_A_001.mp4": _real("train", "643049"),
    "original_videos/643049/643049_A_002.mp4": _real("train", "643049"),
    "original_videos/1003254/1003254_A_001.mp4": _real("test", "1003254"),
    "original_videos/1255229/1255229_B_001.mp4": _real("test", "1255229"),
    "method_A/643049/643049_A/1224068_643049_A_001.mp4": _fake("train", "643049", "1224068", "643049_A"),
    "method_A/1003254/1003254_A/1255229_1003254_A_001.mp4": _fake("test", "1003254", "1255229", "1003254_A"),
    "method_B/1003254/1003254_A/1255229_1003254_A_001.mp4": _fake("test", "1003254", "1255229", "1003254_A"),
    "method_B/1255229/1255229_B/1003254_1255229_B_001.mp4": _fake("test", "1255229", "1003254", "1255229_B"),
}


def build(root: Path, write: Callable[[Path], None]) -> frozenset[str]:
    """Write eight clips and dataset.json; return the local keys."""
    for name in LISTED:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path)
    (root / "dataset.json").write_text(json.dumps(LISTED))
    return frozenset(name.removesuffix(".mp4") for name in LISTED)
