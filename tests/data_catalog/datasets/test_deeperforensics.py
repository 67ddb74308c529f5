from pathlib import Path

import pytest

from data_catalog.datasets import Scan, VideoEntry
from data_catalog.datasets.deeperforensics import DeeperForensics
from data_catalog.datasets.faceforensics import FaceForensics
from data_catalog.storage import Folder
from difffake.errors import DataError
from tests.helpers.layouts import deeperforensics

VARIANTS = [
    "end_to_end",
    "end_to_end_level_1",
    "end_to_end_level_2",
    "end_to_end_level_3",
    "end_to_end_level_4",
    "end_to_end_level_5",
    "end_to_end_random_level",
    "end_to_end_mix_2_distortions",
    "end_to_end_mix_3_distortions",
    "end_to_end_mix_4_distortions",
    "reenact_postprocess",
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    deeperforensics.build(tmp_path / "DeeperForensics-1.0", touch)
    return tmp_path / "DeeperForensics-1.0"


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


def scan(root: Path) -> Scan:
    return DeeperForensics().scan(Folder.of(root))


def by_key(found: Scan) -> dict[str, VideoEntry]:
    return {entry.local_key: entry for entry in found.entries}


def test_everything_of_the_official_layout_is_found(tmp_path: Path) -> None:
    expected = deeperforensics.build(tmp_path, touch)
    found = scan(tmp_path)
    assert set(by_key(found)) == expected
    assert found.unrecognised == ()


def test_a_fake_is_a_faceforensics_video_with_an_actors_face(root: Path) -> None:
    entry = by_key(scan(root))["end_to_end/033_M101"]
    assert (entry.label, entry.manipulation, entry.compression, entry.split) == (
        "fake",
        "DeeperForensics",
        None,
        "train",
    )
    assert (entry.identity, entry.source_identity, entry.original) == ("033", "M101", None)
    assert DeeperForensics().people == FaceForensics().people


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_name_has_one_split_in_every_variant_and_the_variants_stay_apart(root: Path, variant: str) -> None:
    touch(root / "manipulated_videos" / variant / "044_W004.mp4")
    entry = by_key(scan(root))[f"{variant}/044_W004"]
    assert (entry.folder, entry.split, entry.identity, entry.source_identity) == (variant, "val", "044", "W004")


def test_a_name_in_no_list_has_no_split(root: Path) -> None:
    touch(root / "manipulated_videos/end_to_end/099_M002.MP4")
    assert by_key(scan(root))["end_to_end/099_M002"].split is None


def test_the_actors_own_videos_are_reals_in_no_split(root: Path) -> None:
    entry = by_key(scan(root))["source_videos/W004/BlendShape/camera_left/W004_BlendShape_camera_left"]
    assert (entry.label, entry.manipulation, entry.split) == ("real", None, None)
    assert (entry.identity, entry.source_identity, entry.original) == ("W004", None, None)


def test_scenes_of_one_name_in_two_places_stay_apart(root: Path) -> None:
    touch(root / "source_videos/W004/BlendShape_extra/W004_BlendShape_camera_left.mp4")
    assert scan(root).unrecognised == ()
    assert "source_videos/W004/BlendShape_extra/W004_BlendShape_camera_left" in by_key(scan(root))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("manipulated_videos/end_to_end/033.mp4", "target_actor"),
        ("manipulated_videos/end_to_end/033_097.mp4", "target_actor"),
        ("manipulated_videos/end_to_end/033_M101.txt", "suffix"),
        ("manipulated_videos/end_to_end/033_M101.mp4.part", "still being downloaded"),
        ("manipulated_videos/end_to_end_level_6/033_M101.mp4", "eleven variants"),
        ("manipulated_videos/end_to_end/deeper/033_M101.mp4", "eleven variants"),
        ("manipulated_videos/033_M101.mp4", "eleven variants"),
        ("source_videos/M101/light_up/M102_light_up.mp4", "the same actor twice"),
        ("source_videos/M101/light_up/holiday.mp4", "the same actor twice"),
        ("source_videos/M101_light_up.mp4", "the same actor twice"),
        ("target_videos/033.mp4", "not below"),
        ("033_M101.mp4", "not below"),
    ],
)
def test_files_that_cannot_be_placed_are_reported_not_guessed(root: Path, name: str, reason: str) -> None:
    before = set(by_key(scan(root)))
    touch(root / name)
    found = scan(root)
    assert set(by_key(found)) == before
    (unrecognised,) = found.unrecognised
    assert unrecognised.relative == name
    assert reason in unrecognised.reason


def test_the_datasets_own_papers_are_not_reported(root: Path) -> None:
    for name in (
        "unzip.sh",
        "lists/source_videos_lists/source_videos_list.txt",
        "lists/manipulated_videos_distortions_meta/manipulated_videos_end_to_end_level_1_meta.txt",
        "source_videos/.DS_Store",
    ):
        touch(root / name)
    assert scan(root).unrecognised == ()


def test_lists_may_have_blank_lines_other_line_ends_and_no_suffix(root: Path) -> None:
    (root / "lists/splits/train.txt").write_bytes(b"\xef\xbb\xbf099_M002\r\n\r\n033_M101.mp4 \r\n")
    touch(root / "manipulated_videos/end_to_end/099_M002.mp4")
    entries = by_key(scan(root))
    assert entries["end_to_end/099_M002"].split == "train"
    assert entries["end_to_end/033_M101"].split == "train"


def test_listed_videos_need_not_be_there(root: Path) -> None:
    (root / "lists/splits/train.txt").write_text("033_M101.mp4\n500_M001.mp4\n501_W111.mp4\n")
    assert scan(root).unrecognised == ()


def test_wrong_roots_say_what_is_there_and_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"does not exist[\s\S]*manipulated_videos"):
        scan(tmp_path / "missing")
    touch(tmp_path / "wrong" / "Celeb-real" / "id0_0000.mp4")
    with pytest.raises(DataError, match=r"not a DeeperForensics-1\.0 folder: it holds Celeb-real/"):
        scan(tmp_path / "wrong")


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_missing_list_is_named_with_the_way_out(root: Path, split: str) -> None:
    (root / f"lists/splits/{split}.txt").unlink()
    with pytest.raises(DataError, match=rf"{split}\.txt[\s\S]*part of the dataset's lists"):
        scan(root)


@pytest.mark.parametrize(("content", "seen"), [("", "nothing"), ("033_M101.mp4\n033_097\n", "'033_097'")])
def test_a_broken_list_is_named_with_what_it_holds(root: Path, content: str, seen: str) -> None:
    (root / "lists/splits/val.txt").write_text(content)
    with pytest.raises(DataError, match=rf"val\.txt must hold one file name a line.*it holds {seen}"):
        scan(root)


def test_a_name_in_two_lists_is_refused(root: Path) -> None:
    (root / "lists/splits/test.txt").write_text("033_M101.mp4\n")
    with pytest.raises(DataError, match="033_M101 is in the splits train and test"):
        scan(root)
