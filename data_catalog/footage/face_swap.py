"""A classical face swap: the source's face warped triangle by triangle onto the target's, recoloured and blended in.

It belongs to the test data, not to the method: the backbone trains on pseudo-fakes alone and never sees one of these.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
from scipy.spatial import Delaunay

from difffake.errors import DataError
from difffake.faces.records import FloatArray, RgbImage

Blending = Literal["feather", "poisson"]

_INNER_MOUTH = slice(60, 68)
_MARGIN_PX = 3
# Shares of the hull's shorter side.
_FEATHER = 0.12
_CLONE_INSET = 0.05
_LEAST_SWAPPED_SHARE = 0.5
# Standard deviations are not stretched further than this: noise would be amplified with them.
_LARGEST_CONTRAST_CHANGE = 2.0
_SMALLEST_DEVIATION = 1e-3  # of a CIELAB channel; below it lies rounding
_SMALLEST_AREA_PX2 = 1e-6
_ON_EDGE = 1e-9  # barycentric; a pixel on an edge belongs to both triangles, which agree there


@dataclass(frozen=True, eq=False)
class SwappedClip:
    """A fake before sensor noise.

    Attributes:
        frames: (T, H, W, 3) uint8.
        frames_swapped: how many of them carry the source's face; the others equal the target's frames.
    """

    frames: npt.NDArray[np.uint8] = field(repr=False)
    frames_swapped: int


def swap_clip(
    target: npt.NDArray[np.uint8],
    target_landmarks_px: Sequence[FloatArray | None],
    source: npt.NDArray[np.uint8],
    source_landmarks_px: Sequence[FloatArray | None],
    blending: Blending,
) -> SwappedClip:
    """Put the source's face on the target's, frame by frame; a frame without either face stays as it is.

    Both clips are (T, H, W, 3) uint8 with T sets of (68, 2) landmarks, None where no face was found.

    Raises:
        DataError: fewer than half of the frames could be swapped.
    """
    frames = target.copy()
    swapped = 0
    clips = zip(target, target_landmarks_px, source, source_landmarks_px, strict=True)
    for index, (target_rgb, target_points, source_rgb, source_points) in enumerate(clips):
        if target_points is not None and source_points is not None:
            frames[index] = swap_face(target_rgb, target_points, source_rgb, source_points, blending)
            swapped += 1
    if swapped < _LEAST_SWAPPED_SHARE * len(target):
        raise DataError(
            f"only {swapped} of {len(target)} frames show both faces; a fake needs at least "
            f"{_LEAST_SWAPPED_SHARE:.0%}: choose another window or a view in which the faces are larger"
        )
    return SwappedClip(frames, swapped)


def swap_face(
    target_rgb: RgbImage,
    target_points: FloatArray,
    source_rgb: RgbImage,
    source_points: FloatArray,
    blending: Blending,
) -> RgbImage:
    """The target's frame with the source's face inside the target's landmark hull.

    Points are (68, 2), iBUG order, in pixels of their image. The inside of the mouth stays the target's, since closed
    lips cannot be warped into teeth.
    """
    top, left, bottom, right = _hull_window(target_points, target_rgb.shape[:2])
    swapped = target_rgb.copy()
    if bottom - top <= 2 * _MARGIN_PX or right - left <= 2 * _MARGIN_PX:
        return swapped
    region = target_rgb[top:bottom, left:right]
    points = target_points - np.array([left, top], dtype=np.float32)
    source_xy, is_inside = piecewise_affine_map(points, source_points, region.shape[:2])
    map_x, map_y = np.ascontiguousarray(np.moveaxis(source_xy, 2, 0))
    warped = cv2.remap(source_rgb, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    face = np.where(is_inside[..., None], warped, region)
    face = match_colour(face, region, is_inside)
    face = _RECOLOUR[blending](face, region, points)
    weight = feather_mask(points, region.shape)[..., None]
    swapped[top:bottom, left:right] = np.rint(weight * face + (1 - weight) * region).astype(np.uint8)
    return swapped


def piecewise_affine_map(
    target_points: FloatArray, source_points: FloatArray, shape: tuple[int, ...]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Where each target pixel comes from: affine on every Delaunay triangle of the target's points.

    Args:
        target_points: (N, 2) x, y in target pixels, N ≥ 3 and not all on one line.
        source_points: (N, 2) x, y in source pixels.
        shape: height and width of the target.

    Returns:
        (H, W, 2) float32 source x, y (0 outside the hull) and (H, W) bool, whether the pixel's centre lies in the hull.
    """
    target, source = target_points.astype(np.float64), source_points.astype(np.float64)
    source_xy = np.zeros((*shape[:2], 2), dtype=np.float32)
    is_inside = np.zeros(shape[:2], dtype=np.bool_)
    corners = Delaunay(target).simplices
    columns = np.concatenate([target[corners].transpose(0, 2, 1), np.ones((len(corners), 1, 3))], axis=1)
    first = np.maximum(np.ceil(columns[:, :2].min(axis=2)), 0).astype(int)
    last = np.minimum(np.floor(columns[:, :2].max(axis=2)), [shape[1] - 1, shape[0] - 1]).astype(int)
    is_used = (np.abs(np.linalg.det(columns)) > _SMALLEST_AREA_PX2) & (first <= last).all(axis=1)
    corners, first, last = corners[is_used], first[is_used], last[is_used]
    # Barycentric weights of a pixel (x, y, 1) are the inverse of the corners' homogeneous columns times it.
    to_weights = np.linalg.inv(columns[is_used])
    for index, ((left, top), (right, bottom)) in enumerate(zip(first, last, strict=True)):
        box = (slice(top, bottom + 1), slice(left, right + 1))
        x, y = np.arange(left, right + 1), np.arange(top, bottom + 1)[:, None]
        per_x, per_y, constant = to_weights[index].T[:, :, None, None]
        weights = per_x * x + (per_y * y + constant)
        owned = weights.min(axis=0) >= -_ON_EDGE
        source_xy[box][owned] = weights[:, owned].T @ source[corners[index]]
        is_inside[box] |= owned
    return source_xy, is_inside


def match_colour(image: RgbImage, reference: RgbImage, mask: npt.NDArray[np.bool_]) -> RgbImage:
    """Shift and scale each CIELAB channel so that its mean and deviation inside the mask are the reference's.

    A channel without variance is only shifted; contrast changes at most twofold. Pixels outside the mask stay.

    Source: Reinhard et al., "Color transfer between images", 2001 (in CIELAB instead of lαβ).
    """
    if not mask.any():
        return image.copy()
    lab, lab_reference = _to_lab(image[mask]), _to_lab(reference[mask])
    deviation, deviation_reference = lab.std(axis=0), lab_reference.std(axis=0)
    has_variance = deviation > _SMALLEST_DEVIATION
    ratio = np.where(has_variance, deviation_reference / np.where(has_variance, deviation, 1), 1)
    ratio = np.clip(ratio, 1 / _LARGEST_CONTRAST_CHANGE, _LARGEST_CONTRAST_CHANGE)
    matched = image.copy()
    matched[mask] = _from_lab((lab - lab.mean(axis=0)) * ratio + lab_reference.mean(axis=0))
    return matched


def feather_mask(points: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """How much of the swapped face shows: 0 outside the landmark hull, 1 well inside, smooth between; (H, W) float32.

    The inside of the mouth is 0 as well.
    """
    width_px = max(_FEATHER * _shorter_side(points), 1.0)
    ramp = np.clip(_depth_px(points, shape) / width_px, 0, 1)
    mouth = cv2.GaussianBlur(_fill(points[_INNER_MOUTH], shape).astype(np.float32), (0, 0), max(width_px / 8, 0.5))
    mask: FloatArray = (ramp * ramp * (3 - 2 * ramp) * (1 - np.clip(mouth, 0, 1))).astype(np.float32)
    return mask


def _clone_gradients(face: RgbImage, region: RgbImage, points: FloatArray) -> RgbImage:
    """The face with its own gradients and the region's colours around it (Pérez et al., "Poisson image editing")."""
    # Inset, so that the colours around it are skin, not the hair and background beside a landmark slightly off.
    mask = (_depth_px(points, region.shape) > _CLONE_INSET * _shorter_side(points)).astype(np.uint8)
    if not mask.any():
        return face
    x, y, width, height = cv2.boundingRect(mask)
    # seamlessClone moves the middle of the mask's bounding box to this point: here it stays where it is.
    centre = (x + width // 2, y + height // 2)
    return np.asarray(cv2.seamlessClone(face, region, 255 * mask, centre, cv2.NORMAL_CLONE), dtype=np.uint8)


_RECOLOUR: Mapping[Blending, Callable[[RgbImage, RgbImage, FloatArray], RgbImage]] = {
    "feather": lambda face, _region, _points: face,
    "poisson": _clone_gradients,
}


def _hull_window(points: FloatArray, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Top, left, bottom and right of the points' bounding box with a margin, inside the image."""
    left, top = np.floor(points.min(axis=0)).astype(int) - _MARGIN_PX
    right, bottom = np.ceil(points.max(axis=0)).astype(int) + _MARGIN_PX + 1
    return max(int(top), 0), max(int(left), 0), min(int(bottom), shape[0]), min(int(right), shape[1])


def _fill(points: FloatArray, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """The points' convex hull as 1 on 0, never touching the border, which cloning and distances need free."""
    mask = np.zeros(shape[:2], dtype=np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.rint(points).astype(np.int32)), (1,))
    mask[[0, -1]] = 0
    mask[:, [0, -1]] = 0
    return mask


def _depth_px(points: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Distance of each pixel from the outside of the points' convex hull, 0 outside."""
    return np.asarray(cv2.distanceTransform(_fill(points, shape), cv2.DIST_L2, cv2.DIST_MASK_PRECISE), dtype=np.float32)


def _shorter_side(points: FloatArray) -> float:
    return float(np.ptp(points, axis=0).min())


def _to_lab(rgb: RgbImage) -> npt.NDArray[np.float64]:
    """(N, 3) uint8 colours in CIELAB, L from 0 to 100."""
    scaled = rgb[:, None].astype(np.float32) / 255
    return np.asarray(cv2.cvtColor(scaled, cv2.COLOR_RGB2Lab), dtype=np.float64)[:, 0]


def _from_lab(lab: npt.NDArray[np.float64]) -> RgbImage:
    rgb = cv2.cvtColor(lab[:, None].astype(np.float32), cv2.COLOR_Lab2RGB)[:, 0]
    colours: RgbImage = np.rint(255 * np.clip(rgb, 0, 1)).astype(np.uint8)
    return colours
