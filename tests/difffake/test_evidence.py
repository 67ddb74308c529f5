import cv2
import numpy as np
import torch

from difffake.evidence import CELLS, evidence_map, overlay
from tests.helpers.detector import small_detector
from tests.helpers.media import astronaut_rgb
from tests.helpers.synthetic_faces import encode

CPU = torch.device("cpu")


def crop() -> np.ndarray:
    return cv2.resize(astronaut_rgb()[40:190, 150:300], (64, 64), interpolation=cv2.INTER_AREA)


def test_evidence_lies_where_the_faces_differ() -> None:
    detector = small_detector()
    changed = crop().copy()
    changed[40:56, 24:40] = np.random.default_rng(0).integers(0, 256, (16, 16, 3))
    evidence = evidence_map(detector, [encode(crop()), encode(changed)], CPU)
    assert evidence.shape == (CELLS, CELLS)
    assert np.isfinite(evidence).all()
    # Columns 3 and 4, rows 5 and 6 of eight hold the change.
    spread = np.abs(evidence - np.median(evidence))
    assert spread[5:7, 3:5].mean() > 2 * spread[:4].mean()


def test_equal_faces_hold_no_evidence() -> None:
    evidence = evidence_map(small_detector(), [encode(crop()), encode(crop())], CPU)
    np.testing.assert_allclose(evidence, 0, atol=1e-3)


def test_the_overlay_tints_the_evidence_and_leaves_the_rest_grey() -> None:
    evidence = np.zeros((CELLS, CELLS))
    evidence[6:, 6:] = 2.0
    picture = overlay(encode(crop()), evidence, 80, strongest=2.0)
    assert picture.shape == (80, 80, 3)
    assert np.ptp(picture[:30, :30].astype(int), axis=2).max() == 0
    corner = picture[72:, 72:].reshape(-1, 3).mean(axis=0)
    assert corner[0] > corner[1] + 40 > corner[2] + 60
