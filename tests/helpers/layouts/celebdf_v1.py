"""A miniature of Celeb-DF v1, in the official naming."""

from collections.abc import Callable
from pathlib import Path

TEST_LIST = ("1 YouTube-real/00170.mp4", "1 Celeb-real/id1_0007.mp4", "0 Celeb-synthesis/id1_id0_0007.mp4")
NAMES = (
    "Celeb-real/id0_0000",
    "Celeb-real/id1_0007",
    "Celeb-synthesis/id0_id1_0000",
    "Celeb-synthesis/id1_id0_0007",
    "YouTube-real/00000",
    "YouTube-real/00170",
)


def build(root: Path, write: Callable[[Path], None]) -> frozenset[str]:
    """Write six clips and the list of test videos; return the local keys."""
    for name in NAMES:
        path = root / f"{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path)
    (root / "List_of_testing_videos.txt").write_text("".join(f"{line}\n" for line in TEST_LIST))
    return frozenset(NAMES)
