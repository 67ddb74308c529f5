"""What an input may cost before it is refused: bytes, seconds of video, pixels, frames, and seconds of work."""

import time
from pathlib import Path
from typing import Self

from pydantic import Field

from difffake.config import Section
from difffake.errors import InputLimitError

_MEGABYTE = 1_000_000


class InputLimits(Section):
    """Limits of one input; None means no limit of that kind."""

    max_file_mb: float | None = Field(4096, gt=0, description="Size of the file, in megabytes of 10⁶ bytes.")
    max_duration_s: float | None = Field(3600, gt=0, description="Length of a video, in seconds.")
    max_megapixels: float | None = Field(36, gt=0, description="Of a frame or photo, in 10⁶; 8K has 33.2.")
    max_frames: int | None = Field(216_000, ge=1, description="Frames of a video; an hour at 60 a second.")
    timeout_s: float | None = Field(
        900, gt=0, description="Work on one input, in seconds; looked at between groups of up to eight frames."
    )

    @classmethod
    def none(cls) -> Self:
        """No limit at all, for files one trusts."""
        return cls.model_validate(dict.fromkeys(cls.model_fields))

    def check_file(self, path: Path) -> None:
        """Refuse a file that is too large; one that is not there is left to its reader.

        Raises:
            InputLimitError: it is.
        """
        if self.max_file_mb is not None and path.is_file():
            _check("file", path.stat().st_size / _MEGABYTE, self.max_file_mb, "MB", "max_file_mb")

    def check_picture(self, width: int, height: int) -> None:
        """Refuse frames or a photo of too many pixels.

        Raises:
            InputLimitError: they are.
        """
        if self.max_megapixels is not None:
            _check(
                f"picture {width} × {height}", width * height / 1e6, self.max_megapixels, "megapixels", "max_megapixels"
            )

    def check_length(self, frames: int, duration_s: float) -> None:
        """Refuse a video that is too long.

        Raises:
            InputLimitError: it is.
        """
        if self.max_duration_s is not None:
            _check("video", duration_s, self.max_duration_s, "s", "max_duration_s")
        if self.max_frames is not None:
            _check("video", frames, self.max_frames, "frames", "max_frames")

    def start(self) -> "Deadline":
        """The clock of one input, running from now."""
        return Deadline(self.timeout_s)


class Deadline:
    """Until when work on an input may last."""

    def __init__(self, timeout_s: float | None) -> None:
        self._timeout_s = timeout_s
        self._end = None if timeout_s is None else time.monotonic() + timeout_s

    def check(self) -> None:
        """Give up where the time is over.

        Raises:
            InputLimitError: it is.
        """
        if self._end is not None and time.monotonic() > self._end:
            raise InputLimitError(f"it took longer than {self._timeout_s:g} s (limit timeout_s)")


def _check(what: str, seen: float, limit: float, unit: str, name: str) -> None:
    if seen > limit:
        raise InputLimitError(f"a {what} of {seen:,.4g} {unit}, more than the {limit:,.4g} allowed (limit {name})")
