"""A miniature of Celeb-DF v2, in the official naming."""

from collections.abc import Callable
from pathlib import Path

TEST_LIST = (
    "1 YouTube-real/00170.mp4",
    "1 YouTube-real/00250.mp4",
    "1 Celeb-real/id16_0011.mp4",
    "0 Celeb-synthesis/id16_id2_0011.mp4",
    "0 Celeb-synthesis/id2_id16_0008.mp4",
)
NAMES = (
    "Celeb-real/id2_0003",
    "Celeb-real/id2_0008",
    "Celeb-real/id16_0011",
    "Celeb-real/id61_0009",
    "Celeb-synthesis/id2_id16_0003",
    "Celeb-synthesis/id2_id16_0008",
    "Celeb-synthesis/id16_id2_0011",
    "Celeb-synthesis/id61_id2_0009",
    "YouTube-real/00000",
    "YouTube-real/00170",
    "YouTube-real/00250",
)


def build(root: Path, write: Callable[[Path], None]) -> frozenset[str]:
    """Write eleven clips and the list of test videos; return the local keys."""
    for name in NAMES:
        path = root / f"{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path)
    (root / "List_of_testing_videos.txt").write_text("".join(f"{line}\n" for line in TEST_LIST))
    return frozenset(NAMES)
