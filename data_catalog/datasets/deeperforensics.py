"""DeeperForensics-1.0 (Jiang et al., CVPR 2020): FaceForensics++ videos with the faces of filmed actors put in."""

import re
from collections.abc import Mapping

from data_catalog.datasets.base import (
    TEST_SPLIT_ONLY,
    Fields,
    Scan,
    Split,
    is_footage,
    list_folder,
    not_footage,
    scan_files,
)
from data_catalog.datasets.faceforensics import PEOPLE
from data_catalog.storage import Folder, SourceFile
from difffake.errors import DataError

_FAKES = "manipulated_videos"
_ACTORS = "source_videos"
_FOLDERS = (_FAKES, _ACTORS)
_VARIANTS = frozenset(
    {"end_to_end", "end_to_end_random_level", "reenact_postprocess"}
    | {f"end_to_end_level_{level}" for level in range(1, 6)}
    | {f"end_to_end_mix_{distortions}_distortions" for distortions in range(2, 5)}
)
_FAKE_NAME = re.compile(r"^(\d{3})_([MW]\d{3})$")
_ACTOR_NAME = re.compile(r"^([MW]\d{3})_.+$")
_LISTED_NAME = re.compile(r"^(\d{3}_[MW]\d{3})(?:\.mp4)?$")
_SPLITS: tuple[Split, ...] = ("train", "val", "test")


class DeeperForensics:
    """The official layout: eleven variants of a thousand fakes, and the actors' own videos.

    The reals of this dataset are the videos of FaceForensics++ the fakes were made of: use both datasets together. The
    actors' videos are real too, but in no split: the dataset's authors advise against taking them for the reals.
    """

    name = "deeperforensics"
    title = "DeeperForensics-1.0"
    layout = (
        "  manipulated_videos/VARIANT/033_M101.mp4\n"
        "    (VARIANT: end_to_end, end_to_end_level_1 to _5, end_to_end_random_level,\n"
        "     end_to_end_mix_2_distortions to _4_, reenact_postprocess)\n"
        "  source_videos/M101/light_up/happy/camera_front/M101_light_up_happy_camera_front.mp4 (in no split)\n"
        "  lists/splits/{train,val,test}.txt"
    )
    licence = "DeeperForensics-1.0 terms of use (non-commercial research)"
    citation = (
        "Jiang et al., DeeperForensics-1.0: A Large-Scale Dataset for Real-World Face Forgery Detection, CVPR 2020"
    )
    people = PEOPLE
    roles = TEST_SPLIT_ONLY

    def scan(self, folder: Folder) -> Scan:
        """List the fakes of every variant and the actors' videos; see `DatasetAdapter.scan`."""
        files = list_folder(self, folder, *(f"{name}/" for name in _FOLDERS))
        splits = _read_splits(folder)
        return scan_files(self, folder, files, lambda file: _classify(file, splits))


def _classify(file: SourceFile, splits: Mapping[str, Split]) -> Fields | str | None:
    path = file.path
    if path.parts[0] not in _FOLDERS:
        return f"not below {' or '.join(_FOLDERS)}" if is_footage(file) else None
    if not is_footage(file):
        return not_footage(file)
    return _classify_fake(file, splits) if path.parts[0] == _FAKES else _classify_actor(file)


def _classify_fake(file: SourceFile, splits: Mapping[str, Split]) -> Fields | str:
    """The number is the FaceForensics++ video to be seen, the letter and number the actor whose face was put in."""
    path = file.path
    parts, name = path.parts, path.stem
    if len(parts) != 3 or parts[1] not in _VARIANTS:
        return f"not at {_FAKES}/<one of the eleven variants>/<name>"
    match = _FAKE_NAME.match(name)
    if match is None:
        return "the name of a fake is target_actor, like 033_M101"
    target, actor = match.groups()
    return {
        "folder": parts[1],
        "name": name,
        "label": "fake",
        "manipulation": "DeeperForensics",
        "split": splits.get(name),
        "identity": target,
        "source_identity": actor,
    }


def _classify_actor(file: SourceFile) -> Fields | str:
    path = file.path
    parts, match = path.parts, _ACTOR_NAME.match(path.stem)
    if match is None or len(parts) < 3 or match[1] != parts[1]:
        return f"not at {_ACTORS}/<actor>/…/<actor>_<scene>, the same actor twice"
    name = file.relative.removeprefix(f"{_ACTORS}/").rpartition(".")[0]
    return {"folder": _ACTORS, "name": name, "label": "real", "identity": match[1]}


def _read_splits(folder: Folder) -> dict[str, Split]:
    """The split of each name, for it holds in every variant."""
    splits: dict[str, Split] = {}
    for split in _SPLITS:
        place = f"lists/splits/{split}.txt"
        for name in _read_names(folder, place):
            if splits.setdefault(name, split) != split:
                raise DataError(
                    f"video {name} is in the splits {splits[name]} and {split} of {folder}/lists/splits; "
                    "unpack the dataset's lists again"
                )
    return splits


def _read_names(folder: Folder, place: str) -> list[str]:
    try:
        text = folder.read_text(place)
    except DataError as error:
        raise DataError(
            f"cannot read the official split {place}: {error}. It is part of the dataset's lists; without it no video "
            "can be used for testing."
        ) from error
    lines = [line.strip() for line in text.splitlines()]
    matches = [(line, _LISTED_NAME.match(line)) for line in lines if line]
    broken = [line for line, match in matches if match is None]
    if broken or not matches:
        seen = repr(broken[0]) if broken else "nothing"
        raise DataError(
            f"{folder}/{place} must hold one file name a line, like 033_M101.mp4; it holds {seen}. "
            "Unpack the dataset's lists again."
        )
    return [match[1] for _, match in matches if match is not None]
