"""DFDC Preview (Dolhansky et al., 2019): actors' videos and two face-swapping methods, with an official split."""

from collections.abc import Mapping
from typing import Any

from data_catalog.datasets.base import (
    TEST_SPLIT_ONLY,
    Fields,
    Label,
    Scan,
    is_footage,
    list_folder,
    not_footage,
    read_json,
    scan_files,
)
from data_catalog.storage import Folder, SourceFile
from difffake.errors import DataError

_LIST = "dataset.json"
_LABELS: Mapping[str, Label] = {"original_videos": "real", "method_A": "fake", "method_B": "fake"}
_SPLITS = ("train", "test")


class DfdcPreview:
    """The layout of `dfdc_preview_set`: everything is known from dataset.json, by a video's path.

    The list names the recording a fake was made from, not which of its clips: no fake has an `original`.
    """

    name = "dfdc_preview"
    title = "DFDC Preview"
    layout = (
        "  original_videos/643049/643049_A_001.mp4\n"
        "  {method_A,method_B}/1003254/1003254_A/1255229_1003254_A_001.mp4\n"
        '  dataset.json ({"method_A/…/1255229_1003254_A_001.mp4": '
        '{"label": "fake", "set": "test", "target_id": "1003254", "swapped_id": "1255229"}, …})'
    )
    licence = "DFDC Preview terms of use (agreed to at the download)"
    citation = "Dolhansky et al., The Deepfake Detection Challenge (DFDC) Preview Dataset, arXiv 1910.08854"
    people = "dfdc_preview"
    roles = TEST_SPLIT_ONLY

    def scan(self, folder: Folder) -> Scan:
        """List reals and fakes; see `DatasetAdapter.scan`."""
        files = list_folder(self, folder, _LIST, *(f"{name}/" for name in _LABELS))
        listed = _read_list(folder)
        return scan_files(self, folder, files, lambda file: _classify(file, listed))


def _classify(file: SourceFile, listed: Mapping[str, Mapping[str, Any]]) -> Fields | str | None:
    """The fields of an entry, or why the file's label or identity cannot be known."""
    path = file.path
    top = path.parts[0]
    if top not in _LABELS:
        return f"not below {', '.join(_LABELS)}" if is_footage(file) else None
    if not is_footage(file):
        return not_footage(file)
    entry = listed.get(file.relative)
    if entry is None:
        return f"{_LIST} does not name it"
    label, split, target = entry.get("label"), entry.get("set"), _person(entry, "target_id")
    if label != _LABELS[top]:
        return f"{_LIST} says label {label!r}, its folder {_LABELS[top]}"
    if split not in _SPLITS:
        return f"{_LIST} says set {split!r}, neither {' nor '.join(_SPLITS)}"
    if target is None:
        return f"{_LIST} says target_id {entry.get('target_id')!r}: not a person"
    placed = {"folder": str(path.parent), "name": path.stem, "label": label, "split": split, "identity": target}
    if label == "real":
        return placed
    return placed | {"manipulation": top, "source_identity": _person(entry, "swapped_id")}


def _person(entry: Mapping[str, Any], field: str) -> str | None:
    value = entry.get(field)
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_number or (isinstance(value, str) and value) else None


def _read_list(folder: Folder) -> dict[str, dict[str, Any]]:
    try:
        content = read_json(folder, _LIST)
    except DataError as error:
        raise DataError(
            f"cannot read the official list {_LIST}: {error}. It comes with the dataset and belongs beside "
            f"{', '.join(f'{name}/' for name in _LABELS)}; without it nothing is known of a video."
        ) from error
    if not isinstance(content, dict) or not all(isinstance(entry, dict) for entry in content.values()):
        raise DataError(
            f"{folder}/{_LIST} must map each video's path to an object with label, set, target_id and swapped_id, like "
            '{"original_videos/643049/643049_A_001.mp4": {"label": "real", "set": "train", "target_id": "643049"}}'
        )
    return content
