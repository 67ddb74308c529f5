"""UADFV (Yang et al., ICASSP 2019): 49 videos from YouTube and a FakeApp face swap of each."""

import re

from data_catalog.datasets.base import (
    TEST_EVERYTHING,
    Fields,
    Scan,
    is_footage,
    list_folder,
    not_footage,
    scan_files,
)
from data_catalog.storage import Folder, SourceFile

_REAL = "real"
_FAKE = "fake"
_REAL_NAME = re.compile(r"\d{4}")
_FAKE_NAME = re.compile(r"(\d{4})_fake")


class Uadfv:
    """Reals and fakes in two folders; it has no official split and does not know people."""

    name = "uadfv"
    title = "UADFV"
    layout = "  real/0001.mp4\n  fake/0001_fake.mp4 (made from real/0001.mp4)"
    licence = "UADFV terms of use (research)"
    citation = "Yang, Li and Lyu, Exposing Deep Fakes Using Inconsistent Head Poses, ICASSP 2019"
    people = "uadfv"
    roles = TEST_EVERYTHING

    def scan(self, folder: Folder) -> Scan:
        """List reals and fakes; see `DatasetAdapter.scan`."""
        files = list_folder(self, folder, f"{_REAL}/", f"{_FAKE}/")
        return scan_files(self, folder, files, _classify)


def _classify(file: SourceFile) -> Fields | str | None:
    """The fields of an entry, or why the file's label or identity cannot be known."""
    path = file.path
    parts = path.parts
    if parts[0] not in (_REAL, _FAKE):
        return f"not below {_REAL} or {_FAKE}" if is_footage(file) else None
    if not is_footage(file):
        return not_footage(file)
    if len(parts) != 2:
        return "not at <folder>/<name>"
    placed = {"folder": parts[0], "name": path.stem}
    if parts[0] == _REAL:
        if not _REAL_NAME.fullmatch(path.stem):
            return "the name of a real video is four digits"
        return placed | {"label": "real", "identity": path.stem}
    if not (match := _FAKE_NAME.fullmatch(path.stem)):
        return "the name of a fake is NNNN_fake"
    number = match[1]
    return placed | {
        "label": "fake",
        "manipulation": "FakeApp",
        "identity": number,
        "original": f"{_REAL}/{number}",
    }
