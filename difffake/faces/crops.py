"""Square face crops by two alignments, with the exact affine back to the frame.

Detectors draw different boxes around one face (BlazeFace's and RetinaFace's overlap by an IoU of about 0.73), so both
alignments start from the landmarks alone: a crop does not depend on the detector. Coordinates count pixel centres: the
middle of the top left pixel is (0, 0).
"""

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from difffake.config import FacesConfig
from difffake.faces.landmarks import BROWS, LEFT_EYE, MOUTH, RIGHT_EYE
from difffake.faces.records import Affine, FloatArray, RgbImage

# How far a detector's box reaches above the brows, in distances from brows to chin.
_FOREHEAD = 0.33
# Canonical eyes of the similarity alignment, in longer sides of the face box: where the median frontal face has them.
_EYE_DISTANCE = 0.35
_EYE_LIFT = 0.115
# A head in profile brings its eyes together; below this distance they no longer set the scale.
_LEAST_EYE_DISTANCE = 0.2

_Float64 = npt.NDArray[np.float64]


def cut_crop(rgb: RgbImage, landmarks_px: FloatArray, config: FacesConfig) -> tuple[RgbImage, Affine]:
    """Cut the face with these landmarks out of a frame, aligned as the configuration says.

    `rgb` is (H, W, 3) uint8, `landmarks_px` (68, 2) iBUG points in its pixels.

    Returns:
        (S, S, 3) uint8 with S = `crop_size_px`, and the (2, 3) float64 affine from crop to frame pixels.
    """
    return _ALIGNMENTS[config.alignment](rgb, landmarks_px.astype(np.float64), config)


def frame_to_crop(points_px: FloatArray, crop_to_frame: Affine) -> FloatArray:
    """Carry (..., 2) frame points into a crop, given the crop's affine to the frame; float32."""
    linear, shift = crop_to_frame[:, :2], crop_to_frame[:, 2]
    return np.asarray((points_px - shift) @ np.linalg.inv(linear).T, dtype=np.float32)


def face_box(landmarks_px: npt.NDArray[np.floating]) -> _Float64:
    """(4,) upright box x1, y1, x2, y2 from forehead to chin, as RetinaFace draws it, around (68, 2) landmarks.

    The hull of the landmarks ends at the brows; the forehead is the brows moved up along the face's own axis (mouth to
    eyes) by a third of the distance from brows to chin.
    """
    points = landmarks_px.astype(np.float64)
    up = (points[RIGHT_EYE].mean(axis=0) + points[LEFT_EYE].mean(axis=0)) / 2 - points[MOUTH].mean(axis=0)
    up /= max(float(np.linalg.norm(up)), np.finfo(np.float64).tiny)
    forehead = points[BROWS] + _FOREHEAD * np.ptp(points @ up) * up
    outline = np.concatenate([points, forehead])
    return np.concatenate([outline.min(axis=0), outline.max(axis=0)])


def _upright_crop(rgb: RgbImage, landmarks_px: _Float64, config: FacesConfig) -> tuple[RgbImage, Affine]:
    """The face box enlarged around its centre, clipped to the frame, resized (Sec. 4.1).

    Clipping comes first, so a face at the border is stretched; the affine has a scale for each axis.
    """
    box = face_box(landmarks_px)
    centre, half = (box[:2] + box[2:]) / 2, config.crop_scale * (box[2:] - box[:2]) / 2
    size_px = np.array([rgb.shape[1], rgb.shape[0]])
    # Whole pixels, at least one of them, even if the landmarks were thrown outside the frame.
    low = np.clip(np.floor(centre - half).astype(int), 0, size_px - 1)
    high = np.clip(np.ceil(centre + half).astype(int) + 1, low + 1, size_px)
    window = rgb[low[1] : high[1], low[0] : high[0]]
    return _resize(window, config.crop_size_px, config.crop_size_px), _resize_affine(
        high - low, np.full(2, config.crop_size_px), low
    )


def _eye_aligned_crop(rgb: RgbImage, landmarks_px: _Float64, config: FacesConfig) -> tuple[RgbImage, Affine]:
    """Turn, scale and shift so that the eye centres come to canonical places; the frame's border is replicated.

    With c = `crop_scale` and a crop of side 1, the eyes lie at x = 0.5 ± 0.175 / c, y = 0.5 - 0.115 / c; the
    median face has the size it has under the upright alignment.
    """
    size_px = config.crop_size_px
    right, left = landmarks_px[RIGHT_EYE].mean(axis=0), landmarks_px[LEFT_EYE].mean(axis=0)
    box = face_box(landmarks_px)
    distance_px = max(float(np.linalg.norm(left - right)), _LEAST_EYE_DISTANCE * float((box[2:] - box[:2]).max()), 1.0)
    angle = np.arctan2(left[1] - right[1], left[0] - right[0])
    frame_px_per_crop_px = distance_px * config.crop_scale / (_EYE_DISTANCE * size_px)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = frame_px_per_crop_px * turn
    eyes_middle_crop_px = size_px * np.array([0.5, 0.5 - _EYE_LIFT / config.crop_scale]) - 0.5
    crop_to_frame = np.column_stack([linear, (right + left) / 2 - linear @ eyes_middle_crop_px])
    return _warp(rgb, crop_to_frame, size_px), crop_to_frame


def _warp(rgb: RgbImage, crop_to_frame: Affine, size_px: int) -> RgbImage:
    """Sample an (S, S, 3) crop; where it shrinks the frame, areas are averaged first so that nothing aliases."""
    shrink = float(np.sqrt(np.abs(np.linalg.det(crop_to_frame[:, :2]))))
    if shrink > 1:
        corners = np.array([[0, 0], [size_px, 0], [0, size_px], [size_px, size_px]]) - 0.5
        seen = corners @ crop_to_frame[:, :2].T + crop_to_frame[:, 2]
        frame_size_px = np.array([rgb.shape[1], rgb.shape[0]])
        low = np.clip(np.floor(seen.min(axis=0) - shrink).astype(int), 0, frame_size_px - 1)
        high = np.clip(np.ceil(seen.max(axis=0) + shrink).astype(int) + 1, low + 1, frame_size_px)
        small_size_px = np.maximum(np.rint((high - low) / shrink).astype(int), 1)
        rgb = _resize(rgb[low[1] : high[1], low[0] : high[0]], *small_size_px.tolist())
        crop_to_frame = _compose(_invert(_resize_affine(high - low, small_size_px, low)), crop_to_frame)
    crop = cv2.warpAffine(
        rgb,
        crop_to_frame,
        (size_px, size_px),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(crop, dtype=np.uint8)


def _resize(rgb: RgbImage, width: int, height: int) -> RgbImage:
    is_smaller = width * height < rgb.shape[0] * rgb.shape[1]
    # Plain INTER_LINEAR darkens by an eighth of a grey level; the exact one rounds, alike on every machine.
    interpolation = cv2.INTER_AREA if is_smaller else cv2.INTER_LINEAR_EXACT
    return np.asarray(cv2.resize(rgb, (width, height), interpolation=interpolation), dtype=np.uint8)


def _resize_affine(
    from_size_px: npt.NDArray[np.int_], to_size_px: npt.NDArray[np.int_], low: npt.NDArray[np.int_]
) -> Affine:
    """(2, 3) affine from a resized window back to the picture whose pixel `low` was its first; borders meet borders."""
    scale = from_size_px / to_size_px
    return np.column_stack([np.diag(scale), scale / 2 - 0.5 + low])


def _invert(affine: Affine) -> Affine:
    linear = np.linalg.inv(affine[:, :2])
    return np.column_stack([linear, -linear @ affine[:, 2]])


def _compose(outer: Affine, inner: Affine) -> Affine:
    """The affine that applies `inner`, then `outer`."""
    return np.column_stack([outer[:, :2] @ inner[:, :2], outer[:, :2] @ inner[:, 2] + outer[:, 2]])


_ALIGNMENTS: dict[str, Callable[[RgbImage, _Float64, FacesConfig], tuple[RgbImage, Affine]]] = {
    "crop": _upright_crop,
    "similarity": _eye_aligned_crop,
}
