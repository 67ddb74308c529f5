"""How two embeddings of one person become one vector of natural change (method: Sec. 3.3 of the paper).

And how one embedding becomes a vector, for the non-differential baseline.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from difffake.config import Combination
from difffake.errors import DensityError

STAGE_VERSION = 1
"""Enters the fingerprint of every stage that reads combined vectors: bump it when output changes."""

Vectors = npt.NDArray[np.float64]

_COMBINATIONS: dict[Combination, Callable[[Vectors], Vectors]] = {
    "absolute": np.abs,
    "signed": lambda difference: difference,
    "squared": np.square,
    "cubic": lambda difference: np.square(difference) * difference,
}


def combine(a: npt.ArrayLike, b: npt.ArrayLike, combination: Combination, l2_normalise: bool) -> Vectors:
    """Combine row i of `a` with row i of `b`, in float64 whatever the embeddings' precision.

    Two identical embeddings have no direction of change: their row is zero, normalised or not.

    Args:
        a: (N, D) embeddings of the base faces.
        b: (N, D) embeddings of their partners.
        combination: absolute |a−b|, signed a−b, squared (a−b)² or cubic (a−b)³, element by element.
        l2_normalise: divide each row that is not zero by its Euclidean norm.

    Returns:
        (N, D) float64.

    Raises:
        DensityError: shapes differ or are not (N, D), or a value is not finite.
    """
    base, partner = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if base.ndim != 2 or base.shape != partner.shape:
        raise DensityError(f"embeddings to combine must share one shape (N, D), not {base.shape} and {partner.shape}")
    _refuse_non_finite(base, "base")
    _refuse_non_finite(partner, "partner")
    difference = base - partner
    if not l2_normalise:
        return _COMBINATIONS[combination](difference)
    # A row's direction does not depend on its scale, and at a largest element of 1 no power under- or overflows.
    return _to_length_1(_COMBINATIONS[combination](_to_largest_1(difference)))


def differences(
    face_ids: Sequence[str],
    features: npt.NDArray[np.float32],
    pairs: Sequence[tuple[str, str]],
    combination: Combination,
    l2_normalise: bool,
) -> Vectors:
    """The (P, D) float64 differential features of pairs of faces (Sec. 3.3); row of `features` i is face i."""
    place = {face_id: number for number, face_id in enumerate(face_ids)}
    bases = features[[place[base] for base, _ in pairs]]
    partners = features[[place[partner] for _, partner in pairs]]
    return combine(bases, partners, combination, l2_normalise)


def single(embeddings: npt.ArrayLike, l2_normalise: bool) -> Vectors:
    """Embeddings as vectors of the non-differential baseline, in float64.

    Args:
        embeddings: (N, D).
        l2_normalise: divide each row that is not zero by its Euclidean norm.

    Returns:
        (N, D) float64.

    Raises:
        DensityError: the shape is not (N, D), or a value is not finite.
    """
    vectors = np.asarray(embeddings, dtype=np.float64)
    if vectors.ndim != 2:
        raise DensityError(f"embeddings must have the shape (N, D), not {vectors.shape}")
    _refuse_non_finite(vectors, "single")
    return _to_length_1(_to_largest_1(vectors)) if l2_normalise else vectors


def _to_largest_1(vectors: Vectors) -> Vectors:
    return _divide_nonzero_rows(vectors, np.max(np.abs(vectors), axis=1, keepdims=True, initial=0.0))


def _to_length_1(vectors: Vectors) -> Vectors:
    return _divide_nonzero_rows(vectors, np.linalg.norm(vectors, axis=1, keepdims=True))


def _divide_nonzero_rows(vectors: Vectors, divisors: Vectors) -> Vectors:
    return np.divide(vectors, divisors, out=np.zeros_like(vectors), where=divisors > 0)


def _refuse_non_finite(embeddings: Vectors, name: str) -> None:
    faulty = np.flatnonzero(~np.isfinite(embeddings).all(axis=1))
    if faulty.size:
        raise DensityError(
            f"{faulty.size} of {len(embeddings)} {name} embeddings hold NaN or infinity (first: row {faulty[0]}); "
            "embed their faces again, and check the backbone's weights if it happens again"
        )
