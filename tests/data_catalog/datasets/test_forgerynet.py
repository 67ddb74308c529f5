from pathlib import Path

import pytest

from data_catalog.datasets import Scan, VideoEntry
from data_catalog.datasets.forgerynet import ForgeryNet
from data_catalog.storage import Folder
from difffake.errors import DataError
from tests.helpers.layouts import forgerynet


@pytest.fixture
def root(tmp_path: Path) -> Path:
    forgerynet.build(tmp_path / "ForgeryNet", touch)
    return tmp_path / "ForgeryNet"


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


def write_list(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def scan(root: Path) -> Scan:
    return ForgeryNet().scan(Folder.of(root))


def by_key(found: Scan) -> dict[str, VideoEntry]:
    return {entry.local_key: entry for entry in found.entries}


def reasons(found: Scan) -> dict[str, str]:
    return {item.relative: item.reason for item in found.unrecognised}


def test_everything_of_the_official_layout_is_found(tmp_path: Path) -> None:
    expected = forgerynet.build(tmp_path, touch)
    found = scan(tmp_path)
    assert set(by_key(found)) == expected
    assert found.unrecognised == ()


@pytest.mark.parametrize(
    ("key", "manipulation", "split"),
    [
        ("Training/video/train_video_release/1/9870/47d6/video", "FaceShifter", "train"),
        ("Training/video/train_video_release/7/ddce/247c/video", "TalkingHeadVideo", "train"),
        ("Training/video/train_video_release/16/a1b2/video", None, "train"),
        ("Validation/video/val_video_release/4/7f89/718e/video", "BlendFace", "val"),
        ("Validation/video/val_video_release/8/7f89/718e/video", "ATVG-Net", "val"),
        ("Validation/video/val_video_release/19/e5f6/video", None, "val"),
        ("Test/video/test_video_release/3/1111/2222/video", "DeepFakes", "test"),
        ("Test/video/test_video_release/17/3333/video", None, "test"),
    ],
)
def test_what_lists_and_folders_say(root: Path, key: str, manipulation: str | None, split: str) -> None:
    entry = by_key(scan(root))[key]
    assert entry.label == ("fake" if manipulation else "real")
    assert (entry.manipulation, entry.compression, entry.split) == (manipulation, None, split)
    assert (entry.source_identity, entry.original) == (None, None)


def test_no_two_videos_are_taken_for_one_person(root: Path) -> None:
    entries = scan(root).entries
    assert len({entry.identity for entry in entries}) == len(entries)


def test_tests_take_the_validation_split_for_the_test_labels_were_never_published() -> None:
    assert ForgeryNet().roles == {"test": ("val", "test")}


def test_the_folder_names_the_method_where_the_sixteen_way_label_differs(tmp_path: Path) -> None:
    touch(tmp_path / "Training/video/train_video_release/7/a/b/video.mp4")
    write_list(tmp_path / "Training/video_list.txt", "train_video_release/7/a/b/video.mp4 1 1 15")
    (entry,) = scan(tmp_path).entries
    assert entry.manipulation == "TalkingHeadVideo"


@pytest.mark.parametrize(("labels", "manipulation"), [("1 2 3", "forgerynet_03"), ("1 1 15", "forgerynet_15")])
def test_without_a_numbered_folder_the_sixteen_way_label_is_the_method(
    tmp_path: Path, labels: str, manipulation: str
) -> None:
    touch(tmp_path / "videos/2f0a.mp4")
    write_list(tmp_path / "val_list.txt", f"2f0a.mp4 {labels}")
    (entry,) = scan(tmp_path).entries
    assert (entry.manipulation, entry.split, entry.local_key) == (manipulation, "val", "videos/2f0a")


@pytest.mark.parametrize(
    ("place", "video", "path", "split"),
    [
        ("Training/video_list.txt", "Training/video/1/a/video.mp4", "1/a/video.mp4", "train"),
        ("Training/video_list.txt", "Training/video/1/a/video.mp4", "video/1/a/video.mp4", "train"),
        ("Train/video_list.txt", "Train/videos/1/a/video.mp4", "1/a/video.mp4", "train"),
        ("Training/video_list_complete.txt", "Training/1/a/video.mp4", "1/a/video.mp4", "train"),
        ("Validation/video_list.txt", "videos/1/a/video.mp4", "1/a/video.mp4", "val"),
        ("Validation/video_list.txt", "videos/1/a/video.mp4", "videos/1/a/video.mp4", "val"),
        ("val_list/video_list.txt", "Validation/video/1/a/video.mp4", "1/a/video.mp4", "val"),
        ("lists/test_list.txt", "Test_with_real/video/1/a/video.mp4", "1/a/video.mp4", "test"),
        ("Test/spatial_temporal_loc/list.txt", "Test/1/a/video.mp4", "1/a/video.mp4", "test"),
    ],
)
def test_lists_and_paths_in_the_places_they_are_known_in(
    tmp_path: Path, place: str, video: str, path: str, split: str
) -> None:
    touch(tmp_path / video)
    write_list(tmp_path / place, f"1 {path} 0 10 1 1 2 1")
    found = scan(tmp_path)
    (entry,) = found.entries
    assert (entry.file.relative, entry.label, entry.split) == (video, "fake", split)
    assert found.unrecognised == ()


def test_a_path_that_fits_two_videos_gives_neither_a_label(root: Path) -> None:
    clip = "val_video_release/4/7f89/718e/video.mp4"
    touch(root / "videos" / clip)
    found = scan(root)
    assert f"Validation/video/{clip}" not in {entry.file.relative for entry in found.entries}
    assert set(reasons(found)) == {f"Validation/video/{clip}", f"videos/{clip}"}
    assert all("means one of" in reason for reason in reasons(found).values())


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{} 0 0 0", "the list says real, its folder 1 the opposite"),
        ("{} 1 2 0", "contradict each other"),
        ("{} 0 2 1", "contradict each other"),
        ("{} 1 0 1", "contradict each other"),
        ("{} 1 2 16", "contradict each other"),
        ("{}", "no list gives it a label"),
    ],
)
def test_labels_that_cannot_be_believed_are_reported(root: Path, line: str, reason: str) -> None:
    clip = "1/0000/1111/video.mp4"
    touch(root / "Test/video" / clip)
    write_list(root / "Test/more_list.txt", line.format(clip))
    (relative, said), *rest = reasons(scan(root)).items()
    assert relative == f"Test/video/{clip}"
    assert reason in said
    assert rest == []


def test_a_fake_label_in_a_folder_of_reals_is_reported(root: Path) -> None:
    touch(root / "Test/video/16/video.mp4")
    write_list(root / "Test/more_list.txt", "16/video.mp4 1 2 1")
    assert reasons(scan(root)) == {"Test/video/16/video.mp4": "the list says fake, its folder 16 the opposite"}


def test_lists_may_repeat_but_not_contradict_each_other(root: Path) -> None:
    path = "train_video_release/1/9870/47d6/video.mp4"
    write_list(root / "Training/video_list_complete.txt", f"0 {path} 1 2 1")
    assert scan(root).unrecognised == ()
    write_list(root / "val_list.txt", f"Training/video/{path} 1 2 1")
    assert reasons(scan(root)) == {f"Training/video/{path}": "the lists contradict each other about it"}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Training/video/train_video_release/1/0000/1111/video.mp4", "no list gives it a label"),
        ("stray.mp4", "not below a folder"),
        ("Validation.tar", "suffix"),
        ("Training/video/1.mp4.part", "still being downloaded"),
        ("video_list.txt", "does not name one split"),
        ("Training/val_list.txt", "does not name one split"),
    ],
)
def test_files_that_cannot_be_placed_are_reported_not_guessed(root: Path, name: str, reason: str) -> None:
    before = set(by_key(scan(root)))
    touch(root / name)
    found = scan(root)
    assert set(by_key(found)) == before
    ((relative, said),) = reasons(found).items()
    assert relative == name
    assert reason in said


def test_images_masks_and_papers_are_not_reported_and_their_lists_not_read(root: Path) -> None:
    for name in ("Readme.txt", "Training/spatial_localize/1/a/frame00001.png", "Training/video/.DS_Store"):
        touch(root / name)
    write_list(root / "Validation/image_list.txt", "image_name binary_cls_label triple_cls_label 16cls_label")
    assert scan(root).unrecognised == ()


@pytest.mark.parametrize(
    "line",
    [
        "1/a/video.mp4 1 2",
        "1/a/video.mp4 fake 2 1",
        "1/a/video.mp4 2 2 1",
        "1/a/video.mp4 1 3 1",
        "1/a/video.mp4 1 2 20",
        "3 1/a/video.mp4 0 10 0 10 35 1 1 2 4",
        "1/a/video.mp4,1,2,1 and more",
    ],
)
def test_a_broken_line_is_quoted_with_its_place(root: Path, line: str) -> None:
    write_list(root / "Validation/video_list.txt", "1 1/b/video.mp4 0 10 1 1 2 1", "", line)
    with pytest.raises(DataError, match=r"line 3 of .*Validation/video_list\.txt is .*expected PATH BINARY") as caught:
        scan(root)
    assert line in str(caught.value)


def test_a_folder_without_lists_says_what_to_fetch(root: Path) -> None:
    for path in root.rglob("video_list.txt"):
        path.unlink()
    with pytest.raises(DataError, match=r"no list of labels[\s\S]*train_list\.tar[\s\S]*Training/video_list\.txt"):
        scan(root)


def test_wrong_roots_say_what_is_there_and_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"does not exist[\s\S]*Training"):
        scan(tmp_path / "missing")
    write_list(tmp_path / "wrong/train_list.txt", "1/a/video.mp4 1 2 1")
    with pytest.raises(DataError, match=r"holds nothing of ForgeryNet \(videos\)[\s\S]*It holds train_list\.txt"):
        scan(tmp_path / "wrong")
