from collections import Counter
from pathlib import Path

import pytest

from data_catalog.datasets import Scan
from data_catalog.datasets.photos import Photos
from data_catalog.storage import Folder
from difffake.errors import DataError
from tests.helpers.layouts import photos

LFW = Path(__file__).parents[4] / "shared" / "data" / "face_crops" / "lfw"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    photos.build(tmp_path / "lfw", touch)
    return tmp_path / "lfw"


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


def scan(root: Path) -> Scan:
    return Photos().scan(Folder.of(root))


def keys(found: Scan) -> set[str]:
    return {entry.local_key for entry in found.entries}


def test_everything_of_the_layout_is_found(tmp_path: Path) -> None:
    expected = photos.build(tmp_path, touch)
    found = scan(tmp_path)
    assert keys(found) == expected
    assert found.unrecognised == ()


def test_a_photo_is_a_real_one_of_the_person_its_folder_names(root: Path) -> None:
    touch(root / "Bill_Clinton" / "at home.PNG")
    (entry,) = (entry for entry in scan(root).entries if entry.name == "at home")
    assert (entry.folder, entry.identity, entry.label, entry.media) == ("Bill_Clinton", "Bill_Clinton", "real", "photo")
    assert (entry.split, entry.manipulation, entry.compression) == (None, None, None)
    assert (entry.source_identity, entry.original) == (None, None)


def test_photos_serve_training_only_and_their_people_are_their_own() -> None:
    assert Photos().roles == {"train": ("none",)}
    assert Photos().people == ""


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("portrait.jpg", "whom it shows is not known"),
        ("Zico/holiday/1.jpg", "whom it shows is not known"),
        ("Zico/clip.mp4", "not a photo file name (suffix '.mp4')"),
        ("clip.mp4", "not a photo file name (suffix '.mp4')"),
        ("Zico/notes.txt", "not a photo file name (suffix '.txt')"),
        ("Zico/Zico_0003.jpg.part", "still being downloaded"),
        ("Zico/Zico_0001.png", "is taken by Zico/Zico_0001.jpg"),
    ],
)
def test_files_that_cannot_be_placed_are_reported_not_guessed(root: Path, name: str, reason: str) -> None:
    before = keys(scan(root))
    touch(root / name)
    found = scan(root)
    assert keys(found) == before
    (unrecognised,) = found.unrecognised
    assert unrecognised.relative == name
    assert reason in unrecognised.reason


def test_the_collections_own_lists_are_not_reported(root: Path) -> None:
    for name in ("lfw-names.txt", "pairs.csv", "Zico/Thumbs.db"):
        touch(root / name)
    assert scan(root).unrecognised == ()


def test_wrong_roots_say_what_is_there_and_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"does not exist[\s\S]*PERSON"):
        scan(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="is empty"):
        scan(tmp_path / "empty")
    touch(tmp_path / "above" / "lfw" / "Zico" / "Zico_0001.jpg")
    with pytest.raises(DataError, match=r"holds nothing of photo collection[\s\S]*whom it shows[\s\S]*It holds lfw/"):
        scan(tmp_path / "above")


@pytest.mark.sample_data
@pytest.mark.skipif(not LFW.is_dir(), reason=f"{LFW} is not there")
def test_the_sample_of_labeled_faces_in_the_wild() -> None:
    found = scan(LFW)
    assert found.unrecognised == ()
    photos_per_person = Counter(entry.identity for entry in found.entries)
    assert (len(photos_per_person), photos_per_person.total()) == (62, 1916)
    assert photos_per_person["Bill_Clinton"] == len(list((LFW / "Bill_Clinton").iterdir()))
