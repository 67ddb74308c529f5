"""Source and target: the colour transform, the move, and the blend of the two (Sec. 3.1).

Images are (S, S, 3) uint8 RGB.
"""

import cv2
import numpy as np
import numpy.typing as npt
from cv2.typing import MatLike

from difffake.faces.records import Affine, FloatArray, RgbImage
from difffake.pseudofakes.recipe import ColourTransform, Downscale, Move, Sharpen

_LEVELS = np.arange(256, dtype=np.float64)
_HUES_8BIT = 180


def transform_colour(image_rgb: RgbImage, colour: ColourTransform) -> RgbImage:
    """Shift RGB, then hue, saturation and value, then brightness and contrast, then change the sharpness.

    Every step but the last is a function of one value and costs one look-up table.
    """
    # One name throughout: what is no longer needed is freed at once, and fresh memory is dear.
    shifted = image_rgb
    if colour.rgb_shift_levels is not None:
        shifted = _look_up(shifted, *(_LEVELS + shift for shift in colour.rgb_shift_levels))
    hue_shift, saturation_shift, value_shift = colour.hsv_shift_levels
    shifted = _look_up(
        cv2.cvtColor(shifted, cv2.COLOR_RGB2HSV),
        # The fraction is cut off, not rounded: the paper's ±0.3 then costs a level or nothing, and is not a mere no-op.
        np.floor((_LEVELS + hue_shift) % _HUES_8BIT),
        np.floor(_LEVELS + saturation_shift),
        np.floor(_LEVELS + value_shift),
    )
    shifted = _look_up(
        cv2.cvtColor(shifted, cv2.COLOR_HSV2RGB), (1 + colour.contrast) * _LEVELS + 255 * colour.brightness
    )
    return change_detail(shifted, colour.detail)


def change_detail(image_rgb: RgbImage, detail: Downscale | Sharpen) -> RgbImage:
    """Lose detail by a smaller size in between, or exaggerate it with a 3 × 3 filter."""
    if isinstance(detail, Downscale):
        return _downscale(image_rgb, detail.factor)
    return np.asarray(cv2.filter2D(image_rgb, -1, sharpening_kernel(detail)), np.uint8)


def sharpening_kernel(sharpen: Sharpen) -> FloatArray:
    """(1 − alpha) · identity + alpha · (eight-neighbour Laplacian + lightness · identity), (3, 3) float32.

    Its weights add up to 1 − alpha + alpha · lightness: a lightness of 1 keeps the brightness.
    """
    kernel = np.full((3, 3), -sharpen.alpha, np.float32)
    kernel[1, 1] = 1 - sharpen.alpha + sharpen.alpha * (8 + sharpen.lightness)
    return kernel


def move_matrix(move: Move, size_px: int) -> Affine:
    """The (2, 3) float64 affine from homogeneous pixels to moved pixels: scale about the centre, then translate."""
    centre_px = (size_px - 1) / 2
    kept_px = centre_px * (1 - move.scale)
    return np.array(
        [
            [move.scale, 0, kept_px + move.translate_x * size_px],
            [0, move.scale, kept_px + move.translate_y * size_px],
        ]
    )


def move_image(image_rgb: RgbImage, matrix: Affine) -> RgbImage:
    """Move an image by an affine; what enters from outside is its mirror image, never black."""
    moved = cv2.warpAffine(
        image_rgb, matrix, image_rgb.shape[:2], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(moved, np.uint8)


def blend(source_rgb: RgbImage, target_rgb: RgbImage, mask: FloatArray) -> RgbImage:
    """source · mask + target · (1 − mask), rounded to the nearest grey level.

    Args:
        mask: (S, S) float32 in [0, 1].
    """
    # blendLinear divides by the sum of the weights + 1e-5: at most 0.003 grey levels.
    return np.asarray(cv2.blendLinear(source_rgb, target_rgb, mask, 1 - mask), np.uint8)


def _downscale(image_rgb: RgbImage, factor: int) -> RgbImage:
    height_px, width_px = image_rgb.shape[:2]
    small_size = (max(1, width_px // factor), max(1, height_px // factor))
    small = cv2.resize(image_rgb, small_size, interpolation=cv2.INTER_NEAREST)
    return np.asarray(cv2.resize(small, (width_px, height_px), interpolation=cv2.INTER_LINEAR), np.uint8)


def _look_up(image: MatLike, *channels: npt.NDArray[np.float64]) -> RgbImage:
    """Replace every value v by `channels[c][v]`, rounded and saturated; one table serves all three channels too."""
    table = np.rint(np.clip(np.stack(channels, axis=-1), 0, 255)).astype(np.uint8)
    return np.asarray(cv2.LUT(image, table[None]), np.uint8)
