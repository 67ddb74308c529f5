"""Combinations of embeddings, by hand and by their algebra."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from difffake.config import Combination
from difffake.differential.combination import combine, single
from difffake.errors import DensityError

A = np.array([[3.0, 1.0, -2.0], [0.0, 0.0, 0.0]])
B = np.array([[1.0, 2.0, -2.0], [0.0, 0.5, -2.0]])
BY_HAND: dict[Combination, list[list[float]]] = {
    "absolute": [[2, 1, 0], [0, 0.5, 2]],
    "signed": [[2, -1, 0], [0, -0.5, 2]],
    "squared": [[4, 1, 0], [0, 0.25, 4]],
    "cubic": [[8, -1, 0], [0, -0.125, 8]],
}
COMBINATIONS = list(BY_HAND)
SIGN_OF_EXCHANGE: dict[Combination, int] = {"absolute": 1, "signed": -1, "squared": 1, "cubic": -1}


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_elements_by_hand(combination: Combination) -> None:
    combined = combine(A, B, combination, l2_normalise=False)

    assert combined.dtype == np.float64
    np.testing.assert_array_equal(combined, BY_HAND[combination])


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_normalised_rows_by_hand(combination: Combination) -> None:
    expected = [np.array(row) / np.sqrt(np.sum(np.square(row))) for row in BY_HAND[combination]]

    np.testing.assert_allclose(combine(A, B, combination, l2_normalise=True), expected, rtol=1e-15)


@pytest.mark.parametrize("combination", COMBINATIONS)
@pytest.mark.parametrize("l2_normalise", [True, False])
def test_identical_embeddings_give_zero(combination: Combination, l2_normalise: bool) -> None:
    same = np.random.default_rng(1).normal(size=(3, 7))

    np.testing.assert_array_equal(combine(same, same.copy(), combination, l2_normalise), np.zeros((3, 7)))


@settings(deadline=None)
@given(
    npst.arrays(np.float32, (2, 4, 5), elements=st.floats(-(2.0**100), 2.0**100, width=32)),
    st.sampled_from(COMBINATIONS),
)
def test_norms_are_one_or_zero_whatever_the_scale(embeddings: np.ndarray, combination: Combination) -> None:
    a, b = embeddings

    norms = np.linalg.norm(combine(a, b, combination, l2_normalise=True), axis=1)

    np.testing.assert_allclose(norms, (a != b).any(axis=1).astype(float), atol=1e-12)


@settings(deadline=None)
@given(npst.arrays(np.float64, (2, 3, 4), elements=st.floats(-10, 10)), st.booleans())
def test_exchanging_base_and_partner_changes_only_the_odd_signs(embeddings: np.ndarray, l2_normalise: bool) -> None:
    a, b = embeddings
    for combination, sign in SIGN_OF_EXCHANGE.items():
        forth = combine(a, b, combination, l2_normalise)
        np.testing.assert_array_equal(combine(b, a, combination, l2_normalise), sign * forth)


def test_half_precision_embeddings_are_subtracted_in_float64() -> None:
    a, b = np.array([[60000.0]], np.float16), np.array([[-60000.0]], np.float16)

    np.testing.assert_array_equal(combine(a, b, "squared", l2_normalise=False), [[120000.0**2]])


def test_no_pairs_give_no_rows() -> None:
    assert combine(np.empty((0, 5)), np.empty((0, 5)), "squared", l2_normalise=True).shape == (0, 5)


@pytest.mark.parametrize("shapes", [((2, 3), (2, 4)), ((2, 3), (1, 3)), ((3,), (3,)), ((1, 2, 3), (1, 2, 3))])
def test_shapes_must_agree(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    with pytest.raises(DensityError, match=r"must share one shape \(N, D\)"):
        combine(np.ones(shapes[0]), np.ones(shapes[1]), "squared", l2_normalise=True)


@pytest.mark.parametrize("fault", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", ["base", "partner"])
def test_non_finite_embeddings_are_refused(fault: float, side: str) -> None:
    sound, faulty = np.zeros((3, 2)), np.zeros((3, 2))
    faulty[1, 1] = fault
    a, b = (faulty, sound) if side == "base" else (sound, faulty)

    with pytest.raises(DensityError, match=rf"1 of 3 {side} embeddings.*row 1"):
        combine(a, b, "absolute", l2_normalise=False)


def test_single_embeddings_by_hand_whatever_their_scale() -> None:
    embeddings = np.array([[3.0, -4.0], [0.0, 0.0], [3e-200, 4e-200], [6e200, 8e200]])

    np.testing.assert_array_equal(single(embeddings, False), embeddings)
    np.testing.assert_allclose(single(embeddings, True), [[0.6, -0.8], [0, 0], [0.6, 0.8], [0.6, 0.8]], rtol=1e-12)


def test_single_embeddings_that_are_not_finite_or_no_matrix_are_refused() -> None:
    with pytest.raises(DensityError, match="1 of 2 single embeddings hold NaN"):
        single([[1.0, np.nan], [0.0, 1.0]], True)
    with pytest.raises(DensityError, match=r"not \(2,\)"):
        single([1.0, 2.0], True)
