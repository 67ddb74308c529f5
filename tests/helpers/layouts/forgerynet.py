"""A miniature ForgeryNet folder in the official naming."""

from collections.abc import Callable
from pathlib import Path

_TRAIN = "Training/video/train_video_release"
_VAL = "Validation/video/val_video_release"
_TEST = "Test/video/test_video_release"
# Place of each video and the line its list has for it, whose path starts below video/.
_LINES = {
    f"{_TRAIN}/1/9870/47d6/video.mp4": "2 {path} 79 17 1 96 64 0 1 2 1",
    f"{_TRAIN}/7/ddce/247c/video.mp4": "1 {path} 0 90 1 1 1 7",
    f"{_TRAIN}/16/a1b2/video.mp4": "1 {path} 0 120 0 0 0 0",
    f"{_VAL}/4/7f89/718e/video.mp4": "3 {path} 0 10 0 10 35 1 45 30 0 1 2 4",
    f"{_VAL}/8/7f89/718e/video.mp4": "{path} 1 1 8",
    f"{_VAL}/18/c3d4/video.mp4": "1 {path} 0 75 0 0 0 0",
    f"{_VAL}/19/e5f6/video.mp4": "{path} 0 0 0",
    f"{_TEST}/3/1111/2222/video.mp4": "1 {path} 0 75 1 1 2 3",
    f"{_TEST}/17/3333/video.mp4": "{path} 0 0 0",
}


def build(root: Path, write: Callable[[Path], None]) -> frozenset[str]:
    """Fakes and reals of each split with their lists, and an image that is none of the video task; gives the keys."""
    lists: dict[str, list[str]] = {}
    for place, line in _LINES.items():
        split, _, path = place.split("/", 2)
        lists.setdefault(split, []).append(line.format(path=path))
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        write(root / place)
    for split, lines in lists.items():
        (root / split / "video_list.txt").write_text("".join(f"{line}\n" for line in lines))
    image = root / "Training/image/train_release/7/2ac4/b039/frame00038.jpg"
    image.parent.mkdir(parents=True)
    image.write_bytes(b"")
    (root / "Training/image_list.txt").write_text("train_release/7/2ac4/b039/frame00038.jpg 1 1 15\n")
    return frozenset(place.removesuffix(".mp4") for place in _LINES)
