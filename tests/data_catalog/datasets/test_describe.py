"""The table of a folder of one's own: people, sides, and that nothing said before is lost."""

import csv
from pathlib import Path

import pytest

from data_catalog.datasets.describe import METADATA, Description, Shares, describe_files
from data_catalog.datasets.generic import GenericFolder
from data_catalog.storage import Folder
from difffake.errors import DataError

FILES = (
    "real/photos/ada/00.jpg",
    "real/photos/ada/01.jpg",
    "real/photos/bob/00.PNG",
    "real/talks/rlt_01_a3.mp4",
    "real/talks/rlt_01_b4.mp4",
    "real/talks/rlt_02_c5.mov",
    "real/alone.mp4",
    "real/notes.txt",
    "fake/FaceSwap/x/033.mp4",
    "fake/loose.mp4",
    "elsewhere/skip.mp4",
)
HALF = Shares(0.5, 0.0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in FILES:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path


def people(description: Description) -> dict[str, str]:
    return {row["path"]: row["identity"] for row in description.rows}


def test_a_person_is_a_folder_unless_told_otherwise(root: Path) -> None:
    found = people(describe_files(root, "", "folder", None, HALF))
    assert found == {
        "real/photos/ada/00.jpg": "photos/ada",
        "real/photos/ada/01.jpg": "photos/ada",
        "real/photos/bob/00.PNG": "photos/bob",
        "real/talks/rlt_01_a3.mp4": "talks",
        "real/talks/rlt_01_b4.mp4": "talks",
        "real/talks/rlt_02_c5.mov": "talks",
        "real/alone.mp4": "alone",
        "fake/FaceSwap/x/033.mp4": "",
        "fake/loose.mp4": "",
    }


def test_parts_are_described_one_after_the_other(root: Path) -> None:
    first = describe_files(root, "real/talks", "folder", r"^([a-z]+_\d+)_", HALF)
    assert people(first)["real/talks/rlt_01_b4.mp4"] == "talks/rlt_01"
    assert set(people(first)) == {name for name in FILES if name.startswith("real/talks")}
    second = describe_files(root, "", "file", None, HALF)
    assert second.added == len(second.rows) - 3
    assert people(second)["real/talks/rlt_02_c5.mov"] == "talks/rlt_02"
    assert people(second)["real/photos/ada/01.jpg"] == "photos/ada/01"
    assert second.ignored == ("real/notes.txt",)


def test_the_adapter_reads_what_was_written(root: Path) -> None:
    describe_files(root, "", "folder", None, Shares(0.0, 0.0))
    videos = {video.name: video for video in GenericFolder().scan(Folder.of(root)).entries}
    assert videos["photos/ada/00"].identity == videos["photos/ada/01"].identity == "photos/ada"
    assert {video.split for video in videos.values() if video.label == "real"} == {"train"}
    assert videos["FaceSwap/x/033"].manipulation == "FaceSwap"
    assert videos["FaceSwap/x/033"].split == "test"


def test_a_person_stays_where_they_are_and_is_on_one_side(root: Path) -> None:
    for number in range(60):
        (root / f"real/photos/p{number}").mkdir()
        (root / f"real/photos/p{number}/00.jpg").write_bytes(b"x")
    first = describe_files(root, "", "folder", None, Shares(0.3, 0.2))
    sides = {row["identity"]: row["split"] for row in first.rows if row["label"] == "real"}
    assert set(sides.values()) == {"train", "val", "test"}
    assert 8 < sum(side == "val" for side in sides.values()) < 30
    (root / "real/photos/p7/01.jpg").write_bytes(b"x")
    again = describe_files(root, "", "folder", None, Shares(0.9, 0.1))
    assert again.added == 1
    assert {row["identity"]: row["split"] for row in again.rows if row["label"] == "real"} == sides


def test_what_a_person_wrote_is_kept_with_columns_of_their_own(root: Path) -> None:
    (root / METADATA).write_text(
        "path,label,identity,split,method,note\n"
        "./real/alone.mp4, Real,carol ,test,,mine\n"
        "real/lost.mp4,real,dan,train,,\n"
    )
    described = describe_files(root, "", "folder", None, HALF)
    rows = {row["path"]: row for row in csv.DictReader((root / METADATA).open(encoding="utf-8"))}
    assert (rows["real/alone.mp4"]["identity"], rows["real/alone.mp4"]["note"]) == ("carol", "mine")
    assert described.gone == ("real/lost.mp4",)
    assert "real/lost.mp4" in rows
    assert not (root / f".{METADATA}.partial").exists()


def test_what_cannot_be_described_is_told(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"finds no person in the name alone\.mp4"):
        describe_files(root, "", "folder", r"^rlt_(\d+)", HALF)
    with pytest.raises(DataError, match=r"finds no person in the name 0[01]\.jpg"):
        describe_files(root, "real/photos", "folder", r"^(?:p(\d+)|0)", HALF)
    with pytest.raises(DataError, match="no regular expression"):
        describe_files(root, "", "folder", "(", HALF)
    with pytest.raises(DataError, match="no video or photo below real/nothing"):
        describe_files(root, "real/nothing", "folder", None, HALF)
    with pytest.raises(DataError, match="at most 1 together"):
        Shares(0.7, 0.6)
    (tmp_path / "empty" / "x").mkdir(parents=True)
    with pytest.raises(DataError, match="is not a generic folder folder"):
        describe_files(tmp_path / "empty", "", "folder", None, HALF)
