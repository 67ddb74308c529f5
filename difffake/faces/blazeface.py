"""BlazeFace, full range: the bundled detector, fast on a CPU core.

Source: arXiv 1907.05047 (network, anchors, blending of overlapping boxes); the full-range model's card.
"""

import cv2
import numpy as np
import numpy.typing as npt

from difffake.faces.detection import Detection, iou
from difffake.faces.records import FloatArray, RgbImage
from difffake.faces.tflite import BundledModel

_MODEL_FILE = "face_detection_full_range.tflite"
_STRIDE_PX = 4
_SAME_FACE_IOU = 0.3


class BlazeFaceDetector:
    """The full-range BlazeFace network on a 192-px letterboxed picture.

    Its square boxes run from the brows to the chin. Key points: right eye, left eye, nose tip, mouth centre, both ears.
    """

    name = "blazeface"

    def __init__(self, min_score: float) -> None:
        self._model = BundledModel(_MODEL_FILE)
        self._min_score = min_score
        self._anchors_px = _anchor_centres_px(self._model.input_size_px)

    @property
    def weights_sha256(self) -> str:
        return self._model.sha256

    def detect(self, rgb: RgbImage) -> list[Detection]:
        """All faces of an (H, W, 3) uint8 picture scoring at least `min_score`, by descending score.

        The network overlooks faces that fill its input, so a picture in which it sees none is shown again at half size.
        """
        return self._detect_at(rgb, fill=1.0) or self._detect_at(rgb, fill=0.5)

    def _detect_at(self, rgb: RgbImage, fill: float) -> list[Detection]:
        picture, scale, offset_px = _letterbox(rgb, self._model.input_size_px, fill)
        regressors, logits = self._model.run(picture)
        scores = _sigmoid(logits.reshape(-1))
        candidates = np.flatnonzero(scores >= self._min_score)
        boxes, points = _decode(regressors.reshape(-1, 8, 2)[candidates], self._anchors_px[candidates])
        return [
            Detection(
                bbox_xyxy_px=((box.reshape(2, 2) - offset_px) / scale).astype(np.float32).reshape(4),
                score=score,
                keypoints_px=((keypoints - offset_px) / scale).astype(np.float32),
            )
            for box, score, keypoints in _blend_overlapping(boxes, scores[candidates], points)
        ]


def _anchor_centres_px(input_size_px: int) -> FloatArray:
    """(N, 2) x, y: one anchor in the middle of each cell, row by row."""
    centres = (np.arange(input_size_px // _STRIDE_PX, dtype=np.float32) + 0.5) * _STRIDE_PX
    return np.stack(np.meshgrid(centres, centres), axis=-1).reshape(-1, 2)


def _letterbox(rgb: RgbImage, size_px: int, fill: float) -> tuple[FloatArray, float, npt.NDArray[np.float64]]:
    """Centre on a black square, the longer side over `fill` of it.

    Returns:
        The square in [-1, 1], the scale, and where the picture's corner went.
    """
    height, width = rgb.shape[:2]
    scale = fill * size_px / max(height, width)
    fit_width, fit_height = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = (size_px - fit_width) // 2, (size_px - fit_height) // 2
    square = np.full((size_px, size_px, 3), -1.0, dtype=np.float32)
    small = cv2.resize(_halve_down_to(rgb, fit_width), (fit_width, fit_height), interpolation=cv2.INTER_LINEAR_EXACT)
    square[top : top + fit_height, left : left + fit_width] = small * np.float32(2 / 255) - 1
    return square, scale, np.array([left, top], dtype=np.float64)


def _halve_down_to(rgb: RgbImage, width: int) -> RgbImage:
    """Halve a picture while it stays at least `width` wide: averages areas at a tenth of the cost of one resize."""
    while rgb.shape[1] >= 2 * width and rgb.shape[0] >= 2:
        half_size_px = (rgb.shape[1] // 2, rgb.shape[0] // 2)
        rgb = np.asarray(cv2.resize(rgb, half_size_px, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return rgb


def _sigmoid(logits: FloatArray) -> FloatArray:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -80, 80))), dtype=np.float32)


def _decode(regressors: FloatArray, anchors_px: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Offsets from anchors to (N, 4) boxes and (N, 6, 2) points; row 0 is a centre, row 1 a size, the rest points."""
    centres = regressors[:, 0] + anchors_px
    half_sizes = regressors[:, 1] / 2
    boxes = np.concatenate([centres - half_sizes, centres + half_sizes], axis=1)
    return boxes, regressors[:, 2:] + anchors_px[:, np.newaxis]


def _blend_overlapping(
    boxes: FloatArray, scores: FloatArray, points: FloatArray
) -> list[tuple[FloatArray, float, FloatArray]]:
    """Replace each group of overlapping boxes by its score-weighted mean with the highest score (Sec. 3.5)."""
    is_box = np.all(boxes[:, 2:] > boxes[:, :2], axis=1)
    boxes, scores, points = boxes[is_box], scores[is_box], points[is_box]
    left = np.argsort(-scores, kind="stable")
    faces = []
    while left.size:
        is_same = iou(boxes[left[0]], boxes[left]) > _SAME_FACE_IOU
        group = left[is_same]
        weights = scores[group] / scores[group].sum()
        faces.append((weights @ boxes[group], float(scores[left[0]]), np.tensordot(weights, points[group], axes=1)))
        left = left[~is_same]
    return faces
