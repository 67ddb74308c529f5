"""Blending masks: a hull of landmarks, bent by an elastic field and softened (Sec. 3.1, local and global masks).

Masks are (S, S) float32 in [0, 1], 1 where the source shows. Landmarks are (68, 2) in iBUG order, in pixels of the
crop with pixel centres at whole numbers.
"""

from collections.abc import Callable
from typing import get_args

import cv2
import numpy as np
from cv2.typing import MatLike

from difffake.config import HullFamily, MaskType
from difffake.errors import DegenerateMaskError
from difffake.faces.records import FloatArray
from difffake.pseudofakes.blending import move_matrix
from difffake.pseudofakes.recipe import Elastic, Move, Softening

JAW = tuple(range(17))
RIGHT_BROW = tuple(range(17, 22))
LEFT_BROW = tuple(range(22, 27))
NOSE_RIDGE = tuple(range(27, 31))
NOSE_BASE = tuple(range(31, 36))
RIGHT_EYE = tuple(range(36, 42))
LEFT_EYE = tuple(range(42, 48))
MOUTH = tuple(range(48, 68))
ALL_POINTS = tuple(range(68))

EYES_HULL = (*RIGHT_BROW, *LEFT_BROW, *RIGHT_EYE, *LEFT_EYE, 0, 1, 14, 15)
MOUTH_HULL = (*MOUTH, *range(4, 13), *NOSE_BASE)
LOWER_HEAD_HULL = (*range(1, 16), 29, 30)

# Lower face, nose, and what lies between the brows, the jaw's ends and the nose.
DFL_FULL_HULLS = (
    (*JAW, *MOUTH),
    (*NOSE_RIDGE, *NOSE_BASE),
    (*RIGHT_BROW, *LEFT_BROW, 0, 16, *NOSE_BASE),
)
# Neighbours share corners, so that their union has no holes.
COMPONENT_HULLS = (
    (0, 1, 2, 3, 36, 39, 31, 48),
    (16, 15, 14, 13, 45, 42, 35, 54),
    (*range(2, 15), *MOUTH, *NOSE_BASE),
    (*RIGHT_BROW, *RIGHT_EYE, 0, 27),
    (*LEFT_BROW, *LEFT_EYE, 16, 27),
    (*NOSE_RIDGE, *NOSE_BASE, 39, 42),
)

# Brows rise by this share of their distance from the eye beneath.
BROW_LIFT = 0.5
# A mask on less than this share of the crop shows a network nothing (50 pixels of 224 × 224).
MIN_MASK_SHARE = 1e-3
# Landmarks further out than this many crop sides come from a failed fit.
MAX_DISTANCE_SIDES = 16.0

# The elastic field is smooth: where sigma allows it is drawn at a quarter of the size.
_ELASTIC_REDUCTION = 4
# A blurred plateau of ones differs from its own maximum by a few units of 6e-8. The least weight a blur of 5 to 25
# pixels gives to a corner is 1.8e-6: between the two, "below 1" means that the kernel saw a pixel outside the mask.
_PLATEAU_TOLERANCE = 1e-6
# Fractional bits of the polygon filler's coordinates.
_POLYGON_SHIFT_BITS = 8


def hull_mask(
    landmarks_px: FloatArray, mask_type: MaskType, hull_family: HullFamily | None, size_px: int, scale: float = 1.0
) -> FloatArray:
    """The region a mask type names: 1 inside the convex hull (or union of hulls) of its landmarks, else 0.

    Args:
        landmarks_px: (68, 2), iBUG order, crop pixels; points may lie outside the crop.
        hull_family: needed for full faces, None for every other type.
        size_px: side S of the mask.
        scale: the hulls' size about their common centre.

    Returns:
        (S, S) float32, 0 or 1.

    Raises:
        DegenerateMaskError: landmarks are not finite, far away, in a line, or the hull misses the crop.
        ValueError: another shape than (68, 2), or a hull family that does not go with the mask type.
    """
    points = _hulls(_checked(landmarks_px, size_px), mask_type, hull_family)
    if scale != 1:
        centre = np.concatenate(points).mean(axis=0)
        points = [centre + np.float32(scale) * (part - centre) for part in points]
    hulls = [cv2.convexHull(part) for part in points]
    least_px2 = MIN_MASK_SHARE * size_px * size_px
    mask = np.zeros((size_px, size_px), np.float32)
    for hull in hulls:
        corners = np.rint(hull * (1 << _POLYGON_SHIFT_BITS)).astype(np.int32)
        cv2.fillConvexPoly(mask, corners, 1.0, lineType=cv2.LINE_8, shift=_POLYGON_SHIFT_BITS)
    # Both areas: a line has none but is drawn one pixel wide; a hull outside the crop has some but is not drawn.
    area_px2 = min(sum(cv2.contourArea(hull) for hull in hulls), float(mask.sum()))
    if area_px2 < least_px2:
        raise DegenerateMaskError(
            f"the {mask_type} hull covers {area_px2:.1f} px² of a {size_px} px crop, at least {least_px2:.1f} are "
            "needed: the landmarks lie in a line or outside the crop; leave this face out"
        )
    return mask


def deform_mask(mask: FloatArray, move: Move, elastic: Elastic) -> FloatArray:
    """Move a mask and bend the moved mask elastically, in one interpolation; 0 enters from outside.

    The result at p is the mask at A⁻¹(p + d(p)), for the move's affine A and the elastic displacement d.

    Args:
        mask: (S, S) float32.

    Returns:
        (S, S) float32, in the range of `mask`.
    """
    size_px = mask.shape[0]
    matrix = move_matrix(move, size_px)
    pixels = np.arange(size_px)
    map_x, map_y = elastic_field(size_px, elastic)
    # The affine has no rotation: each coordinate of p + d is moved back on its own.
    map_x += (pixels - matrix[0, 2]).astype(np.float32)
    map_y += (pixels - matrix[1, 2]).astype(np.float32)[:, None]
    map_x /= np.float32(matrix[0, 0])
    map_y /= np.float32(matrix[1, 1])
    moved = cv2.remap(mask, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(moved, np.float32)


def elastic_field(size_px: int, elastic: Elastic) -> tuple[FloatArray, FloatArray]:
    """Displacements in x and y: uniform noise in [-1, 1), blurred with sigma, times alpha.

    Each is (S, S) float32, in pixels, with a standard deviation near alpha / (2 sigma √(3π)).
    """
    reduction = _ELASTIC_REDUCTION if elastic.sigma_px >= _ELASTIC_REDUCTION else 1
    side = -(-size_px // reduction)
    noise = np.random.default_rng(elastic.seed).random((2, side, side), dtype=np.float32)
    # A coarse pixel stands for r × r fine ones, whose mean varies r times less.
    noise = (2 * noise - 1) * np.float32(elastic.alpha_px / reduction)
    smooth_x, smooth_y = (cv2.GaussianBlur(plane, (0, 0), elastic.sigma_px / reduction) for plane in noise)
    return _resized(smooth_x, size_px), _resized(smooth_y, size_px)


def soften_mask(mask: FloatArray, softening: Softening) -> FloatArray:
    """Shrink a mask and give it a smooth edge: blur, erode, blur again, each blur divided by its maximum.

    Args:
        mask: (S, S) float32 in [0, 1].

    Returns:
        (S, S) float32 in [0, 1].

    Raises:
        DegenerateMaskError: nothing is left to divide by.
    """
    inner_kernel = (softening.inner_kernel_px, softening.inner_kernel_px)
    outer_kernel = (softening.outer_kernel_px, softening.outer_kernel_px)

    # In place from here on: fresh memory costs as much as the arithmetic.
    soft = _resized(mask, softening.size_px)
    cv2.GaussianBlur(soft, inner_kernel, 0, dst=soft)
    # What is not below 1 is 1: the eroded mask is the plateau of the maximum, and binary.
    cv2.threshold(soft, (1 - _PLATEAU_TOLERANCE) * _positive_maximum(soft), 1.0, cv2.THRESH_BINARY, dst=soft)
    cv2.GaussianBlur(soft, outer_kernel, softening.outer_sigma_px, dst=soft)
    soft /= _positive_maximum(soft)
    soft = _resized(soft, mask.shape[0])
    _positive_maximum(soft)
    return np.minimum(soft, np.float32(1), out=soft)


def _resized(mask: MatLike, size_px: int) -> FloatArray:
    return np.asarray(cv2.resize(mask, (size_px, size_px), interpolation=cv2.INTER_LINEAR), np.float32)


def _positive_maximum(mask: MatLike) -> float:
    maximum = float(mask.max())
    # Written so that a NaN is refused too.
    if not maximum > _PLATEAU_TOLERANCE:
        raise DegenerateMaskError(
            f"the mask's maximum is {maximum:g} after moving and softening, it must be above 0: draw another recipe"
        )
    return maximum


def _checked(landmarks_px: FloatArray, size_px: int) -> FloatArray:
    if landmarks_px.shape != (68, 2):
        raise ValueError(f"landmarks have shape {landmarks_px.shape}, expected (68, 2): 68 points in iBUG order")
    if not np.isfinite(landmarks_px).all():
        raise DegenerateMaskError("landmarks are not all finite numbers: leave this face out")
    distance_px = float(np.abs(landmarks_px).max())
    if distance_px > MAX_DISTANCE_SIDES * size_px:
        raise DegenerateMaskError(
            f"a landmark lies {distance_px:.0f} px from the corner of a {size_px} px crop: are the landmarks in pixels "
            "of the crop? Otherwise leave this face out"
        )
    return np.ascontiguousarray(landmarks_px, dtype=np.float32)


def _hulls(landmarks_px: FloatArray, mask_type: MaskType, hull_family: HullFamily | None) -> list[FloatArray]:
    if mask_type in _LOCAL_HULLS and hull_family is None:
        return [landmarks_px[list(_LOCAL_HULLS[mask_type])]]
    if mask_type == "full_face" and hull_family in _FULL_FACE_HULLS:
        return _FULL_FACE_HULLS[hull_family](landmarks_px)
    raise ValueError(
        f"mask type {mask_type!r} with hull family {hull_family!r}: expected full_face with one of "
        f"{', '.join(get_args(HullFamily))}, or one of {', '.join(_LOCAL_HULLS)} with None"
    )


def _union(*hulls: tuple[int, ...]) -> Callable[[FloatArray], list[FloatArray]]:
    return lambda landmarks_px: [landmarks_px[list(hull)] for hull in hulls]


def _with_lifted_brows(landmarks_px: FloatArray) -> list[FloatArray]:
    lifted = landmarks_px.copy()
    for brow, eye in ((RIGHT_BROW, RIGHT_EYE), (LEFT_BROW, LEFT_EYE)):
        upwards = landmarks_px[list(brow)].mean(axis=0) - landmarks_px[list(eye)].mean(axis=0)
        lifted[list(brow)] += BROW_LIFT * upwards
    return [lifted]


_LOCAL_HULLS: dict[MaskType, tuple[int, ...]] = {
    "eyes": EYES_HULL,
    "mouth": MOUTH_HULL,
    "lower_head": LOWER_HEAD_HULL,
}
_FULL_FACE_HULLS: dict[HullFamily, Callable[[FloatArray], list[FloatArray]]] = {
    "dfl_full": _union(*DFL_FULL_HULLS),
    "extended": _with_lifted_brows,
    "components": _union(*COMPONENT_HULLS),
    "all_points": _union(ALL_POINTS),
}
