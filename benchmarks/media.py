"""The videos benchmarks run on: real sample videos where they are at hand, the demo's footage otherwise."""

import contextlib
import os
from pathlib import Path

from benchmarks.measure import REPOSITORY
from difffake.errors import DataError, TruncatedVideoError
from difffake.video import probe, read_frames, sample_indices

SAMPLE_VARIABLE = "DIFFFAKE_SAMPLE_DATA"
_SUFFIXES = frozenset({".mp4", ".mov", ".mpg", ".avi"})
_FOOTAGE = Path(".difffake/footage/FaceForensics++")


def sample_folder() -> Path:
    """The folder of real sample videos, whether or not it is there."""
    return Path(os.environ.get(SAMPLE_VARIABLE, REPOSITORY.parent / "shared" / "data"))


def sample_videos(*folders: str) -> list[Path]:
    """Real videos below the named folders of the sample, sorted; the demo's footage where there is no sample.

    Raises:
        DataError: there is neither.
    """
    root = sample_folder()
    places = [root / folder for folder in folders] if root.is_dir() else [REPOSITORY / _FOOTAGE, Path.cwd() / _FOOTAGE]
    videos = sorted({path for place in places for path in place.rglob("*") if path.suffix.lower() in _SUFFIXES})
    if not videos:
        raise DataError(
            f"no video to measure with: {root} is not there ({SAMPLE_VARIABLE} names another place), and "
            "`difffake demo` has not been run here"
        )
    return videos


def decode(video: Path, count: int) -> None:
    """Decode the frames that extraction samples, and nothing else: the floor of what reads videos."""
    # Some real files are cut; whoever is measured against this stops at the same frame.
    with contextlib.suppress(TruncatedVideoError):
        for _ in read_frames(video, sample_indices(probe(video).frames, count)):
            pass
