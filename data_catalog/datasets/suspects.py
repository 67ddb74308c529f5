"""Videos of which nothing is known: a folder of anything, to be scored in bulk."""

from data_catalog.datasets.base import Fields, Roles, Scan, Unrecognised, is_footage, list_folder, read_csv, scan_files
from data_catalog.storage import Folder, SourceFile

_LIST = "videos.csv"
_COLUMN = "path"
_NOTHING: Roles = {}


class Suspects:
    """Every video below a folder, its label unknown; it serves nothing in training or evaluation."""

    name = "suspects"
    title = "suspect videos"
    layout = "  any/folder/any_name.mp4\n  videos.csv (optional: path; then only these are scored)"
    licence = "that of the videos"
    citation = "none"
    people = ""
    roles = _NOTHING

    def scan(self, folder: Folder) -> Scan:
        """List the videos; see `DatasetAdapter.scan`."""
        files = list_folder(self, folder)
        if not any(file.relative == _LIST for file in files):
            return scan_files(self, folder, files, _classify)
        listed = {row[_COLUMN].strip().removeprefix("./") for row in read_csv(folder, _LIST, _COLUMN)}
        found = scan_files(self, folder, [file for file in files if file.relative in listed], _classify)
        lost = sorted(listed - {file.relative for file in files})
        missing = tuple(Unrecognised(name, f"{_LIST} names it, and there is no such file") for name in lost)
        return Scan(found.entries, found.unrecognised + missing)


def _classify(file: SourceFile) -> Fields | str | None:
    if not is_footage(file):
        return None
    path = file.path
    folder = path.parent.as_posix()
    # The suffix stays in the name: a.mp4 and a.mov are two videos.
    placed = {"folder": "videos" if folder == "." else f"videos/{folder}", "name": path.name}
    return placed | {"label": "unknown", "identity": file.relative}
