"""Artefacts: folders named by stage and fingerprint, complete or absent.

A stage writes into a staging folder beside its final place; one rename publishes it. An artefact counts only while
every file it was published with is there at its size, so one that was deleted or cut short is made again.
"""

import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_catalog.fingerprints import digest_file, digest_names
from difffake.errors import ArtefactError

_RECORD = "record.json"
RECORD_VERSION = 1


@dataclass(frozen=True)
class Artefact:
    """A published result: where it is, the digest of its content, and the facts its stage noted."""

    folder: Path
    digest: str
    facts: dict[str, Any]

    def path(self, name: str) -> Path:
        """The place of one of its files."""
        return self.folder / name


class ArtefactStore:
    """The artefacts below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, stage: str, fingerprint: str) -> Path:
        """Where the artefact of a stage lies, or would."""
        return self.root / stage / fingerprint

    def find(self, stage: str, fingerprint: str) -> Artefact | None:
        """The artefact, or None when it was never published or is no longer whole."""
        folder = self.folder(stage, fingerprint)
        try:
            record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if record.get("version") != RECORD_VERSION:
            return None
        for name, size in record["files"].items():
            path = folder / name
            if not path.is_file() or path.stat().st_size != size:
                return None
        return Artefact(folder, record["digest"], record["facts"])

    def require(self, stage: str, fingerprint: str) -> Artefact:
        """The artefact.

        Raises:
            ArtefactError: it is missing or no longer whole.
        """
        artefact = self.find(stage, fingerprint)
        if artefact is None:
            raise ArtefactError(f"{self.folder(stage, fingerprint)} is missing or incomplete; run again to make it")
        return artefact

    def remove(self, stage: str, fingerprint: str) -> bool:
        """Delete the artefact; says whether there was one."""
        folder = self.folder(stage, fingerprint)
        if not folder.exists():
            return False
        doomed = folder.with_name(f".removed-{uuid.uuid4().hex}")
        folder.rename(doomed)
        shutil.rmtree(doomed)
        return True

    @contextmanager
    def staging(self, stage: str, fingerprint: str) -> Iterator[Path]:
        """An empty folder to write into; whatever is left of it afterwards is deleted."""
        folder = self.root / stage / f".staging-{fingerprint}-{uuid.uuid4().hex}"
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def publish(
        self, staged: Path, stage: str, fingerprint: str, facts: Mapping[str, Any], digest: str | None = None
    ) -> Artefact:
        """Turn a staging folder into the artefact, replacing one that was there.

        `digest` names the content; by default it covers names and bytes of the files. A stage whose files hold a
        time or a picture of the result gives the digest of what matters.
        """
        files = {path.relative_to(staged).as_posix(): path for path in sorted(staged.rglob("*")) if path.is_file()}
        record = {
            "version": RECORD_VERSION,
            "digest": digest or digest_names(f"{name}:{digest_file(path)}" for name, path in files.items()),
            "facts": dict(facts),
            "files": {name: path.stat().st_size for name, path in files.items()},
        }
        text = json.dumps(record, indent=2, sort_keys=True, allow_nan=False)
        with (staged / _RECORD).open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        self.remove(stage, fingerprint)
        staged.rename(self.folder(stage, fingerprint))
        return self.require(stage, fingerprint)
