"""Whether crops show one and the same picture: footage without change, as of a photo that was made a video."""

from collections.abc import Sequence

import cv2
import numpy as np

STILL_GREY_LEVELS = 0.75
"""Below this mean spread over time, in grey levels of 0 to 255, a face is still; people who sit still spread by 4 and
more, and compression of a still picture by less than half."""

_SIDE_PX = 32


def shows_one_picture(crops_jpeg: Sequence[bytes]) -> bool:
    """Whether two or more crops are one picture but for compression; crops that cannot be decoded are left out."""
    decoded = (cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE) for jpeg in crops_jpeg)
    small = [
        cv2.resize(grey, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA) for grey in decoded if grey is not None
    ]
    if len(small) < 2:
        return False
    spread = np.stack(small).astype(np.float64).std(axis=0).mean()
    return bool(spread < STILL_GREY_LEVELS)
