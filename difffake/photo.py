"""Photos: a video of one frame, for collections that show a person in single pictures."""

import contextlib
import warnings
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from difffake.errors import InputLimitError, UnreadableVideoError
from difffake.faces.records import RgbImage


def read_photo(path: Path) -> RgbImage:
    """The picture upright as its EXIF orientation says: (H, W, 3) uint8 RGB.

    Raises:
        UnreadableVideoError: no file, not a picture OpenCV decodes, or more pixels than it accepts.
    """
    try:
        content = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    except OSError as error:
        raise UnreadableVideoError(_unreadable(path, str(error.strerror))) from error
    try:
        bgr = cv2.imdecode(content, cv2.IMREAD_COLOR) if content.size else None
    except cv2.error as error:
        raise UnreadableVideoError(_unreadable(path, f"the decoder refuses it ({error.err})")) from error
    if bgr is None:
        raise UnreadableVideoError(_unreadable(path, "not a picture" if content.size else "an empty file"))
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def photo_size(path: Path) -> tuple[int, int] | None:
    """Width and height as the file's header states them, nothing decoded; None where it is not known.

    Raises:
        InputLimitError: more pixels than any photo has.
    """
    with warnings.catch_warnings(), contextlib.suppress(OSError, SyntaxError):
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(path) as picture:
                return picture.size
        except Image.DecompressionBombError as error:
            raise InputLimitError(f"a picture of more pixels than any photo has: {error}") from error
    return None


def _unreadable(path: Path, seen: str) -> str:
    return f"{path}: {seen}. Expected a picture that OpenCV decodes: copy it anew, or leave it out."
