"""A folder of videos of which nothing is known."""

from collections.abc import Callable
from pathlib import Path


def build(root: Path, write: Callable[[Path], None]) -> set[str]:
    """Three videos at any depth and what lies beside them; gives the keys."""
    places = ("a.mp4", "sent/a.mp4", "sent/deep/b.mov")
    for place in places:
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        write(root / place)
    (root / "notes.txt").write_text("no video")
    return {f"videos/{place}" for place in places}
