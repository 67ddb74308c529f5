"""What a clip is made of: photos and windows of videos, and the people in them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from difffake.errors import DataError
from difffake.faces.records import RgbImage
from difffake.video import probe, read_frames

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")


@dataclass(frozen=True)
class Take:
    """Material for one clip: a photo, or a window of a video, and the square of it that the camera shows.

    Attributes:
        path: the photo or video.
        centre_xy_px: middle of the square, in pixels of the medium.
        side_px: side of the square, in pixels of the medium; a face about half as wide looks like broadcast footage.
        start_s: start of the window in a video; None for a photo.
    """

    path: Path
    centre_xy_px: tuple[float, float]
    side_px: float
    start_s: float | None = None


@dataclass(frozen=True)
class Person:
    """One identity: each of its takes becomes one real clip, all of them in one split."""

    name: str
    split: Split
    takes: tuple[Take, ...]


@dataclass(frozen=True)
class FootageMedia:
    """Everything a build starts from.

    Attributes:
        people: at least two in each split they use, so that every swap has two identities.
        faceless: videos without any face, put into the training split as they would be in the wild.
    """

    people: tuple[Person, ...]
    faceless: tuple[Take, ...] = ()


def read_take(take: Take, frames: int, fps: float) -> list[RgbImage]:
    """The frames of a take at the given rate, each (H, W, 3) uint8; a photo is one frame, repeated.

    Raises:
        DataError: a photo that cannot be decoded, or a video that ends before the window does.
        UnreadableVideoError: not a single frame could be decoded.
    """
    if take.start_s is None:
        return [_read_photo(take.path)] * frames
    info = probe(take.path)
    indices = np.rint((take.start_s + np.arange(frames) / fps) * info.fps).astype(np.int64)
    if indices[-1] >= info.frames:
        raise DataError(
            f"{take.path} has {info.frames} frames at {info.fps:.3g} per second; a window of {frames} frames at "
            f"{fps:g} per second from {take.start_s:g} s on needs {indices[-1] + 1}: start earlier or take fewer frames"
        )
    wanted, position = np.unique(indices, return_inverse=True)
    distinct = [frame.rgb for frame in read_frames(take.path, wanted)]
    return [distinct[i] for i in position]


def _read_photo(path: Path) -> RgbImage:
    bgr = cv2.imdecode(np.fromfile(path, dtype=np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        raise DataError(f"{path} is not an image OpenCV can decode: expected a JPEG or PNG file, restore it")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)
