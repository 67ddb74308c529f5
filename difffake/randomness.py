"""Random generators derived from names, so that results never depend on worker count or order."""

import hashlib

import numpy as np


def derive_seed(seed: int, *names: str | int) -> int:
    """A 63-bit seed that is a function of `seed` and `names` alone, equal on every machine and version."""
    text = "\x1f".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def derive_rng(seed: int, *names: str | int) -> np.random.Generator:
    """A generator for one named purpose, e.g. ``derive_rng(seed, "pseudo_fakes", epoch, face_id)``."""
    return np.random.default_rng(derive_seed(seed, *names))
