"""Where in the face the evidence lies: what a pair's likelihood gains when a part of both faces is blurred away.

Occlusion (Zeiler & Fergus, ECCV 2014) of the differential score: it asks only for scores, so it serves every backbone
and every anomaly model.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
import torch

from difffake.backbone.embed import embed_images
from difffake.backbone.images import resize_to_input
from difffake.detector import Detector
from difffake.differential.combination import single
from difffake.faces.crop_jpeg import decode_crop
from difffake.faces.records import RgbImage

CELLS = 8
"""Cells along each side; a window covers two by two of them."""

_BATCH = 64
_BLUR = 0.12
"""Standard deviation of the blur, in sides of the picture: colours stay, features go."""


def evidence_map(detector: Detector, crops_jpeg: Sequence[bytes], device: torch.device) -> npt.NDArray[np.float64]:
    """How much each part of the face adds to the anomaly of a pair of faces.

    A window slides over both faces at once and blurs what is below it, with soft edges. The value of a place is the
    mean over the windows that cover it of −log-likelihood as it is, minus −log-likelihood with the window blurred.

    Args:
        detector: whose backbone and density are asked.
        crops_jpeg: base and partner as encoded crops; a single face where faces are judged singly.
        device: where the network runs.

    Returns:
        (`CELLS`, `CELLS`) float64 in nats, rows from top to bottom; positive: without this part the pair is more
        natural.

    Raises:
        ArtefactError: a crop is no picture.
    """
    side = detector.backbone.preprocessing.input_size_px
    faces = [resize_to_input(decode_crop(jpeg, "of the pair"), side) for jpeg in crops_jpeg]
    masks = [_window(side, row, column) for row in range(CELLS - 1) for column in range(CELLS - 1)]
    detector.backbone.to(device)
    anomalies = _anomalies(detector, [[face] + [_blurred(face, mask) for mask in masks] for face in faces])
    gains = (anomalies[0] - anomalies[1:]).reshape(CELLS - 1, CELLS - 1)
    total, windows = np.zeros((CELLS, CELLS)), np.zeros((CELLS, CELLS))
    for row in range(CELLS - 1):
        for column in range(CELLS - 1):
            total[row : row + 2, column : column + 2] += gains[row, column]
            windows[row : row + 2, column : column + 2] += 1
    return np.asarray(total / windows)


def overlay(crop_jpeg: bytes, evidence: npt.NDArray[np.float64], side_px: int, strongest: float) -> RgbImage:
    """The face with the places that make it unnatural tinted orange; (side, side, 3) uint8 RGB.

    Args:
        crop_jpeg: an encoded crop.
        evidence: of `evidence_map`.
        side_px: of the result.
        strongest: the evidence that is tinted fully, above 0; the same for pictures that are to be compared.
    """
    face = cv2.resize(decode_crop(crop_jpeg, "of the pair"), (side_px, side_px), interpolation=cv2.INTER_AREA)
    share = np.clip(evidence / strongest, 0, 1).astype(np.float32)
    tint = np.clip(cv2.resize(share, (side_px, side_px), interpolation=cv2.INTER_CUBIC), 0, 1)[..., None] * 0.72
    grey = np.repeat(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2).astype(np.float32)
    return (
        np.asarray(grey * (1 - tint) + np.array([213, 94, 0], np.float32) * tint, np.float32).round().astype(np.uint8)
    )


def _anomalies(detector: Detector, versions: list[list[RgbImage]]) -> npt.NDArray[np.float64]:
    """Minus the log-likelihood of every version of the pair, or of the single face."""
    features = []
    for of_face in versions:
        batches = [np.stack(of_face[start : start + _BATCH]) for start in range(0, len(of_face), _BATCH)]
        features.append(np.vstack([embed_images(detector.backbone, batch).features for batch in batches]))
    if len(features) == 1:
        vectors = single(features[0], detector.settings.l2_normalise)
        return -np.asarray(detector.density.log_likelihood(vectors))
    count = len(features[0])
    names = [f"{face}-{version}" for face in range(2) for version in range(count)]
    pairs = [(f"0-{version}", f"1-{version}") for version in range(count)]
    return -detector.log_likelihood(names, np.vstack(features), pairs)


def _window(side: int, row: int, column: int) -> npt.NDArray[np.float32]:
    cell = side / CELLS
    mask = np.zeros((side, side), np.float32)
    top, left = round(row * cell), round(column * cell)
    mask[top : round(top + 2 * cell), left : round(left + 2 * cell)] = 1
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), cell / 4), np.float32)[..., None]


def _blurred(face: RgbImage, mask: npt.NDArray[np.float32]) -> RgbImage:
    blurred = cv2.GaussianBlur(face, (0, 0), _BLUR * len(face))
    return np.asarray(face * (1 - mask) + blurred * mask, np.float32).round().astype(np.uint8)
