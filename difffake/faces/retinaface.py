"""RetinaFace (ResNet-50): the accurate detector, for a GPU.

The network and its box arithmetic come from the `retinaface-pytorch` distribution. Torch and it are imported when a
detector is built, not when this module is, so that extraction with BlazeFace never loads them.

Source: arXiv 1905.00641.
"""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from difffake.errors import WeightsError
from difffake.faces.detection import Detection, iou
from difffake.faces.records import FloatArray, RgbImage
from difffake.faces.retinaface_weights import RELEASE_NAME, load_retinaface_weights

if TYPE_CHECKING:
    import torch

_SAME_FACE_IOU = 0.4
_PRIOR_SIDES_PX = [[16, 32], [64, 128], [256, 512]]
_STRIDES_PX = [8, 16, 32]
_VARIANCES = [0.1, 0.2]
# What the release was trained with: ImageNet statistics of RGB in [0, 255].
_MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32) * 255
_STD = np.array([0.229, 0.224, 0.225], dtype=np.float32) * 255


class RetinaFaceDetector:
    """RetinaFace on pictures shrunk to `max_side_px`; smaller ones are not enlarged.

    Its boxes run from the forehead to the chin. Key points: right eye, left eye, nose tip, right, left mouth corner.
    """

    name = "retinaface"

    def __init__(
        self,
        weights: Path | None = None,
        weights_sha256: str | None = None,
        max_side_px: int = 960,
        min_score: float = 0.5,
        device: str = "cpu",
    ) -> None:
        """Build the network with weights from a file, or from the release when `weights` is absent.

        Raises:
            WeightsError: the weights are missing, cannot be downloaded, have another digest or do not fit the network.
        """
        state, self._weights_sha256 = load_retinaface_weights(weights, weights_sha256)
        network = _empty_network()
        try:
            network.load_state_dict(state, strict=True, assign=True)
        except RuntimeError as error:
            raise WeightsError(
                f"{weights or RELEASE_NAME} does not hold the weights of RetinaFace ResNet-50 "
                f"({RELEASE_NAME} of retinaface-pytorch): {str(error)[:500]}"
            ) from error
        self._network = network.float().to(device).eval()
        self._max_side_px = max_side_px
        self._min_score = min_score
        self._device = device
        self._priors: dict[tuple[int, int], torch.Tensor] = {}

    @property
    def weights_sha256(self) -> str:
        return self._weights_sha256

    def detect(self, rgb: RgbImage) -> list[Detection]:
        """All faces of an (H, W, 3) uint8 picture scoring at least `min_score`, by descending score."""
        import torch
        from retinaface.box_utils import decode, decode_landm

        picture = self._shrink(rgb)
        height, width = picture.shape[:2]
        batch = torch.from_numpy(((picture - _MEAN) / _STD).transpose(2, 0, 1)[np.newaxis]).to(self._device)
        with torch.inference_mode():
            box_offsets, logits, point_offsets = self._network(batch)
            scores = torch.softmax(logits[0], dim=-1)[:, 1]
            chosen = torch.nonzero(scores >= self._min_score)[:, 0]
            priors = self._priors_of(height, width)[chosen]
            # Both in shares of the picture's width and height.
            boxes = decode(box_offsets[0, chosen], priors, _VARIANCES)
            points = decode_landm(point_offsets[0, chosen], priors, _VARIANCES)
            frame_size_px = torch.tensor([rgb.shape[1], rgb.shape[0]], device=self._device)
            boxes_px, scores = boxes * frame_size_px.repeat(2), scores[chosen]
            points_px = points.reshape(-1, 5, 2) * frame_size_px
        return _as_detections(*(values.cpu().numpy() for values in (boxes_px, scores, points_px)))

    def _shrink(self, rgb: RgbImage) -> RgbImage:
        height, width = rgb.shape[:2]
        scale = self._max_side_px / max(height, width)
        if scale >= 1:
            return rgb
        size_px = (max(1, round(width * scale)), max(1, round(height * scale)))
        return np.asarray(cv2.resize(rgb, size_px, interpolation=cv2.INTER_AREA), dtype=np.uint8)

    def _priors_of(self, height: int, width: int) -> "torch.Tensor":
        """(N, 4) prior boxes; those of the latest picture size are kept, as a video has one size."""
        from retinaface.prior_box import priorbox

        if (height, width) not in self._priors:
            priors = priorbox(_PRIOR_SIDES_PX, _STRIDES_PX, clip=False, image_size=(height, width))
            self._priors = {(height, width): priors.to(self._device)}
        return self._priors[height, width]


def _empty_network() -> "torch.nn.Module":
    """The release's network without storage for its weights.

    Built from the package's parts: its `predict_single.Model` would import albumentations, which asks PyPI for news.
    """
    import torch
    from retinaface.network import RetinaFace

    with torch.device("meta"), warnings.catch_warnings():
        # The package builds its ResNet with arguments that torchvision has renamed.
        warnings.filterwarnings("ignore", category=UserWarning, module="torchvision")
        network: torch.nn.Module = RetinaFace(
            name="Resnet50",
            pretrained=False,
            return_layers={"layer2": 1, "layer3": 2, "layer4": 3},
            in_channels=256,
            out_channels=256,
        )
    return network


def _as_detections(boxes_px: FloatArray, scores: FloatArray, points_px: FloatArray) -> list[Detection]:
    """Non-maximum suppression: of boxes that overlap, the one with the highest score; by descending score."""
    is_box = np.isfinite(boxes_px).all(axis=1) & np.all(boxes_px[:, 2:] > boxes_px[:, :2], axis=1)
    left = np.flatnonzero(is_box)
    left = left[np.argsort(-scores[left], kind="stable")]
    detections = []
    while left.size:
        best = left[0]
        detections.append(Detection(boxes_px[best].astype(np.float32), float(scores[best]), points_px[best]))
        left = left[iou(boxes_px[best], boxes_px[left]) <= _SAME_FACE_IOU]
    return detections
