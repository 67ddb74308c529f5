"""What a dataset adapter is: a folder in, one entry per video or photo out; nothing opened, nothing guessed.

An adapter sees one listing of the folder (paths, sizes, times) and reads the dataset's own lists. What a file's place
and the lists do not say is not known: such a file is reported with the reason.
"""

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from data_catalog.storage import Folder, SourceFile
from difffake.config import Role, SplitName
from difffake.errors import DataError
from difffake.media import VIDEO_SUFFIXES, Media

_UNFINISHED_SUFFIXES = frozenset({".part", ".partial", ".crdownload", ".download", ".tmp", ".aria2", ".filepart"})
# Read me files, checksums, thumbnails of file managers: there to be left alone, not worth a report.
_BESIDE_THE_POINT = frozenset({".ds_store", "thumbs.db", "desktop.ini"})

Split = Literal["train", "val", "test"]
Label = Literal["real", "fake", "unknown"]
Roles = Mapping[Role, tuple[SplitName, ...]]

OFFICIAL_SPLITS: Roles = {
    "train": ("train",),
    "density": ("train",),
    "validation": ("val",),
    "calibration": ("val",),
    "test": ("test",),
}
TEST_SPLIT_ONLY: Roles = {"test": ("test",)}
TEST_EVERYTHING: Roles = {"test": ("train", "val", "test", "none")}


@dataclass(frozen=True, slots=True)
class VideoEntry:
    """One file and what its place and the dataset's lists say about it.

    Attributes:
        file: path, size and time.
        folder: first part of the key: where the dataset keeps it (a method, a part, a perturbation).
        name: last part of the key, the file's name without suffix.
        label: real, fake, or unknown.
        manipulation: how a fake was made; None for a real one.
        compression: quality level where the dataset has levels.
        split: the official one; None when the lists name none.
        identity: the person to be seen (of a fake: the target), as the dataset names people.
        source_identity: the person whose face was put in, where known.
        original: local key of the real video a fake was made from, where known; see `local_key`.
        media: video, or a single photo.
    """

    file: SourceFile
    folder: str
    name: str
    label: Label
    identity: str
    manipulation: str | None = None
    compression: str | None = None
    split: Split | None = None
    source_identity: str | None = None
    original: str | None = None
    media: Media = "video"

    @property
    def local_key(self) -> str:
        """The key without its dataset: folder/compression/name."""
        return "/".join(part for part in (self.folder, self.compression, self.name) if part)


@dataclass(frozen=True, slots=True)
class Unrecognised:
    """A file whose label, identity or place cannot be known, and why."""

    relative: str
    reason: str


@dataclass(frozen=True)
class Scan:
    """Everything found below a root: an entry or a reason for every file.

    Attributes:
        entries: footage.
        unrecognised: files that cannot be placed.
        also_known: people the dataset's lists name, whether or not their videos are there.
    """

    entries: tuple[VideoEntry, ...]
    unrecognised: tuple[Unrecognised, ...]
    also_known: frozenset[str] = frozenset()


class DatasetAdapter(Protocol):
    """Reads the layout of one public dataset.

    Attributes:
        name: by which configurations and `--dataset` call it.
        title: the dataset's own name.
        layout: the files it expects, for people.
        licence: the terms under which the dataset is given.
        citation: the publication to cite.
        people: name space of its identities: two datasets that show the same people share it; empty: the name under
            which the dataset is registered.
        roles: which split serves what unless a configuration says otherwise.
    """

    name: str
    title: str
    layout: str
    licence: str
    citation: str
    people: str
    roles: Roles

    def scan(self, folder: Folder) -> Scan:
        """Give every file below `folder` an entry or a reason.

        Raises:
            DataError: the folder is missing, empty or of another layout, or a list is broken; says what was found.
        """
        ...


Fields = dict[str, Any]
Classify = Callable[[SourceFile], Fields | str | None]
"""The fields of a file's entry, why there is none, or None for a file that belongs to the dataset but is no footage."""


def scan_files(
    adapter: DatasetAdapter,
    folder: Folder,
    files: Iterable[SourceFile],
    classify: Classify,
    suffixes: frozenset[str] = VIDEO_SUFFIXES,
) -> Scan:
    """Classify every file of a listing; the first of two files under one key is taken and the other reported.

    Raises:
        DataError: not a single file gave an entry.
    """
    entries: dict[str, VideoEntry] = {}
    unrecognised: list[Unrecognised] = []
    for file in files:
        if file.relative.rsplit("/", 1)[-1].startswith("._"):
            # What macOS leaves beside files on foreign disks.
            continue
        found = _unusable(file, suffixes) or classify(file)
        if found is None:
            continue
        if isinstance(found, str):
            unrecognised.append(Unrecognised(_printable(file.relative), found))
            continue
        entry = VideoEntry(file=file, **found)
        first = entries.setdefault(entry.local_key, entry)
        if first is not entry:
            unrecognised.append(
                Unrecognised(file.relative, f"its key {entry.local_key} is taken by {first.file.relative}")
            )
    if not entries:
        examples = "".join(f"\n  {item.relative}: {item.reason}" for item in unrecognised[:3])
        raise DataError(
            f"{folder} holds nothing of {adapter.title}: {len(unrecognised)} other files{examples}\n"
            f"It holds {describe_folder(folder)}. Expected:\n{adapter.layout}"
        )
    return Scan(tuple(entries.values()), tuple(unrecognised))


def list_folder(adapter: DatasetAdapter, folder: Folder, *needed: str) -> tuple[SourceFile, ...]:
    """The files below `folder`, which must hold at least one of the `needed` names (`lists/` for a folder).

    Raises:
        DataError: the folder is missing, is a file, is empty, or holds none of them; says what was found.
    """
    if folder.is_local and not folder.path.exists():
        raise DataError(f"the dataset folder {folder} does not exist. Expected layout:\n{adapter.layout}")
    if folder.is_local and not folder.path.is_dir():
        raise DataError(f"{folder} is not a folder. Expected layout:\n{adapter.layout}")
    names = folder.top_names()
    if not names:
        raise DataError(f"the dataset folder {folder} is empty. Expected layout:\n{adapter.layout}")
    if needed and not set(needed) & set(names):
        raise DataError(
            f"{folder} is not a {adapter.title} folder: it holds {describe_folder(folder)}. Expected:\n{adapter.layout}"
        )
    return folder.files()


def describe_folder(folder: Folder, most: int = 8) -> str:
    """The first names in a folder, for messages."""
    names = folder.top_names()
    shown = ", ".join(names[:most]) or "nothing"
    return f"{shown}, … ({len(names)} entries)" if len(names) > most else shown


def read_json(folder: Folder, relative: str) -> Any:
    """The content of a JSON file of the dataset.

    Raises:
        DataError: it is missing or not JSON.
    """
    text = folder.read_text(relative)
    try:
        return json.loads(text)
    except ValueError as error:
        raise DataError(f"{folder}/{relative} is not valid JSON: {error}") from error


def read_csv(folder: Folder, relative: str, *needed: str) -> list[dict[str, str]]:
    """The rows of a CSV file of the dataset that has at least the `needed` columns.

    Raises:
        DataError: it is missing, broken or lacks a column.
    """
    return _csv_rows(folder.read_text(relative), f"{folder}/{relative}", needed)


def read_identities(path: Path | None) -> dict[str, str]:
    """The overrides file as the dataset's name of a person → the person; no file, no overrides.

    Its columns are `video,identity`: for datasets that know no people, such as FaceForensics++, a video's id stands for
    the person in it. People of this file are the same people in every dataset.

    Raises:
        DataError: the file is missing, has other columns, or gives one name two people.
    """
    if path is None:
        return {}
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the identities file {path}: {error}") from error
    merged: dict[str, str] = {}
    for row in _csv_rows(text, str(path), ("video", "identity")):
        video, identity = row["video"].strip(), row["identity"].strip()
        if not video or not identity:
            raise DataError(f"{path} has a row without video or identity: {video!r},{identity!r}")
        if merged.setdefault(video, identity) != identity:
            raise DataError(f"{path} gives video {video} two identities: {merged[video]} and {identity}")
    return merged


def _csv_rows(text: str, place: str, needed: Iterable[str]) -> list[dict[str, str]]:
    try:
        reader = csv.DictReader(io.StringIO(text), strict=True)
        rows = list(reader)
    except csv.Error as error:
        raise DataError(f"{place} is not a readable CSV file: {error}") from error
    if not set(needed) <= set(reader.fieldnames or ()):
        raise DataError(f"{place} must have the columns {','.join(needed)}; it has {reader.fieldnames}")
    # A short row leaves None, a long one a list under None: both become texts that no rule takes for a value.
    return [{str(key): value if isinstance(value, str) else "" for key, value in row.items()} for row in rows]


def _unusable(file: SourceFile, suffixes: frozenset[str]) -> str | None:
    """Why a file cannot be footage, whatever the dataset; None when it may be, or is none of ours to judge."""
    suffix = file.suffix
    if suffix in _UNFINISHED_SUFFIXES:
        return "still being downloaded, by its suffix"
    if suffix not in suffixes:
        return None
    if not file.is_regular:
        return "not a file but a pipe, a socket or a device"
    try:
        file.relative.encode("utf-8")
    except UnicodeEncodeError:
        return "its name is not valid UTF-8: rename it"
    return None


def is_footage(file: SourceFile, suffixes: frozenset[str] = VIDEO_SUFFIXES) -> bool:
    """Whether a file's suffix is that of footage."""
    return file.suffix in suffixes


def not_footage(file: SourceFile) -> str | None:
    """Why a file that is no list of the dataset cannot be placed; None for what file managers leave behind."""
    if file.path.name.lower() in _BESIDE_THE_POINT:
        return None
    return f"not footage by its suffix {file.path.suffix!r}"


def _printable(relative: str) -> str:
    return relative.encode("utf-8", "backslashreplace").decode("utf-8")
