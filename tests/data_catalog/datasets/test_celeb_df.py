from collections.abc import Callable
from pathlib import Path

import pytest

from data_catalog.datasets.base import DatasetAdapter, Scan
from data_catalog.datasets.celeb_df import CelebDFv1, CelebDFv2
from data_catalog.storage import Folder
from difffake.errors import DataError
from tests.helpers.layouts import celebdf_v1, celebdf_v2

BOTH = [(CelebDFv1(), celebdf_v1.build), (CelebDFv2(), celebdf_v2.build)]
LIST = "List_of_testing_videos.txt"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "Celeb-DF-v2"
    celebdf_v2.build(root, touch)
    return root


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


def scan(root: Path) -> Scan:
    return CelebDFv2().scan(Folder.of(root))


@pytest.mark.parametrize(("adapter", "build"), BOTH)
def test_every_clip_of_the_official_layout_is_found(
    tmp_path: Path, adapter: DatasetAdapter, build: Callable[[Path, Callable[[Path], None]], frozenset[str]]
) -> None:
    keys = build(tmp_path, touch)
    found = adapter.scan(Folder.of(tmp_path))
    assert {entry.local_key for entry in found.entries} == keys
    assert found.unrecognised == ()


def test_labels_splits_people_and_originals(root: Path) -> None:
    entries = {entry.local_key: entry for entry in scan(root).entries}
    described = {
        key: (entry.label, entry.manipulation, entry.split, entry.identity, entry.source_identity, entry.original)
        for key, entry in entries.items()
    }
    swap = "Celeb-synthesis"
    assert described == {
        "Celeb-real/id2_0003": ("real", None, "train", "id2", None, None),
        "Celeb-real/id2_0008": ("real", None, "train", "id2", None, None),
        "Celeb-real/id16_0011": ("real", None, "test", "id16", None, None),
        "Celeb-real/id61_0009": ("real", None, "train", "id61", None, None),
        f"{swap}/id2_id16_0003": ("fake", swap, "train", "id2", "id16", "Celeb-real/id2_0003"),
        f"{swap}/id2_id16_0008": ("fake", swap, "test", "id2", "id16", "Celeb-real/id2_0008"),
        f"{swap}/id16_id2_0011": ("fake", swap, "test", "id16", "id2", "Celeb-real/id16_0011"),
        f"{swap}/id61_id2_0009": ("fake", swap, "train", "id61", "id2", "Celeb-real/id61_0009"),
        "YouTube-real/00000": ("real", None, "train", "youtube-v2-00000", None, None),
        "YouTube-real/00170": ("real", None, "test", "youtube-v2-00170", None, None),
        "YouTube-real/00250": ("real", None, "test", "youtube-v2-00250", None, None),
    }
    assert {entry.compression for entry in entries.values()} == {None}
    assert {entry.media for entry in entries.values()} == {"video"}


def test_both_versions_share_celebrities_but_not_youtube_numbers(tmp_path: Path) -> None:
    people = []
    for version, (adapter, build) in enumerate(BOTH):
        build(tmp_path / str(version), touch)
        people.append({entry.identity for entry in adapter.scan(Folder.of(tmp_path / str(version))).entries})
    assert people[0] == {"id0", "id1", "youtube-v1-00000", "youtube-v1-00170"}
    assert {name for name in people[0] & people[1] if name.startswith("youtube")} == set()
    assert CelebDFv1().people == CelebDFv2().people == "celebdf"


def test_only_the_test_split_has_a_role() -> None:
    assert CelebDFv1().roles == CelebDFv2().roles == {"test": ("test",)}


def test_videos_of_the_list_that_are_not_here_are_no_entries(root: Path) -> None:
    (root / "YouTube-real" / "00250.mp4").unlink()
    assert "YouTube-real/00250" not in {entry.local_key for entry in scan(root).entries}


def test_other_suffixes_and_line_ends_are_read(root: Path) -> None:
    touch(root / "Celeb-real" / "id3_0001.MP4")
    (root / LIST).write_bytes(b"\xef\xbb\xbf1 Celeb-real/id3_0001.mp4\r\n\r\n0  Celeb-synthesis/id2_id16_0003.mp4 \r\n")
    splits = {entry.local_key: entry.split for entry in scan(root).entries}
    assert {key for key, split in splits.items() if split == "test"} == {
        "Celeb-real/id3_0001",
        "Celeb-synthesis/id2_id16_0003",
    }


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Celeb-real/id2_3.mp4", "idN_NNNN"),
        ("Celeb-real/id2_id16_0003.mp4", "idN_NNNN"),
        ("Celeb-synthesis/id2_0003.mp4", "idN_idN_NNNN"),
        ("Celeb-synthesis/2_16_0003.mp4", "idN_idN_NNNN"),
        ("YouTube-real/holiday.mp4", "five digits"),
        ("YouTube-real/frames/00001.mp4", "not at"),
        ("YouTube-real/00001.txt", "suffix"),
        ("Celeb-real/id2_0009.mp4.part", "suffix"),
        ("Celeb-fake/id2_id16_0003.mp4", "not below"),
        ("id2_0003.mp4", "not below"),
    ],
)
def test_files_that_cannot_be_placed_are_reported_not_guessed(root: Path, name: str, reason: str) -> None:
    touch(root / name)
    found = scan(root)
    assert len(found.entries) == 11
    (unrecognised,) = found.unrecognised
    assert unrecognised.relative == name
    assert reason in unrecognised.reason


@pytest.mark.parametrize(
    ("line", "name", "reason"),
    [
        ("1 Celeb-synthesis/id2_id16_0003.mp4", "Celeb-synthesis/id2_id16_0003.mp4", "calls it real, its folder fake"),
        ("0 YouTube-real/00000.mp4", "YouTube-real/00000.mp4", "calls it fake, its folder real"),
    ],
)
def test_a_label_that_contradicts_the_folder_is_reported(root: Path, line: str, name: str, reason: str) -> None:
    (root / LIST).write_text(f"{line}\n")
    found = scan(root)
    assert len(found.entries) == 10
    (unrecognised,) = found.unrecognised
    assert unrecognised.relative == name
    assert reason in unrecognised.reason


def test_files_beside_the_folders_are_left_alone(root: Path) -> None:
    touch(root / "README.md")
    touch(root / "Celeb-real" / ".DS_Store")
    assert scan(root).unrecognised == ()


def test_a_missing_test_list_says_what_it_is_for(root: Path) -> None:
    (root / LIST).unlink()
    with pytest.raises(DataError, match=r"List_of_testing_videos\.txt[\s\S]*comes with the dataset"):
        scan(root)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "names no video"),
        ("1 Celeb-real/id2_0003.mp4\n2 Celeb-real/id2_0008.mp4\n", "line 2 of .*it is '2 Celeb-real"),
        ("Celeb-real/id2_0003.mp4\n", "line 1 of .*must read like 1 YouTube-real/00170.mp4"),
        ("1 somewhere/id2_0003.mp4\n", "line 1 of"),
        ("1 Celeb-real/id2_0003.mp4\n0 Celeb-real/id2_0003.mp4\n", "calls Celeb-real/id2_0003 both real and fake"),
    ],
)
def test_a_broken_test_list_is_refused(root: Path, content: str, message: str) -> None:
    (root / LIST).write_text(content)
    with pytest.raises(DataError, match=message):
        scan(root)


def test_wrong_roots_say_what_is_there_and_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"does not exist[\s\S]*Celeb-synthesis/id0_id1_0000\.mp4"):
        scan(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="is empty"):
        scan(tmp_path / "empty")
    touch(tmp_path / "wrong" / "original_sequences" / "youtube" / "c23" / "videos" / "000.mp4")
    with pytest.raises(DataError, match=r"not a Celeb-DF \(v2\) folder: it holds original_sequences/"):
        scan(tmp_path / "wrong")
    (tmp_path / "hollow" / "Celeb-real").mkdir(parents=True)
    (tmp_path / "hollow" / LIST).write_text("1 Celeb-real/id2_0003.mp4\n")
    with pytest.raises(DataError, match=r"holds nothing of Celeb-DF \(v2\)"):
        scan(tmp_path / "hollow")
