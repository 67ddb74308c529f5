"""FaceForensics++ (Rössler et al., ICCV 2019), with FaceShifter, in all three qualities.

A fake `033_097.mp4` shows the person of video 033 (target) with the face of 097 (source). A video id is not an
identity: about 885 people appear in the 1000 videos; without an identities file every id counts as its own person.
"""

import json
import re
from pathlib import Path
from typing import Any

from data_catalog.datasets.base import (
    VIDEO_SUFFIXES,
    Scan,
    Split,
    Unrecognised,
    VideoEntry,
    describe_folder,
    require_folder,
    walk_files,
)
from difffake.errors import DataError

_QUALITY = {"raw": "raw", "c0": "raw", "c23": "c23", "c40": "c40"}
_MANIPULATIONS = frozenset({"Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter"})
_REAL_NAME = re.compile(r"^\d{3}$")
_FAKE_NAME = re.compile(r"^(\d{3})_(\d{3})$")
_SPLITS: tuple[Split, ...] = ("train", "val", "test")


class FaceForensics:
    """The official layout; `DeepFakeDetection` and `actors` are another dataset and are reported, not read."""

    name = "faceforensics"
    layout = (
        "  original_sequences/youtube/{raw|c0,c23,c40}/videos/033.mp4\n"
        "  manipulated_sequences/METHOD/{raw|c0,c23,c40}/videos/033_097.mp4\n"
        "    (METHOD: Deepfakes, Face2Face, FaceSwap, NeuralTextures, FaceShifter)\n"
        "  splits/{train,val,test}.json"
    )
    licence = "FaceForensics++ terms of use (research)"
    citation = "Rössler et al., FaceForensics++: Learning to Detect Manipulated Facial Images, ICCV 2019"

    def scan(self, root: Path, identities: dict[str, str]) -> Scan:
        """List reals and fakes below `root`; see `DatasetAdapter.scan`."""
        require_folder(root, self.layout)
        folders = [root / "original_sequences", root / "manipulated_sequences"]
        if not any(folder.is_dir() for folder in folders):
            raise DataError(
                f"{root} is not a FaceForensics++ folder: it holds {describe_folder(root)}. Expected:\n{self.layout}"
            )
        splits = _read_splits(root / "splits")
        entries: list[VideoEntry] = []
        unrecognised: list[Unrecognised] = []
        for path in sorted(path for folder in folders for path in walk_files(folder)):
            found = _classify(path.relative_to(root), splits, identities)
            if isinstance(found, str):
                unrecognised.append(Unrecognised(path, found))
            else:
                entries.append(VideoEntry(path=path, **found))
        if not entries:
            raise DataError(
                f"{root} holds no FaceForensics++ video ({len(unrecognised)} other files). Expected:\n{self.layout}"
            )
        unknown = sorted(set(identities) - splits.keys() - {entry.name for entry in entries})
        if unknown:
            raise DataError(
                f"the identities file names {len(unknown)} videos that are neither in the splits nor in the folder, "
                f"first {unknown[0]!r}; ids have three digits, such as '033'"
            )
        return Scan(*_without_doubles(entries, unrecognised))


def _classify(relative: Path, splits: dict[str, Split], identities: dict[str, str]) -> dict[str, Any] | str:
    """The fields of an entry, or why the file's label or identity cannot be known."""
    if relative.suffix.lower() not in VIDEO_SUFFIXES:
        return f"not a video file name (suffix {relative.suffix!r})"
    parts = relative.parts
    if len(parts) != 5 or parts[3] != "videos" or parts[2] not in _QUALITY:
        return "not at <sequences>/<method>/<quality>/videos/<name>"
    kind, method, quality, _, _ = parts
    common = {"folder": method, "name": relative.stem, "compression": _QUALITY[quality]}
    if kind == "original_sequences" and method == "youtube":
        if not _REAL_NAME.match(relative.stem):
            return "the name of an original is three digits"
        return common | {
            "label": "real",
            "manipulation": None,
            "split": splits.get(relative.stem),
            "identity": identities.get(relative.stem, relative.stem),
            "source_identity": None,
            "original": None,
        }
    if kind == "manipulated_sequences" and method in _MANIPULATIONS:
        match = _FAKE_NAME.match(relative.stem)
        if match is None:
            return "the name of a fake is target_source, three digits each"
        target, source = match.groups()
        if splits.get(target) != splits.get(source):
            return f"target {target} and source {source} are in different splits"
        return common | {
            "label": "fake",
            "manipulation": method,
            "split": splits.get(target),
            "identity": identities.get(target, target),
            "source_identity": identities.get(source, source),
            "original": f"youtube/{common['compression']}/{target}",
        }
    return f"{kind}/{method} is not part of FaceForensics++ as this adapter reads it"


def _read_splits(folder: Path) -> dict[str, Split]:
    splits: dict[str, Split] = {}
    for split in _SPLITS:
        path = folder / f"{split}.json"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(
                f"cannot read the official split {path}: {error}. The dataset's download script fetches it; without it "
                "no video can be used for training or testing."
            ) from error
        for video in _flatten(content, path):
            if splits.setdefault(video, split) != split:
                raise DataError(f"video {video} is in the splits {splits[video]} and {split} of {folder}")
    return splits


def _flatten(content: Any, path: Path) -> list[str]:
    is_pairs = isinstance(content, list) and all(
        isinstance(pair, list) and all(isinstance(video, str) for video in pair) for pair in content
    )
    if not is_pairs:
        raise DataError(f'{path} must be a list of pairs of video ids, like [["033", "097"], …]')
    return [video for pair in content for video in pair]


def _without_doubles(
    entries: list[VideoEntry], unrecognised: list[Unrecognised]
) -> tuple[tuple[VideoEntry, ...], tuple[Unrecognised, ...]]:
    """`c0` and `raw` name one quality: a video found under both is taken once and the other copy reported."""
    unique: dict[str, VideoEntry] = {}
    for entry in entries:
        first = unique.setdefault(entry.local_key, entry)
        if first is not entry:
            unrecognised.append(Unrecognised(entry.path, f"the same video as {first.path}"))
    return tuple(unique.values()), tuple(unrecognised)
