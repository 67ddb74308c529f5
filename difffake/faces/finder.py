"""Faces of pictures: a detector's boxes, each with 68 landmarks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from difffake.config import FacesConfig
from difffake.faces.blazeface import BlazeFaceDetector
from difffake.faces.detection import Detection, FaceDetector
from difffake.faces.landmarks import FaceMeshLandmarker
from difffake.faces.records import FloatArray, RgbImage
from difffake.faces.retinaface import RetinaFaceDetector

# The network's answers crowd at 0 and 1; hands and heads from behind, which detectors take for faces, lie near 0.
_MIN_LANDMARK_SCORE = 0.5


@dataclass(frozen=True, eq=False)
class FoundFace:
    """A face in a picture, in its pixels.

    Attributes:
        bbox_xyxy_px: (4,) float32, the detector's box; may reach beyond the picture.
        detector_score: in [0, 1].
        landmarks_px: (68, 2) float32, iBUG order.
        landmark_score: the landmark network's belief that it saw a face, in [0, 1].
    """

    bbox_xyxy_px: FloatArray
    detector_score: float
    landmarks_px: FloatArray = field(repr=False)
    landmark_score: float


class FaceFinder(Protocol):
    """Finds the faces of pictures with their landmarks."""

    def find(self, pictures: Sequence[RgbImage]) -> list[list[FoundFace]]:
        """All faces of each (H, W, 3) uint8 picture, by descending detector score."""

    def fingerprint_parts(self) -> dict[str, str]:
        """Name → sha256 of every network whose weights decide the result."""


class DetectorFaceFinder:
    """Any detector followed by FaceMesh, which also rejects what the detector mistook for a face.

    Of several pictures a network sees all before the next one does: it does so out of the processor's caches, from
    which decoding, or the other network, would have driven its weights.
    """

    def __init__(self, detector: FaceDetector, landmarker: FaceMeshLandmarker) -> None:
        self._detector = detector
        self._landmarker = landmarker

    def find(self, pictures: Sequence[RgbImage]) -> list[list[FoundFace]]:
        """All faces of each (H, W, 3) uint8 picture, by descending detector score."""
        detected = [self._detector.detect(rgb) for rgb in pictures]
        return [self._confirmed(rgb, detections) for rgb, detections in zip(pictures, detected, strict=True)]

    def _confirmed(self, rgb: RgbImage, detections: Sequence[Detection]) -> list[FoundFace]:
        found = []
        for detection in detections:
            landmarks_px, landmark_score = self._landmarker.locate(rgb, detection)
            if landmark_score >= _MIN_LANDMARK_SCORE:
                found.append(FoundFace(detection.bbox_xyxy_px, detection.score, landmarks_px, landmark_score))
        return found

    def fingerprint_parts(self) -> dict[str, str]:
        return {model.name: model.weights_sha256 for model in (self._detector, self._landmarker)}


def build_face_finder(config: FacesConfig) -> FaceFinder:
    """The finder a configuration names; `device` is where RetinaFace runs, BlazeFace and FaceMesh stay on the CPU.

    Raises:
        WeightsError: a network's weights are missing, altered or do not fit.
    """
    return DetectorFaceFinder(_DETECTORS[config.detector](config), FaceMeshLandmarker())


def _retinaface(config: FacesConfig) -> FaceDetector:
    # Imports torch, which BlazeFace does without.
    from difffake.backbone.device import resolve_device

    return RetinaFaceDetector(
        weights=config.detector_weights,
        weights_sha256=config.detector_weights_sha256,
        max_side_px=config.detector_max_side_px,
        min_score=config.detector_min_score,
        device=str(resolve_device(config.device)),
    )


_DETECTORS: dict[str, Callable[[FacesConfig], FaceDetector]] = {
    "retinaface": _retinaface,
    "blazeface": lambda config: BlazeFaceDetector(min_score=config.detector_min_score),
}
