"""A miniature of UADFV, in the official naming."""

from collections.abc import Callable
from pathlib import Path

NAMES = (
    "real/0000",
    "real/0001",
    "real/0002",
    "real/0048",
    "fake/0000_fake",
    "fake/0001_fake",
    "fake/0002_fake",
)


def build(root: Path, write: Callable[[Path], None]) -> frozenset[str]:
    """Write seven clips; return the local keys."""
    for name in NAMES:
        path = root / f"{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path)
    return frozenset(NAMES)
