"""How a stored picture is turned and mirrored to be shown, as its container or stream says."""

from collections.abc import Mapping
from typing import cast

import numpy as np
import numpy.typing as npt
from av.buffer import Buffer
from av.video.frame import VideoFrame

from difffake.faces.records import RgbImage

_DISPLAY_MATRIX = "DISPLAYMATRIX"


class Orientation:
    """The display matrix of a video's frames: the first one's, and a new one whenever their rotation changes.

    A vertical flip that comes or goes in mid-stream leaves the rotation as it is, and is not noticed.

    Asking a frame for its side data ties it into a reference cycle, which holds its picture until the next collection
    of garbage: a hundred megabytes for a 720p video's frames, and the time to get as much anew.
    """

    def __init__(self) -> None:
        self._rotation: int | None = None
        self._matrix: npt.NDArray[np.int32] | None = None

    def matrix_of(self, frame: VideoFrame) -> npt.NDArray[np.int32] | None:
        """(3, 3), of a frame in the order of decoding; None: it is shown as it is stored."""
        if frame.rotation != self._rotation:
            self._rotation = frame.rotation
            side_data = cast(Mapping[str, Buffer], frame.side_data)
            content = bytes(side_data[_DISPLAY_MATRIX]) if _DISPLAY_MATRIX in side_data else None
            self._matrix = None if content is None else np.frombuffer(content, dtype=np.int32).reshape(3, 3)
        return self._matrix


def is_turned(matrix: npt.NDArray[np.int32]) -> bool:
    """Whether what is shown is as wide as what is stored is high, to the nearest quarter turn."""
    (x_from_p, y_from_p), (x_from_q, y_from_q) = matrix[:2, :2].tolist()
    return bool(abs(x_from_q) + abs(y_from_p) > abs(x_from_p) + abs(y_from_q))


def apply_display_matrix(rgb: RgbImage, matrix: npt.NDArray[np.int32]) -> RgbImage:
    """Turn and mirror a stored picture as its display matrix says, to the nearest quarter turn.

    `matrix` is (3, 3) in FFmpeg's order: a stored point (p, q) is shown at (m00 p + m10 q, m01 p + m11 q), up to
    translation and scale.

    Source: ISO/IEC 14496-12, track header box.
    """
    (x_from_p, y_from_p), (x_from_q, y_from_q) = matrix[:2, :2].tolist()
    if is_turned(matrix):
        rgb, x_sign, y_sign = rgb.transpose(1, 0, 2), x_from_q, y_from_p
    else:
        x_sign, y_sign = x_from_p, y_from_q
    return np.ascontiguousarray(rgb[:: -1 if y_sign < 0 else 1, :: -1 if x_sign < 0 else 1])
