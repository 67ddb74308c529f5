"""Photographs that come with scikit-image, read as data files; the package itself is never imported."""

from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt


def sample_picture(name: str, size_px: int) -> npt.NDArray[np.uint8]:
    """The central square of a picture, (S, S, 3) uint8 RGB."""
    spec = find_spec("skimage")
    assert spec is not None
    assert spec.origin is not None
    rgb = cv2.cvtColor(cv2.imread(str(Path(spec.origin).parent / "data" / name)), cv2.COLOR_BGR2RGB)
    side = min(rgb.shape[:2])
    top, left = (rgb.shape[0] - side) // 2, (rgb.shape[1] - side) // 2
    square = rgb[top : top + side, left : left + side]
    return np.asarray(cv2.resize(square, (size_px, size_px), interpolation=cv2.INTER_AREA), np.uint8)
