"""What a face detector is: a picture in, scored boxes with a few named points out."""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from difffake.faces.records import FloatArray, RgbImage


@dataclass(frozen=True, eq=False)
class Detection:
    """One detected face, in pixels of the picture it was found in.

    Attributes:
        bbox_xyxy_px: (4,) float32 left, top, right, bottom; may reach beyond the picture.
        score: in [0, 1].
        keypoints_px: (K, 2) float32, K ≥ 3: the person's right eye (left in the picture), left eye, nose tip, then the
            detector's own.
    """

    bbox_xyxy_px: FloatArray
    score: float
    keypoints_px: FloatArray = field(repr=False)


class FaceDetector(Protocol):
    """Finds faces in pictures; the digest of its weights names its behaviour."""

    @property
    def name(self) -> str:
        """The detector's name in configurations and fingerprints."""

    @property
    def weights_sha256(self) -> str:
        """64 hex digits."""

    def detect(self, rgb: RgbImage) -> list[Detection]:
        """All faces of an (H, W, 3) uint8 picture, by descending score."""


def iou(box_xyxy: FloatArray, boxes_xyxy: FloatArray) -> npt.NDArray[np.float64]:
    """Intersection over union of one (4,) box with each of (N, 4); 0 where both are empty."""
    first, others = box_xyxy.astype(np.float64), boxes_xyxy.astype(np.float64)
    overlap_px = np.minimum(first[2:], others[:, 2:]) - np.maximum(first[:2], others[:, :2])
    intersection = np.prod(np.maximum(overlap_px, 0), axis=1)
    union = np.prod(first[2:] - first[:2]) + np.prod(others[:, 2:] - others[:, :2], axis=1) - intersection
    return np.asarray(intersection / np.where(union > 0, union, 1.0), dtype=np.float64)
