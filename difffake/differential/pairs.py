"""Which faces are compared (method: Sec. 3.3 of the paper): of one video, or of several videos of one person.

This is the reference: `draw_pairs.sql`, `draw_spread_pairs.sql` and `draw_pairs_across.sql` of `data_catalog/sql` say
the same for many videos at once and must equal it. The digest of seed and names is the random number, so a draw depends
on neither the order of faces nor on other people.
"""

import hashlib
from collections.abc import Mapping, Sequence

from difffake.config import PairsConfig
from difffake.errors import DataError

STAGE_VERSION = 1
"""Enters the fingerprint of the pairs: bump it, and change the SQL, when output changes."""

ACROSS_VERSION = 2
"""The same of pairs across videos alone. 2: one digest a pair, no longer one for each face it could have been."""

Pair = tuple[str, str]


def draw_pairs(face_ids: Sequence[str], config: PairsConfig, seed: int) -> list[Pair]:
    """Pair every face outside a random pool with a random member of that pool, or with those some way off in time.

    With the paper's 40 faces and pool of 8 a video gives 32 pairs; spread over time they are 140.

    Args:
        face_ids: distinct names of the faces of one person in one video, where they are spread in the order of frames.
        config: which of the two, and the size of the pool.
        seed: the experiment's seed.

    Returns:
        (base, partner) names, sorted; empty for fewer than two faces.

    Raises:
        DataError: a name occurs twice.
    """
    _refuse_doubles(face_ids)
    if config.draw == "spread":
        return _spread_pairs(face_ids)
    ranked = sorted(face_ids, key=lambda face_id: (_random_rank(f"{seed}/pool/{face_id}"), face_id))
    pool_count = _pool_count(len(ranked), config)
    pool, bases = ranked[:pool_count], ranked[pool_count:]
    if not pool:
        return []
    return [(base, _draw_partner(base, pool, seed)) for base in sorted(bases)]


def draw_pairs_across(
    face_ids: Sequence[str], others: Mapping[str, Sequence[str]], config: PairsConfig, seed: int
) -> list[Pair]:
    """Pair every face of a judged video with random faces of other real videos of the same person.

    cross_video draws one of these videos anew for every face: one pair a face. reference draws at most
    `config.references` of them once, the same for all faces: one pair a face and video. The draw of a video depends on
    its name and the seed alone, so all videos of a person have the same references, but for themselves.

    Args:
        face_ids: distinct names of the faces of one person in the judged video.
        others: of each other real video of that person, by a name of its content, the faces of its main person.
        config: relation, and number of references.
        seed: the experiment's seed.

    Returns:
        (base, partner) names, sorted; empty where there is no other video with a face.

    Raises:
        DataError: a name occurs twice, or the relation is same_video.
    """
    if not config.is_across_videos:
        raise DataError("pairs.relation is same_video: its pairs are drawn within a video, by draw_pairs")
    _refuse_doubles([*face_ids, *(face_id for faces in others.values() for face_id in faces)])
    seen = [content for content, faces in others.items() if faces]
    faces = {content: sorted(others[content]) for content in seen}
    return sorted(
        (base, faces[content][_random_number(f"{seed}/{base}/{content}") % len(faces[content])])
        for base in face_ids
        for content in _draw_videos(base, seen, config, seed)
    )


def _spread_pairs(face_ids: Sequence[str]) -> list[Pair]:
    """Faces j/8 of the video apart, j = 1 to 4, its end followed by its start; each face has as many partners."""
    count = len(face_ids)
    apart = {max(1, count * eighths // 8) for eighths in range(1, 5)}
    return sorted(
        (face_ids[base], face_ids[partner])
        for base in range(count)
        for partner in range(base + 1, count)
        if min(partner - base, count - (partner - base)) in apart
    )


def _draw_videos(base: str, contents: Sequence[str], config: PairsConfig, seed: int) -> list[str]:
    is_anew = config.relation == "cross_video"
    drawn_for = f"{seed}/video/{base}" if is_anew else f"{seed}/video"
    ranked = sorted(contents, key=lambda content: (_random_rank(f"{drawn_for}/{content}"), content))
    return ranked[: 1 if is_anew else config.references]


def _pool_count(face_count: int, config: PairsConfig) -> int:
    """The pool must leave faces to pair with it: a pool as large as the video falls back to half."""
    if face_count > max(config.half_up_to, config.pool_size):
        return config.pool_size
    return face_count // 2


def _draw_partner(base: str, pool: Sequence[str], seed: int) -> str:
    return min(pool, key=lambda partner: (_random_rank(f"{seed}/{base}/{partner}"), partner))


def _random_rank(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _random_number(text: str) -> int:
    """DuckDB's md5_number."""
    return int.from_bytes(hashlib.md5(text.encode(), usedforsecurity=False).digest(), "little")


def _refuse_doubles(face_ids: Sequence[str]) -> None:
    if len(set(face_ids)) != len(face_ids):
        raise DataError(f"{len(face_ids) - len(set(face_ids))} face ids occur twice; pairs need distinct faces")
