import numpy as np
import pytest

from difffake.stillness import STILL_SHARE, hardly_moves
from tests.helpers.landmarks import canonical_landmarks


def jittered(share: float, size_px: int) -> np.ndarray:
    points = canonical_landmarks(size_px)
    side = np.ptp(points, axis=0).max()
    noise = np.random.default_rng(0).normal(size=(40, 68, 2))
    return (points + share * side * noise / noise.std(axis=0).mean()).astype(np.float32)


@pytest.mark.parametrize("size_px", [64, 800])
def test_stillness_is_a_share_of_the_face_whatever_its_size(size_px: int) -> None:
    assert hardly_moves(jittered(0.95 * STILL_SHARE, size_px))
    assert not hardly_moves(jittered(1.05 * STILL_SHARE, size_px))


def test_a_face_that_moves_as_a_whole_moves() -> None:
    steps = np.arange(10, dtype=np.float32)[:, None, None]
    assert not hardly_moves(canonical_landmarks(200) + steps)


def test_one_face_is_no_stillness() -> None:
    assert not hardly_moves(canonical_landmarks(200)[None])
