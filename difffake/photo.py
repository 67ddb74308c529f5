"""Photos: a video of one frame, for collections that show a person in single pictures."""

from pathlib import Path

import cv2
import numpy as np

from difffake.errors import UnreadableVideoError
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


def _unreadable(path: Path, seen: str) -> str:
    return f"{path}: {seen}. Expected a picture that OpenCV decodes: copy it anew, or leave it out."
