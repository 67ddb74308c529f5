"""FaceForensics++ (Rössler et al., ICCV 2019), with FaceShifter and Google's DeepFakeDetection in the same folder."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from data_catalog.datasets.base import (
    OFFICIAL_SPLITS,
    TEST_EVERYTHING,
    Fields,
    Scan,
    Split,
    is_footage,
    list_folder,
    not_footage,
    read_json,
    scan_files,
)
from data_catalog.storage import Folder, SourceFile
from difffake.errors import DataError

# Its identities are shared by every dataset made of its videos.
PEOPLE = "ffpp"
_QUALITY = {"raw": "raw", "c0": "raw", "c23": "c23", "c40": "c40"}
_MANIPULATIONS = frozenset({"Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter"})
_ACTORS = "actors"
_DFD = "DeepFakeDetection"
_REAL_NAME = re.compile(r"^\d{3}$")
_FAKE_NAME = re.compile(r"^(\d{3})_(\d{3})$")
_ACTOR_NAME = re.compile(r"^(\d{2})__(.+)$")
_ACTOR_FAKE_NAME = re.compile(r"^(\d{2})_(\d{2})__(.+)__[0-9A-Za-z]+$")
_SPLITS: tuple[Split, ...] = ("train", "val", "test")
_FOLDERS = ("original_sequences", "manipulated_sequences")
_LISTS = frozenset(f"splits/{split}.json" for split in _SPLITS)


class FaceForensics:
    """The official layout: youtube originals, five manipulations, and the actors' videos where they are there."""

    name = "faceforensics"
    title = "FaceForensics++"
    layout = (
        "  original_sequences/youtube/{raw|c0,c23,c40}/videos/033.mp4\n"
        "  manipulated_sequences/METHOD/{raw|c0,c23,c40}/videos/033_097.mp4\n"
        "    (METHOD: Deepfakes, Face2Face, FaceSwap, NeuralTextures, FaceShifter)\n"
        "  original_sequences/actors/c23/videos/24__outside_talking_still_laughing.mp4 (in no split)\n"
        "  manipulated_sequences/DeepFakeDetection/c23/videos/24_23__outside_talking_still_laughing__YR5OVD4S.mp4\n"
        "  splits/{train,val,test}.json"
    )
    licence = "FaceForensics++ terms of use (research)"
    citation = "Rössler et al., FaceForensics++: Learning to Detect Manipulated Facial Images, ICCV 2019"
    people = PEOPLE
    roles = OFFICIAL_SPLITS

    def scan(self, folder: Folder) -> Scan:
        """List reals and fakes; see `DatasetAdapter.scan`."""
        files = list_folder(self, folder, *(f"{name}/" for name in _FOLDERS))
        splits = _read_splits(folder)
        scan = scan_files(self, folder, files, lambda file: _classify(file, splits))
        return replace(scan, also_known=frozenset(splits))


class DeepFakeDetection:
    """The actors' part of a FaceForensics++ folder alone, as a test set of its own; it has no official split."""

    name = "deepfakedetection"
    title = "DeepFakeDetection"
    layout = (
        "  original_sequences/actors/{raw|c0,c23,c40}/videos/24__outside_talking_still_laughing.mp4\n"
        "  manipulated_sequences/DeepFakeDetection/{raw|c0,c23,c40}/videos/"
        "24_23__outside_talking_still_laughing__YR5OVD4S.mp4"
    )
    licence = "FaceForensics++ terms of use (research)"
    citation = "Dufour and Gully, Contributing Data to Deepfake Detection Research, Google AI Blog 2019"
    people = PEOPLE
    roles = TEST_EVERYTHING

    def scan(self, folder: Folder) -> Scan:
        """List the actors' reals and fakes; see `DatasetAdapter.scan`."""
        files = list_folder(self, folder, *(f"{name}/" for name in _FOLDERS))
        return scan_files(self, folder, files, _classify_actor_only)


def _classify(file: SourceFile, splits: Mapping[str, Split]) -> Fields | str | None:
    """The fields of an entry, or why the file's label or identity cannot be known."""
    placed = _place(file)
    if not isinstance(placed, dict):
        return placed
    kind, method, name = placed.pop("kind"), placed["folder"], placed["name"]
    if (kind, method) == ("original_sequences", "youtube"):
        if not _REAL_NAME.match(name):
            return "the name of an original is three digits"
        return placed | {"label": "real", "split": splits.get(name), "identity": name}
    if kind == "manipulated_sequences" and method in _MANIPULATIONS:
        match = _FAKE_NAME.match(name)
        if match is None:
            return "the name of a fake is target_source, three digits each"
        target, source = match.groups()
        if splits.get(target) != splits.get(source):
            return f"target {target} and source {source} are in different splits"
        return placed | {
            "label": "fake",
            "manipulation": method,
            "split": splits.get(target),
            "identity": target,
            "source_identity": source,
            "original": f"youtube/{placed['compression']}/{target}",
        }
    return _classify_actor(kind, placed)


def _classify_actor_only(file: SourceFile) -> Fields | str | None:
    placed = _place(file)
    if not isinstance(placed, dict):
        return placed
    kind = placed.pop("kind")
    if placed["folder"] not in (_ACTORS, _DFD):
        # The rest of the folder is FaceForensics++, another dataset.
        return None
    return _classify_actor(kind, placed)


def _classify_actor(kind: str, placed: Fields) -> Fields | str:
    """DeepFakeDetection: the first number is the actor to be seen, the second the one whose face was put in."""
    name, compression = placed["name"], placed["compression"]
    if (kind, placed["folder"]) == ("original_sequences", _ACTORS):
        match = _ACTOR_NAME.match(name)
        if match is None:
            return "the name of an actor's video is NN__scene"
        return placed | {"label": "real", "identity": f"actor{match[1]}"}
    if (kind, placed["folder"]) == ("manipulated_sequences", _DFD):
        match = _ACTOR_FAKE_NAME.match(name)
        if match is None:
            return "the name of a DeepFakeDetection fake is NN_NN__scene__CODE"
        target, source, scene = match.groups()
        return placed | {
            "label": "fake",
            "manipulation": _DFD,
            "identity": f"actor{target}",
            "source_identity": f"actor{source}",
            "original": f"{_ACTORS}/{compression}/{target}__{scene}",
        }
    return f"{kind}/{placed['folder']} is not part of FaceForensics++ as this adapter reads it"


def _place(file: SourceFile) -> Fields | str | None:
    """Method, quality and name by the file's place."""
    parts = file.path.parts
    if parts[0] not in _FOLDERS:
        return None if file.relative in _LISTS or not is_footage(file) else f"not below {' or '.join(_FOLDERS)}"
    if not is_footage(file):
        return not_footage(file)
    if len(parts) != 5 or parts[3] != "videos" or parts[2] not in _QUALITY:
        return "not at <sequences>/<method>/<quality>/videos/<name>"
    return {"kind": parts[0], "folder": parts[1], "name": file.path.stem, "compression": _QUALITY[parts[2]]}


def _read_splits(folder: Folder) -> dict[str, Split]:
    splits: dict[str, Split] = {}
    for split in _SPLITS:
        place = f"splits/{split}.json"
        try:
            content = read_json(folder, place)
        except DataError as error:
            raise DataError(
                f"cannot read the official split {place}: {error}. The dataset's download script fetches it; without "
                "it no video can be used for training or testing."
            ) from error
        for video in _flatten(content, f"{folder}/{place}"):
            if splits.setdefault(video, split) != split:
                raise DataError(f"video {video} is in the splits {splits[video]} and {split} of {folder}")
    return splits


def _flatten(content: Any, place: str) -> list[str]:
    is_pairs = isinstance(content, list) and all(
        isinstance(pair, list) and all(isinstance(video, str) for video in pair) for pair in content
    )
    if not is_pairs:
        raise DataError(f'{place} must be a list of pairs of video ids, like [["033", "097"], …]')
    return [video for pair in content for video in pair]
