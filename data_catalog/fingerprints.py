"""Fingerprints: the names of results. Equal inputs, equal name; any change that matters, another name.

A stage's fingerprint is a digest of its name, its `STAGE_VERSION`, its part of the configuration and the digests of
what it reads. Downstream stages use the digest of an artefact's *content*, so that a stage redone with the same
outcome re-runs nothing after it.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from difffake.config import Section

DIGEST_HEX_LENGTH = 16


def fingerprint(stage: str, version: int | Iterable[int], config: Section | None, inputs: Mapping[str, Any]) -> str:
    """16 hex digits naming the outcome of `stage` at `version` under `config` from `inputs` (JSON values)."""
    content = {
        "stage": stage,
        "version": version if isinstance(version, int) else list(version),
        "config": config.effective() if config is not None else None,
        "inputs": dict(inputs),
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_HEX_LENGTH]


def digest_names(names: Iterable[str]) -> str:
    """16 hex digits naming a set of keys, whatever their order."""
    digest = hashlib.sha256()
    for name in sorted(names):
        digest.update(name.encode())
        digest.update(b"\n")
    return digest.hexdigest()[:DIGEST_HEX_LENGTH]


def digest_file(path: Path) -> str:
    """The sha256 of a file's content, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
