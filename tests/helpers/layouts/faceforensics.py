"""A miniature FaceForensics++ folder in the official naming."""

import json
from collections.abc import Callable
from pathlib import Path

SPLITS = {"train": [["000", "001"]], "val": [["010", "011"]], "test": [["020", "021"]]}
_SCENE = "outside_talking_still_laughing"
_PLACES_AND_KEYS = {
    "original_sequences/youtube/raw/videos/000.mp4": "youtube/raw/000",
    "original_sequences/youtube/c0/videos/001.mp4": "youtube/raw/001",
    "original_sequences/youtube/c23/videos/010.mp4": "youtube/c23/010",
    "original_sequences/youtube/c23/videos/020.mp4": "youtube/c23/020",
    "original_sequences/youtube/c40/videos/021.mp4": "youtube/c40/021",
    "manipulated_sequences/Deepfakes/raw/videos/000_001.mp4": "Deepfakes/raw/000_001",
    "manipulated_sequences/Face2Face/c0/videos/001_000.mp4": "Face2Face/raw/001_000",
    "manipulated_sequences/FaceSwap/c23/videos/010_011.mp4": "FaceSwap/c23/010_011",
    "manipulated_sequences/NeuralTextures/c40/videos/021_020.mp4": "NeuralTextures/c40/021_020",
    "manipulated_sequences/FaceShifter/c23/videos/020_021.mp4": "FaceShifter/c23/020_021",
}
_ACTORS_PLACES_AND_KEYS = {
    f"original_sequences/actors/c23/videos/24__{_SCENE}.mp4": f"actors/c23/24__{_SCENE}",
    f"original_sequences/actors/c40/videos/23__{_SCENE}.mp4": f"actors/c40/23__{_SCENE}",
    f"manipulated_sequences/DeepFakeDetection/c23/videos/24_23__{_SCENE}__YR5OVD4S.mp4": (
        f"DeepFakeDetection/c23/24_23__{_SCENE}__YR5OVD4S"
    ),
}


def build(root: Path, write: Callable[[Path], None]) -> frozenset[str]:
    """All five manipulations, the actors and DeepFakeDetection in several qualities, and the splits; gives the keys."""
    for split, pairs in SPLITS.items():
        path = root / "splits" / f"{split}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(pairs))
    return _write_all(root, write, _PLACES_AND_KEYS | _ACTORS_PLACES_AND_KEYS)


def build_deepfakedetection(root: Path, write: Callable[[Path], None]) -> frozenset[str]:
    """The actors' part alone, without splits; gives the keys."""
    return _write_all(root, write, _ACTORS_PLACES_AND_KEYS)


def _write_all(root: Path, write: Callable[[Path], None], places_and_keys: dict[str, str]) -> frozenset[str]:
    for place in places_and_keys:
        path = root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path)
    return frozenset(places_and_keys.values())
