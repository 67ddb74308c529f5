"""The pair rule: sizes, membership, independence of order, and its randomness."""

import hashlib
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_catalog.fingerprints import fingerprint
from difffake.config import PairsConfig, Relation
from difffake.differential.pairs import draw_pairs, draw_pairs_across
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


def _others(*sizes: int) -> dict[str, list[str]]:
    return {f"video{n}": [f"v{n}_{index:02d}" for index in range(size)] for n, size in enumerate(sizes)}


def _partner(video: str, faces: list[str]) -> str:
    """Of face a under seed 9, by the number that DuckDB reads from a digest: its last byte counts most."""
    digest = bytes.fromhex(_md5(f"9/a/{video}"))
    number = sum(byte * 256**place for place, byte in enumerate(digest))
    return faces[number % len(faces)]


def test_every_face_of_another_video_is_drawn_equally_often() -> None:
    counts: Counter[str] = Counter()
    for seed in range(100):
        pairs = draw_pairs_across(_faces(40), _others(8), PairsConfig(relation="reference", references=1), seed)
        counts.update(partner for _, partner in pairs)
    # Binomial(4000, 1/8): standard deviation 21.
    assert len(counts) == 8
    assert all(abs(count - 500) < 5 * 21 for count in counts.values())


def test_cross_video_written_out_for_one_face() -> None:
    others = _others(2, 3, 2)
    video = min(others, key=lambda name: _md5(f"9/video/a/{name}"))

    expected = [("a", _partner(video, others[video]))]
    assert draw_pairs_across(["a"], others, PairsConfig(relation="cross_video"), 9) == expected


def test_references_written_out_for_one_face() -> None:
    others = _others(2, 3, 2)
    first, second, _ = sorted(others, key=lambda name: _md5(f"9/video/{name}"))
    expected = [("a", _partner(video, others[video])) for video in (first, second)]

    assert draw_pairs_across(["a"], others, PairsConfig(relation="reference", references=2), 9) == sorted(expected)


def test_cross_video_gives_every_face_one_partner_from_videos_equally_often() -> None:
    # A video's share does not grow with its faces.
    others, faces = _others(2, 40, 8), _faces(40)
    origin = {face: video for video, members in others.items() for face in members}
    counts: Counter[str] = Counter()
    for seed in range(200):
        pairs = draw_pairs_across(faces, others, PairsConfig(relation="cross_video"), seed)
        assert [base for base, _ in pairs] == faces
        counts.update(origin[partner] for _, partner in pairs)
    # Binomial(8000, 1/3): standard deviation 42.
    assert all(abs(counts[video] - 8000 / 3) < 5 * 42 for video in others)


@settings(deadline=None)
@given(st.integers(0, 12), st.lists(st.integers(0, 5), max_size=6), st.integers(1, 4), st.integers(0, 2**63))
def test_references_are_few_and_the_same_for_all_faces_and_for_other_videos(
    faces: int, sizes: list[int], references: int, seed: int
) -> None:
    config = PairsConfig(relation="reference", references=references)
    others = _others(*sizes)
    seen = [video for video, members in others.items() if members]
    origin = {face: video for video, members in others.items() for face in members}

    pairs = draw_pairs_across(_faces(faces), others, config, seed)

    assert len(pairs) == faces * min(references, len(seen))
    chosen = {origin[partner] for _, partner in pairs}
    assert len(chosen) == (min(references, len(seen)) if faces else 0)
    assert {(base, origin[partner]) for base, partner in pairs} == {
        (base, video) for base in _faces(faces) for video in chosen
    }
    assert draw_pairs_across(_faces(faces)[::-1], dict(reversed(others.items())), config, seed) == pairs
    elsewhere = draw_pairs_across(["another"], others, config, seed)
    assert not faces or {origin[partner] for _, partner in elsewhere} == chosen


@pytest.mark.parametrize("relation", ["cross_video", "reference"])
def test_nobody_to_compare_with_gives_no_pair(relation: Relation) -> None:
    config = PairsConfig(relation=relation)
    assert draw_pairs_across(_faces(5), {}, config, 0) == []
    assert draw_pairs_across(_faces(5), {"faceless": []}, config, 0) == []
    assert draw_pairs_across([], _others(3), config, 0) == []


def test_across_videos_needs_such_a_relation_and_distinct_names() -> None:
    with pytest.raises(DataError, match="within a video"):
        draw_pairs_across(_faces(2), _others(3), PairsConfig(), 0)
    with pytest.raises(DataError, match="1 face ids occur twice"):
        draw_pairs_across(["v0_00"], _others(3), PairsConfig(relation="cross_video"), 0)


def test_settings_of_other_relations_stay_out_of_the_fingerprint() -> None:
    def name(**changes: Any) -> str:
        return fingerprint("pairs", 1, PairsConfig(**changes), {})

    assert name(references=9) == name()
    for relation in ("cross_video", "reference"):
        assert name(relation=relation, pool_size=3, half_up_to=9) == name(relation=relation)
    assert len({name(), name(relation="cross_video"), name(relation="reference")}) == 3
    assert name(relation="cross_video", references=9) == name(relation="cross_video")
    assert name(relation="reference", references=9) != name(relation="reference")


def test_spread_pairs_hang_on_no_draw() -> None:
    spread = PairsConfig(draw="spread")
    drawn = draw_pairs(["c", "a", "b"], spread, seed=1)
    assert drawn == [("a", "b"), ("c", "a"), ("c", "b")]
    assert draw_pairs(["c", "a", "b"], spread, seed=2) == drawn
    assert draw_pairs(["a"], spread, seed=0) == []
    assert draw_pairs(["a", "b"], spread, seed=0) == [("a", "b")]
    with pytest.raises(DataError, match="twice"):
        draw_pairs(["a", "a"], spread, seed=0)


def test_spread_pairs_of_forty_faces_written_out() -> None:
    faces = _faces(40)
    drawn = draw_pairs(faces, PairsConfig(draw="spread"), seed=0)
    apart = Counter(faces.index(partner) - faces.index(base) for base, partner in drawn)
    assert apart == {5: 35, 10: 30, 15: 25, 20: 20, 25: 15, 30: 10, 35: 5}
    assert set(Counter(name for pair in drawn for name in pair).values()) == {7}


@pytest.mark.parametrize("count", [3, 4, 7, 8, 9, 17, 41])
def test_every_face_has_as_many_partners(count: int) -> None:
    drawn = draw_pairs(_faces(count), PairsConfig(draw="spread"), seed=0)
    assert len(set(drawn)) == len(drawn)
    assert len(set(Counter(name for pair in drawn for name in pair).values())) == 1


def test_the_name_of_a_set_hangs_on_the_draw_and_not_on_what_it_does_not_use() -> None:
    assert PairsConfig(draw="spread").without_effect() >= {"pool_size", "half_up_to"}
    assert "draw" not in PairsConfig(draw="spread").without_effect()
    assert "draw" in PairsConfig().without_effect()
