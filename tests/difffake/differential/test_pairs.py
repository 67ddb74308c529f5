"""The pair rule: sizes, membership, independence of order, and its randomness."""

import hashlib
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from difffake.config import PairsConfig
from difffake.differential.pairs import draw_pairs
from difffake.errors import DataError


def _faces(count: int) -> list[str]:
    return [f"face_{index:03d}" for index in range(count)]


@pytest.mark.parametrize(
    ("faces", "pool", "half_up_to", "pairs"),
    [
        (40, 8, 16, 32),  # the paper's video
        (17, 8, 16, 9),
        (16, 8, 16, 8),
        (7, 8, 16, 4),  # pool of 3
        (3, 8, 16, 2),
        (2, 8, 16, 1),
        (1, 8, 16, 0),
        (0, 8, 16, 0),
        (20, 20, 16, 10),  # a pool as large as the video
        (20, 50, 16, 10),
        (21, 20, 16, 1),
    ],
)
def test_number_of_pairs(faces: int, pool: int, half_up_to: int, pairs: int) -> None:
    assert len(draw_pairs(_faces(faces), PairsConfig(pool_size=pool, half_up_to=half_up_to), seed=1)) == pairs


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def test_rule_written_out_for_five_faces() -> None:
    faces = ["a", "b", "c", "d", "e"]
    pool = {face for face in faces if sum(_md5(f"9/pool/{other}") < _md5(f"9/pool/{face}") for other in faces) < 2}
    expected = []
    for base in faces:
        if base not in pool:
            first, second = sorted(pool)
            nearer = first if _md5(f"9/{base}/{first}") < _md5(f"9/{base}/{second}") else second
            expected.append((base, nearer))

    assert draw_pairs(faces, PairsConfig(), seed=9) == expected


@settings(deadline=None)
@given(st.lists(st.text(max_size=6), unique=True, max_size=50), st.integers(0, 2**63), st.randoms())
def test_bases_and_partners_are_disjoint_sorted_and_independent_of_order(
    faces: list[str], seed: int, shuffler: random.Random
) -> None:
    pairs = draw_pairs(faces, PairsConfig(pool_size=4, half_up_to=6), seed)
    bases, partners = [base for base, _ in pairs], {partner for _, partner in pairs}
    shuffled = list(faces)
    shuffler.shuffle(shuffled)

    assert bases == sorted(set(bases))
    assert not partners & set(bases)
    assert partners | set(bases) <= set(faces)
    assert draw_pairs(shuffled, PairsConfig(pool_size=4, half_up_to=6), seed) == pairs


def test_every_face_is_equally_often_in_the_pool_and_partners_are_spread() -> None:
    draws = 2000
    as_base: Counter[str] = Counter()
    sizes: Counter[int] = Counter()
    for seed in range(draws):
        pairs = draw_pairs(_faces(40), PairsConfig(), seed)
        as_base.update(base for base, _ in pairs)
        sizes.update(Counter(partner for _, partner in pairs).values())
    # Binomial(2000, 0.8): standard deviation 17.9; five of them hold for 40 faces at once.
    assert all(abs(as_base[face] - 0.8 * draws) < 90 for face in _faces(40))
    # 32 bases over 8 partners: Binomial(32, 1/8) has mean 4, and hardly ever reaches 16.
    assert sum(size * times for size, times in sizes.items()) == 32 * draws
    assert max(sizes) < 17


def test_seeds_draw_different_pairs() -> None:
    assert draw_pairs(_faces(40), PairsConfig(), 0) != draw_pairs(_faces(40), PairsConfig(), 1)


def test_a_face_twice_is_refused() -> None:
    with pytest.raises(DataError, match="1 face ids occur twice"):
        draw_pairs(["a", "b", "a"], PairsConfig(), 0)
