"""Celeb-DF v1 and v2 (Li et al., CVPR 2020): videos of celebrities, face swaps between them, other YouTube videos."""

import re
from collections.abc import Mapping

from data_catalog.datasets.base import (
    TEST_SPLIT_ONLY,
    Fields,
    Label,
    Scan,
    is_footage,
    list_folder,
    not_footage,
    scan_files,
)
from data_catalog.storage import Folder, SourceFile
from difffake.errors import DataError

_CELEBRITIES = "Celeb-real"
_OTHERS = "YouTube-real"
_SWAPS = "Celeb-synthesis"
_FOLDERS = (_CELEBRITIES, _SWAPS, _OTHERS)
_TEST_LIST = "List_of_testing_videos.txt"
_LABELS: Mapping[str, Label] = {"1": "real", "0": "fake"}
_CELEBRITY_NAME = re.compile(r"(id\d+)_\d{4}")
_OTHER_NAME = re.compile(r"\d{5}")
# Its authors: "aa is the original id, bb is swapped id, cc is the video index"
# (github.com/yuezunli/celeb-deepfakeforensics, issue 6).
_SWAP_NAME = re.compile(r"(id\d+)_(id\d+)_(\d{4})")
_TEST_LINE = re.compile(r"([01])\s+([\w-]+/\w+)\.\w+")


class _CelebDF:
    """What both versions share: layout, names and the list of test videos."""

    name: str
    title: str
    layout = (
        "  Celeb-real/id0_0000.mp4\n"
        "  Celeb-synthesis/id0_id1_0000.mp4 (the face of id1 in id0_0000)\n"
        "  YouTube-real/00170.mp4\n"
        "  List_of_testing_videos.txt (1 YouTube-real/00170.mp4; 1: real, 0: fake)"
    )
    licence = "Terms to Use Celeb-DF (research)"
    citation = "Li et al., Celeb-DF: A Large-scale Challenging Dataset for DeepFake Forensics, CVPR 2020"
    people = "celebdf"
    roles = TEST_SPLIT_ONLY
    _version: str

    def scan(self, folder: Folder) -> Scan:
        """List reals and fakes; see `DatasetAdapter.scan`."""
        files = list_folder(self, folder, *(f"{name}/" for name in _FOLDERS))
        tests = _read_test_list(folder)
        return scan_files(self, folder, files, lambda file: _classify(file, tests, self._version))


class CelebDFv1(_CelebDF):
    """The first release: 158 videos of celebrities, 250 others, 795 fakes."""

    name = "celebdf_v1"
    title = "Celeb-DF (v1)"
    _version = "v1"


class CelebDFv2(_CelebDF):
    """The release the field tests on: 590 videos of celebrities, 300 others, 5,639 fakes, 518 of all for testing."""

    name = "celebdf_v2"
    title = "Celeb-DF (v2)"
    _version = "v2"


def _classify(file: SourceFile, tests: Mapping[str, Label], version: str) -> Fields | str | None:
    """The fields of an entry, or why the file's label or identity cannot be known."""
    path = file.path
    parts = path.parts
    if parts[0] not in _FOLDERS:
        return f"not below {', '.join(_FOLDERS)}" if is_footage(file) else None
    if not is_footage(file):
        return not_footage(file)
    if len(parts) != 2:
        return "not at <folder>/<name>"
    described = _describe(parts[0], path.stem, version)
    if isinstance(described, str):
        return described
    listed = tests.get(f"{parts[0]}/{path.stem}")
    if listed not in (None, described["label"]):
        return f"{_TEST_LIST} calls it {listed}, its folder {described['label']}"
    return described | {"split": "train" if listed is None else "test"}


def _describe(folder: str, name: str, version: str) -> Fields | str:
    """Label and people by folder and name."""
    placed = {"folder": folder, "name": name}
    if folder == _OTHERS:
        if not _OTHER_NAME.fullmatch(name):
            return "the name of a YouTube video is five digits"
        # Nothing says that both versions number these videos alike, while celebrities are the same people in both.
        return placed | {"label": "real", "identity": f"youtube-{version}-{name}"}
    if folder == _CELEBRITIES:
        if not (match := _CELEBRITY_NAME.fullmatch(name)):
            return "the name of a celebrity's video is idN_NNNN"
        return placed | {"label": "real", "identity": match[1]}
    if not (match := _SWAP_NAME.fullmatch(name)):
        return "the name of a fake is idN_idN_NNNN: target, source and number of the target's video"
    target, source, number = match.groups()
    return placed | {
        "label": "fake",
        "manipulation": _SWAPS,
        "identity": target,
        "source_identity": source,
        "original": f"{_CELEBRITIES}/{target}_{number}",
    }


def _read_test_list(folder: Folder) -> dict[str, Label]:
    """The test videos' local keys and labels."""
    try:
        lines = folder.read_text(_TEST_LIST).splitlines()
    except DataError as error:
        raise DataError(
            f"cannot read the official test list {_TEST_LIST}: {error}. It comes with the dataset and belongs beside "
            f"{_CELEBRITIES}/; without it no video can be used for testing."
        ) from error
    tests: dict[str, Label] = {}
    for number, line in enumerate(map(str.strip, lines), start=1):
        if not line:
            continue
        match = _TEST_LINE.fullmatch(line)
        if match is None or match[2].partition("/")[0] not in _FOLDERS:
            raise DataError(
                f"line {number} of {folder}/{_TEST_LIST} must read like 1 {_OTHERS}/00170.mp4; it is {line!r}"
            )
        label = _LABELS[match[1]]
        if tests.setdefault(match[2], label) != label:
            raise DataError(f"{folder}/{_TEST_LIST} calls {match[2]} both real and fake")
    if not tests:
        raise DataError(f"{folder}/{_TEST_LIST} names no video; lines like 1 {_OTHERS}/00170.mp4 were expected")
    return tests
