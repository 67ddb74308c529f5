from pathlib import Path

import pytest

from data_catalog.datasets.base import Scan
from data_catalog.datasets.uadfv import Uadfv
from data_catalog.storage import Folder
from difffake.errors import DataError
from tests.helpers.layouts import uadfv

SAMPLES = Path(__file__).resolve().parents[3] / "../shared/data/UADFV"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "UADFV"
    uadfv.build(root, touch)
    return root


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


def scan(root: Path) -> Scan:
    return Uadfv().scan(Folder.of(root))


def test_every_clip_of_the_official_layout_is_found(tmp_path: Path) -> None:
    keys = uadfv.build(tmp_path, touch)
    found = scan(tmp_path)
    assert {entry.local_key for entry in found.entries} == keys
    assert found.unrecognised == ()


def test_a_real_and_its_fake_show_one_person(root: Path) -> None:
    entries = {entry.local_key: entry for entry in scan(root).entries}
    real, fake = entries["real/0001"], entries["fake/0001_fake"]
    assert (real.label, real.manipulation, real.identity, real.original) == ("real", None, "0001", None)
    assert (fake.label, fake.manipulation, fake.identity, fake.original) == ("fake", "FakeApp", "0001", "real/0001")
    for entry in entries.values():
        assert (entry.compression, entry.split, entry.source_identity, entry.media) == (None, None, None, "video")
    assert Uadfv().people == "uadfv"


def test_a_dataset_without_splits_is_tested_on_as_a_whole() -> None:
    assert "none" in Uadfv().roles["test"]
    assert set(Uadfv().roles) == {"test"}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("real/0003_fake.mp4", "four digits"),
        ("real/holiday.mp4", "four digits"),
        ("fake/0003.mp4", "NNNN_fake"),
        ("fake/0003_fake_2.mp4", "NNNN_fake"),
        ("fake/0003_fake/000.mp4", "not at"),
        ("fake/0003_fake.npy", "suffix"),
        ("0003.mp4", "not below real or fake"),
    ],
)
def test_files_that_cannot_be_placed_are_reported_not_guessed(root: Path, name: str, reason: str) -> None:
    touch(root / name)
    found = scan(root)
    assert len(found.entries) == 7
    (unrecognised,) = found.unrecognised
    assert unrecognised.relative == name
    assert reason in unrecognised.reason


def test_files_beside_the_folders_are_left_alone(root: Path) -> None:
    touch(root / "terms.pdf")
    assert scan(root).unrecognised == ()


def test_wrong_roots_say_what_is_there_and_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"does not exist[\s\S]*fake/0001_fake\.mp4"):
        scan(tmp_path / "missing")
    touch(tmp_path / "wrong" / "Celeb-real" / "id0_0000.mp4")
    with pytest.raises(DataError, match="not a UADFV folder: it holds Celeb-real/"):
        scan(tmp_path / "wrong")
    touch(tmp_path / "other" / "real" / "anna.mp4")
    with pytest.raises(DataError, match=r"holds nothing of UADFV: 1 other files[\s\S]*real/anna\.mp4: the name"):
        scan(tmp_path / "other")


@pytest.mark.sample_data
@pytest.mark.skipif(not SAMPLES.is_dir(), reason="no sample data at ../shared/data")
def test_the_real_sample_is_read() -> None:
    found = scan(SAMPLES)
    assert found.unrecognised == ()
    assert [entry.local_key for entry in found.entries if entry.label == "real"] == [
        "real/0000",
        "real/0001",
        "real/0004",
        "real/0039",
    ]
    assert {entry.local_key: entry.original for entry in found.entries if entry.label == "fake"} == {
        "fake/0000_fake": "real/0000",
        "fake/0001_fake": "real/0001",
        "fake/0017_fake": "real/0017",
        "fake/0039_fake": "real/0039",
        "fake/0048_fake": "real/0048",
    }
