"""Two faces side by side, small enough for a page."""

import cv2
import numpy as np
import numpy.typing as npt

from difffake.errors import DataError

_GAP_PX = 2
_JPEG_QUALITY = 85


def pair_picture(base_jpeg: bytes, partner_jpeg: bytes, side_px: int) -> bytes:
    """A JPEG of `2 * side_px + 2` by `side_px` pixels: two stored crops, the base at the left.

    Raises:
        DataError: a crop is no picture.
    """
    left, right = (_small(jpeg, side_px) for jpeg in (base_jpeg, partner_jpeg))
    gap = np.full((side_px, _GAP_PX, 3), 255, np.uint8)
    _, encoded = cv2.imencode(".jpg", np.hstack([left, gap, right]), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return encoded.tobytes()


def _small(jpeg: bytes, side_px: int) -> npt.NDArray[np.uint8]:
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise DataError("a stored crop is not a JPEG; extract the faces again: difffake refresh")
    return np.asarray(cv2.resize(picture, (side_px, side_px), interpolation=cv2.INTER_AREA), np.uint8)
