"""What a dataset adapter is: a folder in, one entry per video out; nothing opened, nothing guessed."""

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from difffake.errors import DataError

VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".m4v"})

NAME_PATTERN = "^[A-Za-z0-9_.-]+$"

Split = Literal["train", "val", "test"]


class DatasetSpec(BaseModel):
    """A dataset as a user has it: which adapter reads which folder, under which name it is registered."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=NAME_PATTERN, description="Name in the lake; part of every video_key.")
    adapter: str = Field(description="Name of the adapter that knows the folder's layout.")
    root: Path = Field(description="The dataset's folder.")
    identities: Path | None = Field(
        None, description="CSV with columns video,identity that says which videos show the same person."
    )


@dataclass(frozen=True)
class VideoEntry:
    """One video file and what its place and the dataset's lists say about it."""

    path: Path
    folder: str
    name: str
    label: Literal["real", "fake"]
    manipulation: str | None
    compression: str | None
    split: Split | None
    identity: str
    source_identity: str | None
    original: str | None

    @property
    def local_key(self) -> str:
        """The key without its dataset: folder/compression/name."""
        return "/".join(part for part in (self.folder, self.compression, self.name) if part)


@dataclass(frozen=True)
class Unrecognised:
    """A file below the root whose label or identity cannot be known, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Scan:
    """Everything found below a root."""

    entries: tuple[VideoEntry, ...]
    unrecognised: tuple[Unrecognised, ...]


class DatasetAdapter(Protocol):
    """Reads the layout of one public dataset."""

    name: str
    layout: str
    licence: str
    citation: str

    def scan(self, root: Path, identities: dict[str, str]) -> Scan:
        """List the videos below `root`; `identities` says which video ids show the same person.

        Raises:
            DataError: the folder is missing or holds nothing of this layout; says what was found.
        """
        ...


def read_identities(path: Path | None) -> dict[str, str]:
    """The overrides file as video id → identity; no file, no overrides.

    Raises:
        DataError: the file is missing, has other columns, or names a video twice.
    """
    if path is None:
        return {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if reader.fieldnames is None or not {"video", "identity"} <= set(reader.fieldnames):
                raise DataError(f"{path} must have the columns video,identity; it has {reader.fieldnames}")
            rows = [(row["video"], row["identity"]) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read the identities file {path}: {error}") from error
    merged: dict[str, str] = {}
    for video, identity in rows:
        if not video or not identity:
            raise DataError(f"{path} has a row without video or identity: {video!r},{identity!r}")
        if merged.setdefault(video, identity) != identity:
            raise DataError(f"{path} gives video {video} two identities: {merged[video]} and {identity}")
    return merged


def walk_files(folder: Path) -> Iterator[Path]:
    """Every file below a folder, links to folders followed, each real folder once."""
    seen: set[str] = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        yield from (Path(parent, name) for name in names)


def require_folder(root: Path, layout: str) -> None:
    """Raise DataError unless `root` is a folder with something in it."""
    if not root.exists():
        raise DataError(f"the dataset folder {root} does not exist. Expected layout:\n{layout}")
    if not root.is_dir():
        raise DataError(f"{root} is not a folder. Expected layout:\n{layout}")
    if not any(root.iterdir()):
        raise DataError(f"the dataset folder {root} is empty. Expected layout:\n{layout}")


def describe_folder(root: Path, most: int = 8) -> str:
    """The first names in a folder, for messages."""
    names = sorted(path.name + ("/" if path.is_dir() else "") for path in root.iterdir())
    shown = ", ".join(names[:most])
    return f"{shown}, … ({len(names)} entries)" if len(names) > most else shown
