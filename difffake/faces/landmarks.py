"""68 facial landmarks (iBUG order) by the bundled FaceMesh network.

Source: arXiv 1907.06724 (the network and its regions); which 68 of its 468 points stand for iBUG's is a convention.
"""

import cv2
import numpy as np
import numpy.typing as npt

from difffake.faces.detection import Detection
from difffake.faces.records import FloatArray, RgbImage
from difffake.faces.tflite import BundledModel

RIGHT_EYE = slice(36, 42)
LEFT_EYE = slice(42, 48)
BROWS = slice(17, 27)
MOUTH = slice(48, 68)

_MODEL_FILE = "face_landmark.tflite"
_REGION_SCALE = 1.5
# Mesh points nearest to the 68 of iBUG, in its order: jaw, brows, nose, eyes, mouth.
_MESH_TO_IBUG = np.array(
    [
        *[162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389],
        *[71, 63, 105, 66, 107, 336, 296, 334, 293, 301],
        *[168, 197, 5, 4, 75, 97, 2, 326, 305],
        *[33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380],
        *[61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87],
    ]
)

_Float64 = npt.NDArray[np.float64]


class FaceMeshLandmarker:
    """FaceMesh, shown a square, eye-levelled region twice: around the detector's box, then around its own first answer.

    The second look makes the landmarks independent of how a detector draws its boxes, and halves their jitter.
    """

    name = "facemesh"

    def __init__(self) -> None:
        self._model = BundledModel(_MODEL_FILE)

    @property
    def weights_sha256(self) -> str:
        return self._model.sha256

    def locate(self, rgb: RgbImage, detection: Detection) -> tuple[FloatArray, float]:
        """Landmarks of one detection in an (H, W, 3) uint8 picture.

        Returns:
            (68, 2) float32 in pixels of the picture (they may lie outside it), and the network's belief that the region
            holds a face, in [0, 1].
        """
        corners = detection.bbox_xyxy_px.astype(np.float64).reshape(2, 2)
        right_eye, left_eye = detection.keypoints_px[:2].astype(np.float64)
        mesh_px, _ = self._mesh(rgb, *_middle_and_side(corners, np.eye(2)), _turn(left_eye - right_eye))
        eyes = mesh_px[_MESH_TO_IBUG]
        turn = _turn(eyes[LEFT_EYE].mean(axis=0) - eyes[RIGHT_EYE].mean(axis=0))
        mesh_px, belief = self._mesh(rgb, *_middle_and_side(mesh_px, turn), turn)
        return mesh_px[_MESH_TO_IBUG].astype(np.float32), belief

    def _mesh(self, rgb: RgbImage, middle_px: _Float64, side_px: float, turn: _Float64) -> tuple[_Float64, float]:
        """(468, 2) mesh in pixels of the picture, and the belief that there is a face."""
        size_px = self._model.input_size_px
        linear = _REGION_SCALE * side_px / size_px * turn
        region_to_frame = np.column_stack([linear, middle_px - linear @ np.full(2, size_px / 2)])
        region = cv2.warpAffine(rgb, region_to_frame, (size_px, size_px), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        mesh, logit = self._model.run(region * np.float32(1 / 255))
        belief = 1 / (1 + np.exp(-np.clip(logit.item(), -80, 80)))
        return mesh.reshape(-1, 3)[:, :2] @ linear.T + region_to_frame[:, 2], float(belief)


def _turn(direction: _Float64) -> _Float64:
    """(2, 2) rotation that carries the x axis to `direction`."""
    angle = np.arctan2(direction[1], direction[0])
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _middle_and_side(points: _Float64, turn: _Float64) -> tuple[_Float64, float]:
    """Middle and longer side of the box around (N, 2) points whose sides lie along the columns of `turn`."""
    turned = points @ turn
    low, high = turned.min(axis=0), turned.max(axis=0)
    return turn @ ((low + high) / 2), float((high - low).max())
