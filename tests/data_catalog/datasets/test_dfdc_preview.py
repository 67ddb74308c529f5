import json
from pathlib import Path

import pytest

from data_catalog.datasets.base import Scan
from data_catalog.datasets.dfdc_preview import DfdcPreview
from data_catalog.storage import Folder
from difffake.errors import DataError
from tests.helpers.layouts import dfdc_preview

REAL = "original_videos/643049/643049_A_001.mp4"
FAKE = "method_A/1003254/1003254_A/1255229_1003254_A_001.mp4"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "dfdc_preview_set"
    dfdc_preview.build(root, touch)
    return root


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


def scan(root: Path) -> Scan:
    return DfdcPreview().scan(Folder.of(root))


def relist(root: Path, name: str, changes: dict[str, object]) -> None:
    (root / "dataset.json").write_text(
        json.dumps(dfdc_preview.LISTED | {name: dfdc_preview.LISTED.get(name, {}) | changes})
    )


def test_every_clip_of_the_official_layout_is_found(tmp_path: Path) -> None:
    keys = dfdc_preview.build(tmp_path, touch)
    found = scan(tmp_path)
    assert {entry.local_key for entry in found.entries} == keys
    assert found.unrecognised == ()


def test_labels_splits_and_people_are_those_of_the_list(root: Path) -> None:
    entries = {entry.local_key: entry for entry in scan(root).entries}
    described = {
        key: (entry.label, entry.manipulation, entry.split, entry.identity, entry.source_identity)
        for key, entry in entries.items()
    }
    assert described == {
        "original_videos/643049/643049_A_001": ("real", None, "train", "643049", None),
        "original_videos/643049/643049_A_002": ("real", None, "train", "643049", None),
        "original_videos/1003254/1003254_A_001": ("real", None, "test", "1003254", None),
        "original_videos/1255229/1255229_B_001": ("real", None, "test", "1255229", None),
        "method_A/643049/643049_A/1224068_643049_A_001": ("fake", "method_A", "train", "643049", "1224068"),
        "method_A/1003254/1003254_A/1255229_1003254_A_001": ("fake", "method_A", "test", "1003254", "1255229"),
        "method_B/1003254/1003254_A/1255229_1003254_A_001": ("fake", "method_B", "test", "1003254", "1255229"),
        "method_B/1255229/1255229_B/1003254_1255229_B_001": ("fake", "method_B", "test", "1255229", "1003254"),
    }
    for entry in entries.values():
        assert (entry.compression, entry.original, entry.media) == (None, None, "video")


def test_names_are_of_no_account_beside_the_list(root: Path) -> None:
    relist(root, FAKE, {"target_id": "7", "swapped_id": "8"})
    entry = next(entry for entry in scan(root).entries if entry.file.relative == FAKE)
    assert (entry.identity, entry.source_identity) == ("7", "8")


def test_people_given_as_numbers_or_not_at_all(root: Path) -> None:
    relist(root, FAKE, {"target_id": 1003254, "swapped_id": None})
    entry = next(entry for entry in scan(root).entries if entry.file.relative == FAKE)
    assert (entry.identity, entry.source_identity) == ("1003254", None)


def test_only_the_test_split_has_a_role() -> None:
    assert DfdcPreview().roles == {"test": ("test",)}
    assert DfdcPreview().people == "dfdc_preview"


def test_listed_videos_that_are_not_here_are_no_entries(root: Path) -> None:
    (root / FAKE).unlink()
    found = scan(root)
    assert len(found.entries) == 7
    assert found.unrecognised == ()


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        (FAKE, {"label": "real"}, "says label 'real', its folder fake"),
        (REAL, {"label": "fake"}, "says label 'fake', its folder real"),
        (REAL, {"label": None}, "says label None"),
        (FAKE, {"set": "validation"}, "says set 'validation', neither train nor test"),
        (FAKE, {"set": None}, "says set None"),
        (FAKE, {"target_id": None}, "says target_id None: not a person"),
        (REAL, {"target_id": ""}, "says target_id ''"),
        (REAL, {"target_id": True}, "says target_id True"),
    ],
)
def test_what_the_list_does_not_say_is_reported(root: Path, name: str, changes: dict[str, object], reason: str) -> None:
    relist(root, name, changes)
    found = scan(root)
    assert len(found.entries) == 7
    (unrecognised,) = found.unrecognised
    assert unrecognised.relative == name
    assert reason in unrecognised.reason


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("original_videos/643049/643049_A_009.mp4", "dataset.json does not name it"),
        ("method_A/1255229_1003254_A_001.mp4", "dataset.json does not name it"),
        ("method_A/1003254/notes.txt", "suffix"),
        ("method_C/1003254/1255229_1003254_A_001.mp4", "not below original_videos, method_A, method_B"),
    ],
)
def test_files_that_cannot_be_placed_are_reported_not_guessed(root: Path, name: str, reason: str) -> None:
    touch(root / name)
    found = scan(root)
    assert len(found.entries) == 8
    (unrecognised,) = found.unrecognised
    assert unrecognised.relative == name
    assert reason in unrecognised.reason


def test_a_missing_list_says_what_it_is_for(root: Path) -> None:
    (root / "dataset.json").unlink()
    with pytest.raises(DataError, match=r"cannot read the official list dataset\.json[\s\S]*comes with the dataset"):
        scan(root)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{oops", "not valid JSON"),
        ("[]", "must map each video's path"),
        ('{"method_A/a.mp4": "fake"}', "must map each video's path"),
    ],
)
def test_a_broken_list_is_named(root: Path, content: str, message: str) -> None:
    (root / "dataset.json").write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        scan(root)
    assert "dataset.json" in str(caught.value)


def test_wrong_roots_say_what_is_there_and_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"does not exist[\s\S]*original_videos/643049"):
        scan(tmp_path / "missing")
    touch(tmp_path / "wrong" / "dfdc_train_part_0" / "abofeumbvv.mp4")
    with pytest.raises(DataError, match="not a DFDC Preview folder: it holds dfdc_train_part_0/"):
        scan(tmp_path / "wrong")
