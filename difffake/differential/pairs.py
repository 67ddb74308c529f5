"""Which faces of a video are compared (method: Sec. 3.3 of the paper): every face outside a random pool with one in it.

This is the reference: `data_catalog/sql/draw_pairs.sql` says the same for many videos at once and must equal it.
"""

import hashlib
from collections.abc import Sequence

from difffake.config import PairsConfig
from difffake.errors import DataError

STAGE_VERSION = 1
"""Enters the fingerprint of the pairs: bump it, and change the SQL, when output changes."""


def draw_pairs(face_ids: Sequence[str], config: PairsConfig, seed: int) -> list[tuple[str, str]]:
    """Pair every face outside a random pool with a random member of that pool.

    The digest of (seed, names) is the random number, so a draw depends on neither the order of `face_ids` nor on
    other videos. With the paper's 40 faces and pool of 8 a video gives 32 pairs.

    Args:
        face_ids: distinct names of the faces of one person in one video.
        config: size of the pool.
        seed: the experiment's seed.

    Returns:
        (base, partner) names sorted by base; empty for fewer than two faces.

    Raises:
        DataError: a name occurs twice.
    """
    if len(set(face_ids)) != len(face_ids):
        raise DataError(f"{len(face_ids) - len(set(face_ids))} face ids occur twice; pairs need distinct faces")
    ranked = sorted(face_ids, key=lambda face_id: (_random_rank(f"{seed}/pool/{face_id}"), face_id))
    pool_count = _pool_count(len(ranked), config)
    pool, bases = ranked[:pool_count], ranked[pool_count:]
    if not pool:
        return []
    return [(base, _draw_partner(base, pool, seed)) for base in sorted(bases)]


def _pool_count(face_count: int, config: PairsConfig) -> int:
    """The pool must leave faces to pair with it: a pool as large as the video falls back to half."""
    if face_count > max(config.half_up_to, config.pool_size):
        return config.pool_size
    return face_count // 2


def _draw_partner(base: str, pool: Sequence[str], seed: int) -> str:
    return min(pool, key=lambda partner: (_random_rank(f"{seed}/{base}/{partner}"), partner))


def _random_rank(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
