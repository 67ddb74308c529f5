"""Any folder of videos and photos sorted into `real/` and `fake/`, or described by a `metadata.csv`."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import get_args

from data_catalog.datasets.base import (
    TEST_EVERYTHING,
    Fields,
    Label,
    Scan,
    Split,
    Unrecognised,
    VideoEntry,
    is_footage,
    list_folder,
    not_footage,
    read_csv,
    scan_files,
)
from data_catalog.storage import Folder, SourceFile
from difffake.errors import DataError
from difffake.media import PHOTO_SUFFIXES, VIDEO_SUFFIXES

_METADATA = "metadata.csv"
_COLUMNS = ("path", "label", "identity", "split", "method")
_ONLY_OF_FAKES = ("method", "source_identity", "original")
_LABELS: Mapping[str, Label] = {label: label for label in get_args(Label)}
_SPLITS: Mapping[str, Split | None] = {split: split for split in get_args(Split)} | {"": None, "none": None}
_QUALITY = {"": None, "raw": "raw", "c0": "raw", "c23": "c23", "c40": "c40"}
_FOOTAGE = VIDEO_SUFFIXES | PHOTO_SUFFIXES

_Row = Mapping[str, str]


class GenericFolder:
    """Videos and photos of one's own: the top folder says real or fake, an optional table everything else.

    Without a row in the table nothing but the label is known: each file stands for a person of its own, a fake's method
    is "fake", and there is no split. Its people are its own (`people` is empty: the name space is the dataset's name),
    so that equal names in two folders do not become one person by accident.
    """

    name = "folder"
    title = "generic folder"
    layout = (
        "  real/**/*.mp4, fake/**/*.mp4 (or another video or photo suffix)\n"
        "  metadata.csv (optional) with the columns path,label,identity,split,method and, where known,\n"
        "    source_identity,original,compression; paths are relative to the folder, those below neither real/ nor\n"
        "    fake/ need a label; label: real, fake; split: train, val, test; compression: raw, c23, c40;\n"
        "    original: the path of the real video; whatever is not known is left empty"
    )
    licence = "that of the files"
    citation = "that of the files"
    people = ""
    roles = TEST_EVERYTHING

    def scan(self, folder: Folder) -> Scan:
        """List what is below real/ and fake/ and what metadata.csv names; see `DatasetAdapter.scan`."""
        files = list_folder(self, folder, *(f"{label}/" for label in _LABELS), _METADATA)
        there = {file.relative: file for file in files}
        rows = read_metadata(folder) if _METADATA in there else {}
        # Of a video and a photo of one name, its still as a rule, the first is taken: the video.
        files_videos_first = sorted(files, key=lambda file: is_footage(file, PHOTO_SUFFIXES))
        scan = scan_files(self, folder, files_videos_first, lambda file: _classify(file, rows, there), _FOOTAGE)
        return replace(scan, unrecognised=scan.unrecognised + tuple(_absent(rows, there)))


def _classify(file: SourceFile, rows: Mapping[str, _Row], there: Mapping[str, SourceFile]) -> Fields | str | None:
    row = rows.get(file.relative, {})
    fields = _describe(file, row)
    path = row.get("original", "")
    if not isinstance(fields, dict) or path not in there:
        return fields
    original = _describe(there[path], rows.get(path, {}))
    if not isinstance(original, dict) or original["label"] != "real":
        return f"its original {path} is not known to be real"
    return fields | {"original": VideoEntry(there[path], **original).local_key}


def _describe(file: SourceFile, row: _Row) -> Fields | str | None:
    """All but the original."""
    top, slash, below = file.relative.partition("/")
    sorted_as = _LABELS.get(top) if slash else None
    if not is_footage(file, _FOOTAGE):
        return not_footage(file) if sorted_as or row else None
    if not sorted_as and not row:
        return "neither below real/ or fake/ nor named by metadata.csv"
    problem = _wrong_value(row) or _wrong_label(row.get("label"), sorted_as)
    if problem:
        return problem
    label = sorted_as or _LABELS[row["label"]]
    if label == "real" and any(row.get(column) for column in _ONLY_OF_FAKES):
        return f"metadata.csv gives a real file one of {', '.join(_ONLY_OF_FAKES)}"
    return {
        "folder": label,
        "name": _without_suffix(below if sorted_as else file.relative),
        "label": label,
        "manipulation": (row.get("method") or "fake") if label == "fake" else None,
        "compression": _QUALITY[row.get("compression", "")],
        "split": _SPLITS[row.get("split", "")],
        "identity": row.get("identity") or _without_suffix(file.relative),
        "source_identity": row.get("source_identity") or None,
        "media": "photo" if is_footage(file, PHOTO_SUFFIXES) else "video",
    }


def _without_suffix(path: str) -> str:
    return path.rpartition(".")[0]


def _wrong_value(row: _Row) -> str | None:
    for column, known in (("split", _SPLITS), ("compression", _QUALITY)):
        value = row.get(column, "")
        if value not in known:
            return f"metadata.csv gives it the {column} {value!r}; expected one of {', '.join(filter(None, known))}"
    return None


def _wrong_label(said: str | None, sorted_as: Label | None) -> str | None:
    if not said:
        return None if sorted_as else "below neither real/ nor fake/, and metadata.csv gives it no label"
    if said not in _LABELS:
        return f"metadata.csv gives it the label {said!r}; expected real or fake"
    return f"metadata.csv says {said}, its folder {sorted_as}" if sorted_as and said != sorted_as else None


def read_metadata(folder: Folder) -> dict[str, dict[str, str]]:
    """The rows of metadata.csv by path, every cell without spaces around it; no two name the same.

    Raises:
        DataError: a row has no path, or two name one file.
    """
    rows: dict[str, dict[str, str]] = {}
    for number, cells in enumerate(read_csv(folder, _METADATA, *_COLUMNS), 1):
        row = {column: (cell or "").strip() for column, cell in cells.items()}
        path = _tidy(row["path"])
        if not path:
            raise DataError(f"row {number} of {folder}/{_METADATA} has no path; give it one, or remove it")
        if path in rows:
            raise DataError(f"{folder}/{_METADATA} names {path} twice; leave one row")
        rows[path] = row | {"path": path, "label": row["label"].lower(), "original": _tidy(row.get("original", ""))}
    return rows


def _tidy(path: str) -> str:
    """A path as the listing has it, without `./` and double slashes."""
    return str(PurePosixPath(path)) if path else ""


def _absent(rows: Mapping[str, _Row], there: Mapping[str, SourceFile]) -> Iterable[Unrecognised]:
    originals = {row["original"] for row in rows.values() if row["original"]}
    for path in sorted(set(rows) - set(there)):
        yield Unrecognised(path, "named by metadata.csv, but not there")
    for path in sorted(originals - set(there) - set(rows)):
        yield Unrecognised(path, "named by metadata.csv as an original, but not there")
