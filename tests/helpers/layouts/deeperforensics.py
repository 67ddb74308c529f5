"""A miniature DeeperForensics-1.0 folder in the official naming."""

from collections.abc import Callable
from pathlib import Path

SPLITS = {"train": ["033_M101"], "val": ["044_W004"], "test": ["055_M010"]}
_ACTOR_SCENES = (
    "M101/light_up/happy/camera_front/M101_light_up_happy_camera_front",
    "W004/BlendShape/camera_left/W004_BlendShape_camera_left",
)
_FAKES = (
    "end_to_end/033_M101",
    "end_to_end/044_W004",
    "end_to_end/055_M010",
    "end_to_end_level_1/055_M010",
    "end_to_end_level_5/055_M010",
    "end_to_end_random_level/055_M010",
    "end_to_end_mix_3_distortions/055_M010",
    "reenact_postprocess/055_M010",
)


def build(root: Path, write: Callable[[Path], None]) -> frozenset[str]:
    """Six of the eleven variants, two actors and the lists; gives the keys."""
    for split, names in SPLITS.items():
        path = root / "lists" / "splits" / f"{split}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{name}.mp4\n" for name in names))
    (root / "terms_of_use.pdf").write_bytes(b"")
    for name in _FAKES:
        _write(root / "manipulated_videos" / f"{name}.mp4", write)
    for name in _ACTOR_SCENES:
        _write(root / "source_videos" / f"{name}.mp4", write)
    return frozenset(_FAKES) | {f"source_videos/{name}" for name in _ACTOR_SCENES}


def _write(path: Path, write: Callable[[Path], None]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path)
