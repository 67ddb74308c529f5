"""What is blended into a face, beside a copy of it: another face, another expression, a face drawn again.

Not in the paper. Self-blends have a seam and another colour; these come nearer to face swaps, to reenactment and to the
decoders of face generators. Images are (S, S, 3) uint8 RGB, landmarks (68, 2) float32 in iBUG order, crop pixels.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from difffake.errors import DegenerateMaskError
from difffake.faces.records import FloatArray, RgbImage
from difffake.pseudofakes.masks import ALL_POINTS, LEFT_BROW, LEFT_EYE, MOUTH, RIGHT_BROW, RIGHT_EYE, hull_mask
from difffake.pseudofakes.recipe import Enlargement, Expression, FaceRegion, OtherFace, PseudoFakeRecipe, Resynthesis

_REGIONS: dict[FaceRegion, tuple[int, ...]] = {
    "mouth": MOUTH,
    "right_eye": RIGHT_EYE,
    "left_eye": LEFT_EYE,
    "right_brow": RIGHT_BROW,
    "left_brow": LEFT_BROW,
}
_ENLARGEMENTS: dict[Enlargement, int] = {
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "lanczos": cv2.INTER_LANCZOS4,
}
# The warp is smooth: its field is computed on every fourth pixel.
_FIELD_REDUCTION = 4
# A part that is a line, as a closed eye, still has some height, as a share of the distance between the eyes.
_LEAST_HALF_EXTENT = 0.08
# Of a Lab channel, in its levels: below it, a spread is rounding.
_LEAST_SPREAD = 1.0
# Colours are spread by at most this factor, or noise would be.
_MOST_SPREAD_FACTOR = 2.0


@dataclass(frozen=True, eq=False)
class DonorFace:
    """The face of another video.

    Attributes:
        crop_rgb: (S, S, 3) uint8 RGB; any size.
        landmarks_crop_px: (68, 2) float32, in pixels of that crop.
    """

    crop_rgb: RgbImage
    landmarks_crop_px: FloatArray


def make_source(
    crop_rgb: RgbImage, landmarks_px: FloatArray, recipe: PseudoFakeRecipe, donor: DonorFace | None
) -> RgbImage:
    """The picture that a recipe blends in, before its colour transform and its move; not changed: the crop itself.

    Raises:
        DegenerateMaskError: the landmarks of either face span no area.
        ValueError: the recipe is of another face, and there is no donor.
    """
    change = recipe.change
    if change is None:
        return crop_rgb
    if isinstance(change, Resynthesis):
        return resynthesise(crop_rgb, change)
    if isinstance(change, Expression):
        source = change_expression(crop_rgb, landmarks_px, change)
    elif donor is None:
        raise ValueError(f"the recipe blends in the face {change.face_id}: give it as donor")
    else:
        source = fit_other_face(donor, crop_rgb, landmarks_px, change)
    return source if change.resynthesis is None else resynthesise(source, change.resynthesis)


def resynthesise(image_rgb: RgbImage, resynthesis: Resynthesis) -> RgbImage:
    """Shrink by areas, enlarge again, and change the strength of the two finest bands of detail."""
    side_px = len(image_rgb)
    small_px = max(8, round(resynthesis.size_share * side_px))
    small = cv2.resize(image_rgb, (small_px, small_px), interpolation=cv2.INTER_AREA)
    drawn = cv2.resize(small, (side_px, side_px), interpolation=_ENLARGEMENTS[resynthesis.enlarged_by])
    fine, coarse = resynthesis.detail_gains
    soft = cv2.GaussianBlur(drawn, (0, 0), 1.0)
    softer = cv2.GaussianBlur(drawn, (0, 0), 2.0)
    # softer + coarse · (soft − softer) + fine · (drawn − soft), whose weights add up to 1.
    bands = cv2.addWeighted(drawn, fine, soft, coarse - fine, 0, dtype=cv2.CV_16S)
    return np.asarray(cv2.addWeighted(bands, 1.0, softer, 1 - coarse, 0, dtype=cv2.CV_8U), np.uint8)


def change_expression(image_rgb: RgbImage, landmarks_px: FloatArray, expression: Expression) -> RgbImage:
    """Move mouth, eyes and brows: the picture at p comes from p − Σ w (t + (1 − 1/s) (p − c)) over the parts.

    Each part has its centre c, its shift t, its stretch s, and the Gaussian weight w of the distance from c.
    """
    side_px = len(image_rgb)
    coarse_px = -(-side_px // _FIELD_REDUCTION)
    # The pixel of the field stands for the middle of those of the picture.
    places = (np.arange(coarse_px, dtype=np.float32) + 0.5) * np.float32(side_px / coarse_px) - 0.5
    eyes_px = _eye_distance_px(landmarks_px)
    shifts = [np.zeros((coarse_px, coarse_px), np.float32) for _ in range(2)]
    for move in expression.moves:
        points = landmarks_px[list(_REGIONS[move.region])]
        low, high = points.min(axis=0), points.max(axis=0)
        half = np.maximum((high - low) / 2, _LEAST_HALF_EXTENT * eyes_px)
        away = [places - middle for middle in (low + high) / 2]
        weights = [
            np.exp(-0.5 * (distance / (expression.reach * extent)) ** 2)
            for distance, extent in zip(away, half, strict=True)
        ]
        weight = (weights[1][:, None] * weights[0]).astype(np.float32)
        shifts[0] += weight * (move.shift_x * eyes_px + (1 - 1 / move.stretch_x) * away[0]).astype(np.float32)
        shifts[1] += weight * (move.shift_y * eyes_px + (1 - 1 / move.stretch_y) * away[1])[:, None].astype(np.float32)
    map_x, map_y = (cv2.resize(shift, (side_px, side_px), interpolation=cv2.INTER_LINEAR) for shift in shifts)
    pixels = np.arange(side_px, dtype=np.float32)
    moved = cv2.remap(
        image_rgb, pixels - map_x, pixels[:, None] - map_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(moved, np.uint8)


def fit_other_face(donor: DonorFace, crop_rgb: RgbImage, landmarks_px: FloatArray, other: OtherFace) -> RgbImage:
    """The donor's face, its landmarks laid on the target's by the best affine, its colours drawn to the target's.

    Raises:
        DegenerateMaskError: landmarks of either face span no area.
    """
    side_px = len(crop_rgb)
    fitted = _best_affine(donor.landmarks_crop_px, landmarks_px)
    moved = cv2.warpAffine(
        donor.crop_rgb, fitted, (side_px, side_px), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    inside = hull_mask(landmarks_px, "full_face", "all_points", side_px) > 0
    return _match_colours(np.asarray(moved, np.uint8), crop_rgb, inside, other.colour_match)


def landmark_shape(landmarks_px: FloatArray) -> FloatArray:
    """Landmarks (…, 68, 2) without place and size, (…, 136): near for faces of like shape, pose and turn."""
    centred = landmarks_px - landmarks_px.mean(axis=-2, keepdims=True)
    size = np.sqrt(np.square(centred).sum(axis=(-2, -1), keepdims=True))
    shape = centred / np.maximum(size, np.finfo(np.float32).tiny)
    return np.asarray(shape.reshape(*landmarks_px.shape[:-2], 2 * len(ALL_POINTS)), np.float32)


def _best_affine(from_px: FloatArray, to_px: FloatArray) -> npt.NDArray[np.float64]:
    """The (2, 3) affine that takes 68 points nearest to 68 others, in the sense of least squares."""
    known = np.column_stack([from_px.astype(np.float64), np.ones(len(from_px))])
    solution, _, rank, _ = np.linalg.lstsq(known, to_px.astype(np.float64), rcond=1e-6)
    if rank < known.shape[1] or not np.isfinite(solution).all():
        raise DegenerateMaskError("the landmarks of the donor's face lie in a line: leave this face out")
    return np.ascontiguousarray(solution.T)


def _match_colours(image_rgb: RgbImage, target_rgb: RgbImage, inside: npt.NDArray[np.bool_], share: float) -> RgbImage:
    """Draw mean and spread of each Lab channel towards the target's, both taken where `inside`."""
    lab, wanted = (cv2.cvtColor(image, cv2.COLOR_RGB2LAB) for image in (image_rgb, target_rgb))
    levels = np.arange(256, dtype=np.float64)
    tables = []
    for channel in range(3):
        own, other = lab[..., channel][inside], wanted[..., channel][inside]
        factor = np.clip(
            (other.std() + _LEAST_SPREAD) / (own.std() + _LEAST_SPREAD), 1 / _MOST_SPREAD_FACTOR, _MOST_SPREAD_FACTOR
        )
        matched = other.mean() + factor * (levels - own.mean())
        tables.append((1 - share) * levels + share * matched)
    table = np.rint(np.clip(np.stack(tables, axis=-1), 0, 255)).astype(np.uint8)
    return np.asarray(cv2.cvtColor(cv2.LUT(lab, table[None]), cv2.COLOR_LAB2RGB), np.uint8)


def _eye_distance_px(landmarks_px: FloatArray) -> float:
    right, left = (landmarks_px[list(eye)].mean(axis=0) for eye in (RIGHT_EYE, LEFT_EYE))
    return max(1.0, float(np.hypot(*(left - right))))
