"""DFDC (Dolhansky et al., 2020): the parts of the training set, Kaggle's sample of it, and labelled test sets."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from data_catalog.datasets.base import (
    TEST_EVERYTHING,
    Fields,
    Label,
    Scan,
    Split,
    describe_folder,
    is_footage,
    list_folder,
    not_footage,
    read_csv,
    read_json,
    scan_files,
)
from data_catalog.storage import Folder, SourceFile
from difffake.errors import DataError

_METADATA = "metadata.json"
_LABEL_TABLE = "labels.csv"
_OWN_FILES = frozenset({_METADATA, _LABEL_TABLE, "sample_submission.csv"})
_LABELS: Mapping[str, Label] = {"real": "real", "fake": "fake", "0": "real", "1": "fake"}
_IS_FAKE: Mapping[str, Label] = {"false": "real", "true": "fake", "0": "real", "1": "fake"}
_MEANINGS: Mapping[str, Mapping[str, Label]] = {"label": _LABELS, "is_fake": _IS_FAKE}
_SPLITS: Mapping[str, Split] = {"train": "train", "val": "val", "test": "test"}


class Dfdc:
    """Parts and test sets in any folders; the root may be one of them. It does not know people.

    A file's key begins with the folder it is in (the root's own name for files right below it), so a part has the same
    keys whether it or its parent is the root. How a fake was made is not published.
    """

    name = "dfdc"
    title = "DFDC"
    layout = (
        "  dfdc_train_part_0/{abofeumbvv.mp4,…,metadata.json} (also: train_sample_videos/)\n"
        '    metadata.json: {"abofeumbvv.mp4": {"label": "FAKE", "split": "train", "original": "xyz.mp4"}, …}\n'
        "  a labelled test set: its videos, and labels.csv (filename,label; 1: fake) beside or above them,\n"
        '    or metadata.json beside them: {"abofeumbvv.mp4": {"is_fake": 1}, …}'
    )
    licence = "DFDC terms of use (agreed to at the download, ai.meta.com/datasets/dfdc)"
    citation = "Dolhansky et al., The DeepFake Detection Challenge (DFDC) Dataset, arXiv 2006.07397"
    people = "dfdc"
    roles = TEST_EVERYTHING

    def scan(self, folder: Folder) -> Scan:
        """List reals and fakes; see `DatasetAdapter.scan`."""
        files = list_folder(self, folder)
        lists = _read_lists(folder, files)
        if not lists.metadata and not lists.tables:
            raise DataError(
                f"{folder} is not a {self.title} folder: there is no {_METADATA} and no {_LABEL_TABLE} in it or below "
                f"it; it holds {describe_folder(folder)}. Expected:\n{self.layout}"
            )
        # Of several files that one line of a table may mean, the one nearest to the table is taken.
        files = tuple(sorted(files, key=lambda file: file.relative.count("/")))
        return scan_files(self, folder, files, lambda file: _classify(file, lists))


@dataclass(frozen=True, slots=True)
class _Listed:
    """What a list says of a video.

    Attributes:
        label: real or fake.
        split: the list's own.
        original: file name of the video a fake was made from, where it is known.
    """

    label: Label
    split: Split | None
    original: str | None = None


_List = dict[str, _Listed | str]
"""A file name → what a list says, or why that is of no use."""


@dataclass(frozen=True)
class _Lists:
    """The lists of all folders, by the folder they are in.

    Attributes:
        root: what the files right below the root have for a folder in their keys.
        metadata: of videos beside them.
        tables: of videos beside or below them.
        places: file name → folders whose metadata names it.
        taken: table and file name → folder of the file that line was taken for.
    """

    root: str
    metadata: dict[str, _List] = field(default_factory=dict)
    tables: dict[str, _List] = field(default_factory=dict)
    places: dict[str, list[str]] = field(default_factory=dict)
    taken: dict[tuple[str, str], str] = field(default_factory=dict)

    def find(self, place: str, name: str) -> _Listed | str:
        """What the lists say of a video, or why its label is not known."""
        said = self.metadata.get(place, {}).get(name)
        tabled = self._find_in_table(place, name)
        if tabled is None:
            return said or f"neither {_METADATA} beside it nor {_LABEL_TABLE} beside or above it names it"
        if said is None or isinstance(tabled, str):
            return tabled
        if isinstance(said, _Listed) and said.label != tabled.label:
            return f"{_METADATA} calls it {said.label}, {_LABEL_TABLE} {tabled.label}"
        return said

    def find_metadata(self, place: str, name: str) -> str | None:
        """The folder whose metadata names a fake's original: the fake's own, or else the first of the others."""
        places = self.places.get(name, [])
        return place if place in places else next(iter(places), None)

    def key_folder(self, place: str) -> str:
        """The folder as a key has it."""
        return place or self.root

    def _find_in_table(self, place: str, name: str) -> _Listed | str | None:
        above = next((folder for folder in _ancestors(place) if folder in self.tables), None)
        if above is None or name not in self.tables[above]:
            return None
        first = self.taken.setdefault((above, name), place)
        if first != place:
            return f"the same video as {_join(first, name)}"
        return self.tables[above][name]


def _classify(file: SourceFile, lists: _Lists) -> Fields | str | None:
    """The fields of an entry, or why the file's label or identity cannot be known."""
    place, _, name = file.relative.rpartition("/")
    if not is_footage(file):
        return None if name in _OWN_FILES else not_footage(file)
    listed = lists.find(place, name)
    if isinstance(listed, str):
        return listed
    fields: Fields = {
        "folder": lists.key_folder(place),
        "name": _stem(name),
        "label": listed.label,
        "split": listed.split,
        # Of a fake without a known original this is a convention: it shows a person nothing else is known to show.
        "identity": _stem(listed.original or name),
    }
    if listed.original is None or (found := lists.find_metadata(place, listed.original)) is None:
        return fields
    original = lists.metadata[found][listed.original]
    if isinstance(original, str) or original.label != "real":
        return f"made from {listed.original}, which {_METADATA} does not call real"
    return fields | {"original": f"{lists.key_folder(found)}/{_stem(listed.original)}"}


def _read_lists(folder: Folder, files: Iterable[SourceFile]) -> _Lists:
    lists = _Lists(root=str(folder).rpartition("/")[2])
    for file in files:
        place, _, name = file.relative.rpartition("/")
        if name == _METADATA:
            lists.metadata[place] = dict(_read_metadata(folder, file.relative))
            for video in lists.metadata[place]:
                lists.places.setdefault(video, []).append(place)
        elif name == _LABEL_TABLE:
            lists.tables[place] = _read_table(folder, file.relative)
    return lists


def _read_metadata(folder: Folder, relative: str) -> Iterator[tuple[str, _Listed | str]]:
    content = read_json(folder, relative)
    if not isinstance(content, dict) or not all(isinstance(entry, dict) for entry in content.values()):
        raise DataError(
            f"{folder}/{relative} must map file names to objects, like "
            '{"abc.mp4": {"label": "FAKE", "split": "train", "original": "xyz.mp4"}} or {"abc.mp4": {"is_fake": 1}}'
        )
    for video, entry in content.items():
        yield video, _read_entry(entry)


def _read_entry(entry: Mapping[str, Any]) -> _Listed | str:
    said = {name: _read_label(entry[name], meanings) for name, meanings in _MEANINGS.items() if name in entry}
    label = next(iter(said.values()), None)
    if label is None or set(said.values()) != {label}:
        shown = ", ".join(f"{name} {entry[name]!r}" for name in said) or "neither label nor is_fake"
        return f"{_METADATA} has no clear label for it: {shown}"
    # The test sets' metadata names no split.
    split = entry.get("split", "test" if "label" not in said else None)
    if split is not None and (not isinstance(split, str) or split not in _SPLITS):
        return f"{_METADATA} says split {split!r}, none of {', '.join(_SPLITS)}"
    original = entry.get("original")
    if original is not None and (label == "real" or not isinstance(original, str) or not original):
        return f"{_METADATA} calls it {label} and made from {original!r}"
    return _Listed(label, None if split is None else _SPLITS[split], original)


def _read_table(folder: Folder, relative: str) -> _List:
    table: _List = {}
    for row in read_csv(folder, relative, "filename", "label"):
        label = _read_label(row["label"], _LABELS)
        said: _Listed | str
        if label is None:
            said = f"{_LABEL_TABLE} says label {row['label']!r}, neither 0 (real) nor 1 (fake)"
        else:
            said = _Listed(label, "test")
        if table.setdefault(row["filename"], said) != said:
            table[row["filename"]] = f"{_LABEL_TABLE} names it twice, with different labels"
    return table


def _read_label(value: object, meanings: Mapping[str, Label]) -> Label | None:
    return meanings.get(str(value).strip().lower())


def _stem(name: str) -> str:
    return name.rpartition(".")[0] or name


def _join(place: str, name: str) -> str:
    return f"{place}/{name}" if place else name


def _ancestors(place: str) -> Iterator[str]:
    """A folder and those above it, up to the listed one."""
    yield place
    while place:
        place = place.rpartition("/")[0]
        yield place
