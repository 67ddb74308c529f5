from pathlib import Path

import pytest

from data_catalog.datasets import Scan, VideoEntry, get_adapter, read_identities
from data_catalog.datasets.faceforensics import DeepFakeDetection, FaceForensics
from data_catalog.storage import Folder
from difffake.errors import DataError
from tests.helpers.layouts import faceforensics

SCENE = "outside_talking_still_laughing"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    faceforensics.build(tmp_path / "FF++", touch)
    return tmp_path / "FF++"


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


def scan(root: Path, adapter: FaceForensics | DeepFakeDetection | None = None) -> Scan:
    return (adapter or FaceForensics()).scan(Folder.of(root))


def by_key(found: Scan) -> dict[str, VideoEntry]:
    return {entry.local_key: entry for entry in found.entries}


def test_everything_of_the_official_layout_is_found(tmp_path: Path) -> None:
    expected = faceforensics.build(tmp_path, touch)
    found = scan(tmp_path)
    assert set(by_key(found)) == expected
    assert found.unrecognised == ()


@pytest.mark.parametrize(
    ("key", "manipulation", "compression", "split", "identity", "source_identity", "original"),
    [
        ("youtube/raw/001", None, "raw", "train", "001", None, None),
        ("youtube/c23/010", None, "c23", "val", "010", None, None),
        ("youtube/c40/021", None, "c40", "test", "021", None, None),
        ("Deepfakes/raw/000_001", "Deepfakes", "raw", "train", "000", "001", "youtube/raw/000"),
        ("Face2Face/raw/001_000", "Face2Face", "raw", "train", "001", "000", "youtube/raw/001"),
        ("FaceSwap/c23/010_011", "FaceSwap", "c23", "val", "010", "011", "youtube/c23/010"),
        ("NeuralTextures/c40/021_020", "NeuralTextures", "c40", "test", "021", "020", "youtube/c40/021"),
        ("FaceShifter/c23/020_021", "FaceShifter", "c23", "test", "020", "021", "youtube/c23/020"),
        (f"actors/c40/23__{SCENE}", None, "c40", None, "actor23", None, None),
        (
            f"DeepFakeDetection/c23/24_23__{SCENE}__YR5OVD4S",
            "DeepFakeDetection",
            "c23",
            None,
            "actor24",
            "actor23",
            f"actors/c23/24__{SCENE}",
        ),
    ],
)
def test_what_place_name_and_splits_say(
    root: Path,
    key: str,
    manipulation: str | None,
    compression: str,
    split: str | None,
    identity: str,
    source_identity: str | None,
    original: str | None,
) -> None:
    entry = by_key(scan(root))[key]
    assert entry.label == ("fake" if manipulation else "real")
    assert (entry.manipulation, entry.compression, entry.split) == (manipulation, compression, split)
    assert (entry.identity, entry.source_identity, entry.original) == (identity, source_identity, original)
    assert entry.media == "video"


def test_a_video_in_no_split_has_none(root: Path) -> None:
    touch(root / "original_sequences/youtube/c23/videos/999.MP4")
    assert by_key(scan(root))["youtube/c23/999"].split is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("original_sequences/youtube/c23/videos/000.txt", "suffix"),
        ("original_sequences/youtube/c23/videos/000.mp4.part", "still being downloaded"),
        ("original_sequences/youtube/c23/videos/holiday.mp4", "three digits"),
        ("original_sequences/youtube/c23/videos/deeper/001.mp4", "not at"),
        ("original_sequences/actors/c23/videos/walk.mp4", "NN__scene"),
        ("original_sequences/tiktok/c23/videos/000.mp4", "not part of"),
        ("manipulated_sequences/Deepfakes/c23/videos/000.mp4", "target_source"),
        ("manipulated_sequences/Deepfakes/c23/videos/000_020.mp4", "different splits"),
        ("manipulated_sequences/DeepFakeDetection/c23/videos/24_23__walk.mp4", "NN_NN__scene__CODE"),
        ("manipulated_sequences/Unheard/c23/videos/000_001.mp4", "not part of"),
        ("manipulated_sequences/Deepfakes/c99/videos/000_001.mp4", "not at"),
        ("holiday.mp4", "not below"),
    ],
)
def test_files_that_cannot_be_placed_are_reported_not_guessed(root: Path, name: str, reason: str) -> None:
    before = scan(root).entries
    touch(root / name)
    found = scan(root)
    assert [entry.local_key for entry in found.entries] == [entry.local_key for entry in before]
    (unrecognised,) = found.unrecognised
    assert unrecognised.relative == name
    assert reason in unrecognised.reason


def test_the_datasets_lists_and_other_papers_are_not_reported(root: Path) -> None:
    touch(root / "README.md")
    touch(root / "original_sequences/youtube/c23/videos/.DS_Store")
    assert scan(root).unrecognised == ()


def test_raw_and_c0_are_one_quality(root: Path) -> None:
    touch(root / "original_sequences/youtube/c0/videos/000.mp4")
    found = scan(root)
    assert [entry.local_key for entry in found.entries].count("youtube/raw/000") == 1
    (double,) = found.unrecognised
    assert "is taken by" in double.reason


def test_wrong_roots_say_what_is_there_and_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"does not exist[\s\S]*original_sequences"):
        scan(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="is empty"):
        scan(tmp_path / "empty")
    touch(tmp_path / "file")
    with pytest.raises(DataError, match="not a folder"):
        scan(tmp_path / "file")
    touch(tmp_path / "wrong" / "Celeb-real" / "id0_0000.mp4")
    with pytest.raises(DataError, match="holds Celeb-real/"):
        scan(tmp_path / "wrong")


def test_a_folder_without_a_single_video_is_refused_with_examples(root: Path) -> None:
    for path in root.rglob("*.mp4"):
        path.rename(path.with_suffix(".gif"))
    with pytest.raises(DataError, match=r"holds nothing of FaceForensics\+\+[\s\S]*\.gif"):
        scan(root)


@pytest.mark.parametrize("content", ["not json", '{"a": 1}', "[1, 2]"])
def test_a_broken_split_list_is_named(root: Path, content: str) -> None:
    (root / "splits" / "val.json").write_text(content)
    with pytest.raises(DataError, match=r"val\.json"):
        scan(root)


def test_a_missing_split_list_is_named_with_the_way_out(root: Path) -> None:
    (root / "splits" / "test.json").unlink()
    with pytest.raises(DataError, match=r"test\.json[\s\S]*download script"):
        scan(root)


def test_a_video_in_two_splits_is_refused(root: Path) -> None:
    (root / "splits" / "val.json").write_text('[["000", "011"]]')
    with pytest.raises(DataError, match="000 is in the splits train and val"):
        scan(root)


def test_the_actors_part_is_a_dataset_of_its_own_and_needs_no_splits(tmp_path: Path) -> None:
    expected = faceforensics.build_deepfakedetection(tmp_path, touch)
    found = scan(tmp_path, DeepFakeDetection())
    assert set(by_key(found)) == expected
    assert found.unrecognised == ()
    fake = by_key(found)[f"DeepFakeDetection/c23/24_23__{SCENE}__YR5OVD4S"]
    assert (fake.label, fake.split, fake.identity, fake.source_identity) == ("fake", None, "actor24", "actor23")
    assert fake.original == f"actors/c23/24__{SCENE}"
    assert fake.original in by_key(found)


def test_the_rest_of_the_folder_is_none_of_deepfakedetections_business(root: Path, tmp_path: Path) -> None:
    found = scan(root, DeepFakeDetection())
    assert set(by_key(found)) == faceforensics.build_deepfakedetection(tmp_path / "alone", touch)
    assert found.unrecognised == ()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("original_sequences/actors/c23/videos/actor24.mp4", "NN__scene"),
        ("original_sequences/actors/c23/24__walk.mp4", "not at"),
        ("original_sequences/DeepFakeDetection/c23/videos/24_23__walk__YR5OVD4S.mp4", "not part of"),
        ("manipulated_sequences/DeepFakeDetection/c23/videos/24__walk.mp4", "NN_NN__scene__CODE"),
    ],
)
def test_deepfakedetection_reports_names_it_cannot_read(root: Path, name: str, reason: str) -> None:
    touch(root / name)
    (unrecognised,) = scan(root, DeepFakeDetection()).unrecognised
    assert unrecognised.relative == name
    assert reason in unrecognised.reason


def test_a_folder_without_actors_is_refused_as_deepfakedetection(tmp_path: Path) -> None:
    touch(tmp_path / "original_sequences/youtube/c23/videos/000.mp4")
    with pytest.raises(DataError, match="holds nothing of DeepFakeDetection"):
        scan(tmp_path, DeepFakeDetection())


def write_identities(folder: Path, text: str) -> Path:
    path = folder / "identities.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_identities_are_read_as_name_and_person(tmp_path: Path) -> None:
    path = write_identities(tmp_path, "\ufeffvideo,identity,seen by\n000,anna,me\n021,anna,\n001,bert\n")
    assert read_identities(path) == {"000": "anna", "021": "anna", "001": "bert"}
    assert read_identities(None) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "must have the columns video,identity; it has"),
        ("video\n1\n", "must have the columns video,identity"),
        ("", "must have the columns video,identity"),
        ("video,identity\n000,\n", "without video or identity"),
        ("video,identity\n000\n", "without video or identity"),
        ("video,identity\n0,a\n0,b\n", "gives video 0 two identities: a and b"),
        ('video,identity\n"0,a\n', "not a readable CSV"),
    ],
)
def test_a_broken_identities_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = write_identities(tmp_path, text)
    with pytest.raises(DataError, match=message) as caught:
        read_identities(path)
    assert str(path) in str(caught.value)


def test_a_missing_identities_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read the identities file .*nowhere\.csv"):
        read_identities(tmp_path / "nowhere.csv")


def test_an_unknown_adapter_names_those_there_are() -> None:
    with pytest.raises(DataError, match="faceforensics"):
        get_adapter("faceforensic")
