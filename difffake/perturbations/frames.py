"""The perturbations of single frames of DeeperForensics-1.0, each at five severities.

Parameters and effects are those of the published perturbed sets (Jiang et al., CVPR 2020, and the implementation the
authors released with them); where we differ on purpose, the function says so. All work on whole RGB frames.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from difffake.config import PerturbationName
from difffake.faces.records import RgbImage

BLOCK_SIDE_PX = 8
BLOCK_GREY = 128
BLOCKS_PER_SIDE_PX = 256
"""A frame gets its number of blocks once for every so many pixels of its shorter side."""

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""ITU-R BT.601, of R, G, B."""

_STUDIO_TO_FULL_RANGE = np.array([255 / 219, 255 / 224, 255 / 224], np.float32)
_YCBCR_TO_RGB = np.array([[1, 1, 1], [0, -0.344136, 1.772], [1.402, -0.714136, 0]], np.float32)
"""Full-range BT.601: what a unit of Y, of Cb and of Cr (rows) adds to R, G, B."""

Apply = Callable[[RgbImage, float, np.random.Generator], RgbImage]


def change_saturation(rgb: RgbImage, factor: float, _: np.random.Generator) -> RgbImage:
    """Scale both chroma components of YCbCr; 0 gives grey.

    Args:
        rgb: (H, W, 3) uint8.
        factor: in [0, 1]; 1 changes nothing.
    """
    # R = Y + 1.402 Cr and its relatives are linear in chroma, so scaling chroma moves a pixel towards its own luma.
    luma = (rgb.astype(np.float32) @ _LUMA)[..., np.newaxis]
    return _to_uint8(luma + factor * (rgb - luma))


def change_contrast(rgb: RgbImage, factor: float, _: np.random.Generator) -> RgbImage:
    """Scale all intensities about black, as the published sets do: the frame loses contrast and darkens.

    Args:
        rgb: (H, W, 3) uint8.
        factor: in [0, 1]; 1 changes nothing.
    """
    return _to_uint8(factor * rgb.astype(np.float32))


def cover_blocks(rgb: RgbImage, blocks: float, rng: np.random.Generator) -> RgbImage:
    """Paint grey squares of 8 px at random places, which may overlap.

    `blocks` squares for every whole 256 px of the shorter side; smaller frames get them once, where the published sets
    give none.
    """
    covered = rgb.copy()
    height, width = rgb.shape[:2]
    count = int(blocks) * max(1, min(height, width) // BLOCKS_PER_SIDE_PX)
    tops = rng.integers(0, max(1, height - BLOCK_SIDE_PX + 1), count)
    lefts = rng.integers(0, max(1, width - BLOCK_SIDE_PX + 1), count)
    for top, left in zip(tops.tolist(), lefts.tolist(), strict=True):
        covered[top : top + BLOCK_SIDE_PX, left : left + BLOCK_SIDE_PX] = BLOCK_GREY
    return covered


def add_noise(rgb: RgbImage, variance: float, rng: np.random.Generator) -> RgbImage:
    """Add white Gaussian noise to Y, Cb and Cr.

    Args:
        rgb: (H, W, 3) uint8.
        variance: of each component, in units of 255 studio-range levels; such a level is 255/219 full-range levels of
            Y, 255/224 of chroma.
        rng: source of the noise.
    """
    # RGB is linear in YCbCr, so noise there is linearly mixed noise here.
    mixed = (np.float32(255 * np.sqrt(variance)) * _STUDIO_TO_FULL_RANGE)[:, np.newaxis] * _YCBCR_TO_RGB
    noise = rng.standard_normal(rgb.shape, dtype=np.float32) @ mixed
    return _to_uint8(rgb.astype(np.float32) + noise)


def blur(rgb: RgbImage, kernel_px: float, _: np.random.Generator) -> RgbImage:
    """Convolve with a Gaussian cut off at an odd kernel, its standard deviation a sixth of the kernel's side."""
    side = int(kernel_px)
    return np.asarray(cv2.GaussianBlur(rgb, (side, side), side / 6), dtype=np.uint8)


def pixelate(rgb: RgbImage, factor: float, _: np.random.Generator) -> RgbImage:
    """Shrink to a fraction of the side and enlarge again, both bilinearly: what the published sets call JPEG."""
    height, width = rgb.shape[:2]
    small = cv2.resize(rgb, (max(1, int(width // factor)), max(1, int(height // factor))))
    return np.asarray(cv2.resize(small, (width, height)), dtype=np.uint8)


@dataclass(frozen=True)
class FramePerturbation:
    """How a frame is perturbed, the parameter at severities 1 to 5, and what it is, in words."""

    apply: Apply
    levels: tuple[float, float, float, float, float]
    parameter: str


FRAME_PERTURBATIONS: Mapping[PerturbationName, FramePerturbation] = {
    "colour_saturation": FramePerturbation(change_saturation, (0.4, 0.3, 0.2, 0.1, 0.0), "factor of chroma"),
    "colour_contrast": FramePerturbation(change_contrast, (0.85, 0.725, 0.6, 0.475, 0.35), "factor of intensity"),
    "block_wise": FramePerturbation(cover_blocks, (16, 32, 48, 64, 80), "number of blocks"),
    "gaussian_noise": FramePerturbation(add_noise, (0.001, 0.002, 0.005, 0.01, 0.05), "variance of noise"),
    "gaussian_blur": FramePerturbation(blur, (7, 9, 13, 17, 21), "kernel in px"),
    "pixelation": FramePerturbation(pixelate, (2, 3, 4, 5, 6), "divisor of the side"),
}


def _to_uint8(values: npt.NDArray[np.floating[Any]]) -> RgbImage:
    """Rounded, not cut off as in the published sets: half a level of brightness."""
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)
