"""A miniature photo collection in the naming of Labeled Faces in the Wild."""

from collections.abc import Callable
from pathlib import Path

_PHOTOS = (
    "Aaron_Eckhart/Aaron_Eckhart_0001",
    "Bill_Clinton/Bill_Clinton_0001",
    "Bill_Clinton/Bill_Clinton_0002",
    "Zico/Zico_0001",
    "Zico/Zico_0002",
)


def build(root: Path, write: Callable[[Path], None]) -> frozenset[str]:
    """Five photos of three people; `write` must make photos; gives the keys."""
    for photo in _PHOTOS:
        path = root / f"{photo}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path)
    return frozenset(_PHOTOS)
