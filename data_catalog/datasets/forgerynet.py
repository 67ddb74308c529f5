"""The videos of ForgeryNet (He et al., CVPR 2021); its images are another task and are left alone."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from data_catalog.datasets.base import (
    Fields,
    Roles,
    Scan,
    Split,
    is_footage,
    list_folder,
    not_footage,
    scan_files,
)
from data_catalog.storage import Folder, SourceFile
from difffake.errors import DataError
from difffake.media import PHOTO_SUFFIXES

_VALIDATION_AND_TEST: Roles = {"test": ("val", "test")}
_SPLIT_WORDS: Mapping[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
_WORD = re.compile(r"[a-z]+")
_VIDEO_FOLDERS = ("", "video/", "videos/")
_TEXT_SUFFIXES = frozenset({".txt", ".md", ".pdf"})
# What the numbered folders hold, by the authors: github.com/yinanhe/ForgeryNet issues 7 and 17.
_METHODS = (
    "FaceShifter",
    "FS-GAN",
    "DeepFakes",
    "BlendFace",
    "MMReplacement",
    "DeepFakes-StarGAN-Stack",
    "TalkingHeadVideo",
    "ATVG-Net",
    "StarGAN-BlendFace-Stack",
    "FirstOrderMotion",
    "StyleGAN2",
    "MaskGAN",
    "StarGAN2",
    "SC-FEGAN",
    "DiscoFaceGAN",
)
_REAL_FOLDERS = range(16, 20)
_NUMBERED_FOLDER = re.compile(r"(?:^|/)([1-9]|1\d)/")
_LINE = (
    "PATH BINARY TRIPLE 16WAY, or N PATH (START COUNT FAKE)xN BINARY TRIPLE 16WAY, with 0 or 1, 0 to 2 and 0 to 19 as "
    "labels"
)


class ForgeryNet:
    """The official layout: numbered folders of videos (1 to 8 fakes, 16 to 19 reals) and a list for each split.

    The dataset names no people, so a video's own path stands for the person in it; no two videos share one. The path
    holds digests of which the authors do not say whether one names the original: `original` is not known.

    Tests take validation and test videos: the labels of the official test set are not public, so as a rule there are
    none of its videos, and the validation set stands in for it.
    """

    name = "forgerynet"
    title = "ForgeryNet (videos)"
    layout = (
        "  Training/video/train_video_release/1/DIGEST/DIGEST/video.mp4\n"
        "  Training/video_list.txt\n"
        "  Validation/video/val_video_release/4/DIGEST/DIGEST/video.mp4\n"
        "  Validation/video_list.txt\n"
        "  (or one videos/ folder for all; a list is any *list*.txt at a place that names its split: train, val or\n"
        f"   test; its lines: {_LINE}; paths below the list's folder, its split's folder or the\n"
        "   dataset's folder, or below video/ or videos/ there)"
    )
    licence = "ForgeryNet terms of use (non-commercial research and education)"
    citation = "He et al., ForgeryNet: A Versatile Benchmark for Comprehensive Forgery Analysis, CVPR 2021"
    people = "forgerynet"
    roles = _VALIDATION_AND_TEST

    def scan(self, folder: Folder) -> Scan:
        """List the videos the lists give a label; see `DatasetAdapter.scan`."""
        files = list_folder(self, folder)
        places = [file.relative for file in files if _is_list(file) and _split_of(file.relative)]
        if not places:
            raise DataError(
                f"{folder} holds no list of labels (a *list*.txt at a place that names its split). "
                f"Fetch the dataset's train_list.tar and val_list.tar. Expected:\n{self.layout}"
            )
        listed = _read_lists(folder, places, files)
        return scan_files(self, folder, files, lambda file: _classify(file, listed))


class _Labels(NamedTuple):
    """The three labels of a line: two ways, three ways, sixteen ways."""

    binary: int
    triple: int
    sixteen: int


def _classify(file: SourceFile, listed: Mapping[str, Fields | str]) -> Fields | str | None:
    if not is_footage(file):
        return _classify_other(file)
    place = file.relative.rpartition(".")[0]
    top, _, name = place.partition("/")
    if not name:
        return "not below a folder of the dataset"
    found = listed.get(file.relative, "no list gives it a label")
    if isinstance(found, str):
        return found
    return found | {"folder": top, "name": name, "identity": place}


def _classify_other(file: SourceFile) -> str | None:
    if _is_list(file) and _split_of(file.relative) is None:
        return "a list at a place that does not name one split (train, val or test)"
    if file.path.suffix.lower() in PHOTO_SUFFIXES | _TEXT_SUFFIXES:
        return None
    return not_footage(file)


def _is_list(file: SourceFile) -> bool:
    name = file.path.name.lower()
    return name.endswith(".txt") and "list" in name and "image" not in name


def _split_of(place: str) -> Split | None:
    """The split a place names (`Training/…`, `val_list.txt`); None when it names none, or several."""
    words = _WORD.findall(place.lower())
    splits = {_SPLIT_WORDS[word] for word in words if word in _SPLIT_WORDS}
    return splits.pop() if len(splits) == 1 else None


def _read_lists(folder: Folder, places: Iterable[str], files: Iterable[SourceFile]) -> dict[str, Fields | str]:
    """For each video a list names: its label, method and split, or why they cannot be known."""
    videos = {file.relative for file in files if is_footage(file)}
    listed: dict[str, Fields | str] = {}
    for place in places:
        split = _split_of(place)
        prefixes = _prefixes(place, split, videos)
        for path, labels in _read_lines(folder, place):
            hits = [prefix + path for prefix in prefixes if prefix + path in videos]
            verdict: Fields | str = _judge(path, labels)
            if len(hits) > 1:
                verdict = f"{place} means one of {' and '.join(hits)}"
            elif isinstance(verdict, dict):
                verdict["split"] = split
            for hit in hits:
                if listed.setdefault(hit, verdict) != verdict:
                    listed[hit] = "the lists contradict each other about it"
    return listed


def _prefixes(place: str, split: Split | None, videos: Iterable[str]) -> list[str]:
    """The places the paths of a list may start from."""
    folder, slash, _ = place.rpartition("/")
    tops = {video.partition("/")[0] for video in videos}
    bases = {"", folder + slash} | {f"{top}/" for top in tops if _split_of(top) == split}
    return sorted(base + below for base in bases for below in _VIDEO_FOLDERS)


def _read_lines(folder: Folder, place: str) -> Iterator[tuple[str, _Labels]]:
    """Path and labels of each line; a line that is a path alone, without labels, says nothing."""
    for number, line in enumerate(folder.read_text(place).splitlines(), 1):
        fields = line.split()
        if len(fields) < 2:
            continue
        has_segments = len(fields) > 4 and fields[0].isdecimal() and len(fields) == 5 + 3 * int(fields[0])
        labels = _parse_labels(fields[-3:]) if has_segments or len(fields) == 4 else None
        if labels is None:
            raise DataError(
                f"line {number} of {folder}/{place} is {line!r}; expected {_LINE}. "
                "Correct it, or unpack the list again."
            )
        yield fields[1 if has_segments else 0], labels


def _parse_labels(fields: list[str]) -> _Labels | None:
    if not all(field.isdecimal() for field in fields):
        return None
    labels = _Labels(*map(int, fields))
    return labels if labels.binary <= 1 and labels.triple <= 2 and labels.sixteen <= 19 else None


def _judge(path: str, labels: _Labels) -> Fields | str:
    """Label and method of a video, or the contradiction between its labels and its numbered folder.

    The folder names the method: the sixteen-way label was seen to differ, and the authors said to go by the folder
    (github.com/yinanhe/ForgeryNet issue 17).
    """
    is_fake = labels.binary == 1
    means_fake = 1 <= labels.sixteen <= len(_METHODS)
    if is_fake != (labels.triple > 0) or is_fake != means_fake:
        return f"its labels {labels.binary} {labels.triple} {labels.sixteen} contradict each other"
    numbered = _NUMBERED_FOLDER.search(path)
    folder = int(numbered[1]) if numbered else None
    if folder is not None and is_fake == (folder in _REAL_FOLDERS):
        return f"the list says {'fake' if is_fake else 'real'}, its folder {folder} the opposite"
    if not is_fake:
        return {"label": "real"}
    method = f"forgerynet_{labels.sixteen:02d}" if folder is None else _METHODS[folder - 1]
    return {"label": "fake", "manipulation": method}
