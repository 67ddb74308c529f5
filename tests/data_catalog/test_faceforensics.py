import json
from pathlib import Path

import pytest

from data_catalog.datasets import get_adapter, read_identities
from data_catalog.datasets.faceforensics import FaceForensics
from difffake.errors import DataError

SPLITS = {"train": [["000", "001"], ["002", "003"]], "val": [["010", "011"]], "test": [["020", "021"]]}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "FF++"
    for split, pairs in SPLITS.items():
        path = root / "splits" / f"{split}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(pairs))
    for name in (
        "original_sequences/youtube/c23/videos/000.mp4",
        "original_sequences/youtube/c0/videos/000.mp4",
        "original_sequences/youtube/c23/videos/020.MP4",
        "original_sequences/youtube/c23/videos/999.mp4",
        "manipulated_sequences/Deepfakes/c40/videos/000_001.mp4",
        "manipulated_sequences/FaceShifter/raw/videos/021_020.mp4",
    ):
        touch(root / name)
    return root


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


def test_labels_splits_identities_and_originals(root: Path) -> None:
    scan = FaceForensics().scan(root, {})
    entries = {entry.local_key: entry for entry in scan.entries}
    assert set(entries) == {
        "youtube/c23/000",
        "youtube/raw/000",
        "youtube/c23/020",
        "youtube/c23/999",
        "Deepfakes/c40/000_001",
        "FaceShifter/raw/021_020",
    }
    assert scan.unrecognised == ()
    fake = entries["Deepfakes/c40/000_001"]
    assert (fake.label, fake.manipulation, fake.split, fake.identity, fake.source_identity, fake.original) == (
        "fake",
        "Deepfakes",
        "train",
        "000",
        "001",
        "youtube/c40/000",
    )
    real = entries["youtube/c23/020"]
    assert (real.label, real.manipulation, real.split, real.identity, real.source_identity, real.original) == (
        "real",
        None,
        "test",
        "020",
        None,
        None,
    )
    assert entries["youtube/c23/999"].split is None


def test_an_identities_file_merges_videos_of_one_person(root: Path, tmp_path: Path) -> None:
    table = tmp_path / "identities.csv"
    table.write_text("video,identity\n000,anna\n021,anna\n")
    entries = {entry.local_key: entry for entry in FaceForensics().scan(root, read_identities(table)).entries}
    assert entries["youtube/c23/000"].identity == "anna"
    assert entries["FaceShifter/raw/021_020"].identity == "anna"
    assert entries["FaceShifter/raw/021_020"].source_identity == "020"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("original_sequences/youtube/c23/videos/000.txt", "suffix"),
        ("original_sequences/youtube/c23/videos/holiday.mp4", "three digits"),
        ("original_sequences/youtube/c23/videos/deeper/001.mp4", "not at"),
        ("original_sequences/actors/c23/videos/24__walk.mp4", "not part of"),
        ("manipulated_sequences/Deepfakes/c23/videos/000.mp4", "target_source"),
        ("manipulated_sequences/Deepfakes/c23/videos/000_020.mp4", "different splits"),
        ("manipulated_sequences/Unheard/c23/videos/000_001.mp4", "not part of"),
        ("manipulated_sequences/Deepfakes/c99/videos/000_001.mp4", "not at"),
    ],
)
def test_files_that_cannot_be_placed_are_reported_not_guessed(root: Path, name: str, reason: str) -> None:
    touch(root / name)
    scan = FaceForensics().scan(root, {})
    assert len(scan.entries) == 6
    (unrecognised,) = scan.unrecognised
    assert unrecognised.path == root / name
    assert reason in unrecognised.reason


def test_raw_and_c0_are_one_quality(root: Path) -> None:
    touch(root / "original_sequences/youtube/raw/videos/000.mp4")
    scan = FaceForensics().scan(root, {})
    assert [entry.local_key for entry in scan.entries].count("youtube/raw/000") == 1
    (double,) = scan.unrecognised
    assert "the same video as" in double.reason


def test_wrong_roots_say_what_is_there_and_what_was_expected(tmp_path: Path) -> None:
    adapter = FaceForensics()
    with pytest.raises(DataError, match=r"does not exist[\s\S]*original_sequences"):
        adapter.scan(tmp_path / "missing", {})
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="is empty"):
        adapter.scan(tmp_path / "empty", {})
    touch(tmp_path / "file")
    with pytest.raises(DataError, match="not a folder"):
        adapter.scan(tmp_path / "file", {})
    touch(tmp_path / "wrong" / "Celeb-real" / "id0_0000.mp4")
    with pytest.raises(DataError, match="holds Celeb-real/"):
        adapter.scan(tmp_path / "wrong", {})


@pytest.mark.parametrize("content", ["not json", '{"a": 1}', "[1, 2]"])
def test_a_broken_split_list_is_named(root: Path, content: str) -> None:
    (root / "splits" / "val.json").write_text(content)
    with pytest.raises(DataError, match=r"val\.json"):
        FaceForensics().scan(root, {})


def test_a_video_in_two_splits_is_refused(root: Path) -> None:
    (root / "splits" / "val.json").write_text('[["000", "011"]]')
    with pytest.raises(DataError, match="000 is in the splits train and val"):
        FaceForensics().scan(root, {})


@pytest.mark.parametrize(
    ("text", "message"),
    [("a,b\n1,2\n", "columns"), ("video,identity\n000,\n", "without"), ("video,identity\n0,a\n0,b\n", "two")],
)
def test_a_broken_identities_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "identities.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_identities(path)


def test_an_unknown_adapter_names_those_there_are() -> None:
    with pytest.raises(DataError, match="faceforensics"):
        get_adapter("faceforensic")
