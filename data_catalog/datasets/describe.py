"""A `metadata.csv` for a folder of one's own: who is in each file, and who serves training, validation and test.

People, not files, are put on a side, by a digest of their names: a person who is already there stays where they are,
whatever is added.
"""

import csv
import hashlib
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from data_catalog.datasets.base import Split, list_folder
from data_catalog.datasets.generic import GenericFolder, read_metadata
from data_catalog.storage import Folder
from difffake.errors import DataError
from difffake.media import PHOTO_SUFFIXES, VIDEO_SUFFIXES

METADATA = "metadata.csv"
COLUMNS = ("path", "label", "identity", "split", "method")

PeopleRule = Literal["folder", "file"]
Row = dict[str, str]


@dataclass(frozen=True)
class Shares:
    """Shares of the people that serve validation and test, in [0, 1]; the others serve training."""

    validation: float
    test: float

    def __post_init__(self) -> None:
        if self.validation < 0 or self.test < 0 or self.validation + self.test > 1:
            raise DataError(
                f"the shares of validation ({self.validation:g}) and test ({self.test:g}) must be at least 0, and at "
                "most 1 together"
            )

    def split_of(self, person: str) -> Split:
        """The side of a person: a function of the name and the shares alone."""
        place = int.from_bytes(hashlib.blake2b(person.encode(), digest_size=8).digest(), "big") / 2**64
        if place < self.validation:
            return "val"
        return "test" if place < self.validation + self.test else "train"


@dataclass(frozen=True)
class Description:
    """What was written.

    Attributes:
        rows: of the whole table, by path.
        added: how many of them are new.
        gone: paths that an earlier table named and that are not there; their rows are kept.
        ignored: files that are neither video nor photo.
    """

    rows: tuple[Row, ...]
    added: int
    gone: tuple[str, ...]
    ignored: tuple[str, ...]

    def counts(self) -> dict[tuple[str, str], tuple[int, int]]:
        """By label and split: files, and people."""
        files = Counter((row["label"], row["split"]) for row in self.rows)
        people = {side: {row["identity"] for row in self.rows if _side(row) == side} for side in files}
        return {side: (files[side], len(people[side])) for side in sorted(files)}


def describe_files(root: Path, below: str, people: PeopleRule, pattern: str | None, shares: Shares) -> Description:
    """Write `metadata.csv` for the files below real/ and fake/; rows that are there already are kept as they are.

    Of a real file the person is

    - folder: the folder it lies in; a file right below real/ is a person of its own.
    - file: the file itself, without its suffix.

    or what the pattern finds in the file's name, after which comes the folder. Fakes get the first folder below fake/
    as their method and serve test; whose face they show only a person can say.

    Args:
        root: holds real/ or fake/.
        below: describe only files below this folder of `root`, such as real/talks; empty: all.
        people: what a person is.
        pattern: a regular expression whose first group, or whole match, in the file's name is the person.
        shares: of validation and test.

    Raises:
        DataError: not such a folder, a pattern that is none or finds nothing in some name, or a broken table.
    """
    folder = Folder.of(root)
    files = [file.relative for file in list_folder(GenericFolder(), folder, "real/", "fake/")]
    known = read_metadata(folder) if METADATA in files else {}
    expression = _compiled(pattern)
    footage = [file for file in files if _is_footage(file) and _is_sorted(file)]
    wanted = [file for file in footage if file.startswith(f"{below.strip('/')}/") or not below.strip("/")]
    if not wanted:
        raise DataError(f"{root} holds no video or photo below {below or 'real/ or fake/'}: name another folder")
    sides = {row["identity"]: row["split"] for row in known.values() if row.get("identity") and row.get("split")}
    new = [_row(file, people, expression, shares, sides) for file in wanted if file not in known]
    rows = sorted([*known.values(), *new], key=lambda row: row["path"])
    _write(root, rows)
    ignored = tuple(file for file in files if _is_sorted(file) and not _is_footage(file))
    gone = tuple(sorted(known.keys() - set(files)))
    return Description(tuple(rows), len(new), gone, ignored)


def _is_footage(path: str) -> bool:
    """Whether a file's name is that of a video or photo."""
    return PurePosixPath(path).suffix.lower() in VIDEO_SUFFIXES | PHOTO_SUFFIXES


def _row(
    file: str, people: PeopleRule, expression: re.Pattern[str] | None, shares: Shares, sides: Mapping[str, str]
) -> Row:
    path = PurePosixPath(file)
    label, *between = path.parts[:-1]
    if label == "fake":
        return {"path": file, "label": label, "identity": "", "split": "test", "method": between[0] if between else ""}
    person = _person(path, between, people, expression)
    split = sides.get(person) or shares.split_of(person)
    return {"path": file, "label": label, "identity": person, "split": split, "method": ""}


def _person(path: PurePosixPath, between: Sequence[str], people: PeopleRule, expression: re.Pattern[str] | None) -> str:
    if expression is not None:
        found = expression.search(path.stem)
        person = (found[1] if expression.groups else found[0]) if found is not None else None
        if not person:
            raise DataError(f"the pattern {expression.pattern!r} finds no person in the name {path.name} ({path})")
        return "/".join([*between, person])
    if people == "folder" and between:
        return "/".join(between)
    return "/".join([*between, path.stem])


def _compiled(pattern: str | None) -> re.Pattern[str] | None:
    if pattern is None:
        return None
    try:
        return re.compile(pattern)
    except re.error as error:
        raise DataError(f"{pattern!r} is no regular expression: {error}") from error


def _write(root: Path, rows: Sequence[Row]) -> None:
    """Whole or not at all; columns of one's own stay."""
    used = {name for row in rows for name, cell in row.items() if cell}
    columns = [*COLUMNS, *sorted(used - set(COLUMNS))]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    partial = root / f".{METADATA}.partial"
    partial.write_text(text.getvalue(), encoding="utf-8")
    partial.replace(root / METADATA)


def _is_sorted(file: str) -> bool:
    return file.startswith(("real/", "fake/"))


def _side(row: Row) -> tuple[str, str]:
    return row["label"], row["split"]
