import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from data_catalog.datasets import DatasetSpec
from data_catalog.inventory import Inventory, check_identities, take_inventory
from data_catalog.lake import Lake
from data_catalog.schemas import TableName
from difffake.errors import DataError
from difffake.video import write_video

VIDEOS = ("youtube/c23/videos/000.mp4", "youtube/c23/videos/001.mp4", "youtube/c23/videos/002.mp4")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "FF++"
    (root / "splits").mkdir(parents=True)
    for split, text in {"train": '[["000", "001"]]', "val": '[["002", "003"]]', "test": "[]"}.items():
        (root / "splits" / f"{split}.json").write_text(text)
    for number, name in enumerate(VIDEOS):
        clip(root / "original_sequences" / name, number)
    return root


def clip(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = np.random.default_rng(number).integers(0, 255, (5, 64, 96, 3)).astype(np.uint8)
    write_video(path, list(frames), fps=10, crf=30)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    lake.create()
    return lake


def counts(inventory: Inventory) -> tuple[int, int, int, int, int]:
    return inventory.present, inventory.added, inventory.changed, inventory.unchanged, inventory.removed


def scan(lake: Lake, root: Path) -> tuple[int, int, int, int, int]:
    return counts(take_inventory(lake, DatasetSpec(name="ff", adapter="faceforensics", root=root), workers=2))


def video(lake: Lake, name: str) -> dict[str, object]:
    (row,) = lake.read(TableName.VIDEOS, where={"video_key": [f"ff/youtube/c23/{name}"]}).to_pylist()
    return dict(row)


def test_new_videos_are_described(lake: Lake, root: Path) -> None:
    assert scan(lake, root) == (3, 3, 0, 0, 0)
    row = video(lake, "001")
    assert (row["label"], row["split"], row["frames"], row["fps"], row["width_px"], row["height_px"]) == (
        "real", "train", 5, 10.0, 96, 64,
    )  # fmt: skip
    assert row["state"] == "present"
    assert row["size_bytes"] == (root / "original_sequences" / VIDEOS[1]).stat().st_size


def test_a_second_scan_writes_nothing_and_opens_nothing(lake: Lake, root: Path) -> None:
    scan(lake, root)
    version = lake.version(TableName.VIDEOS)
    for name in VIDEOS:
        path = root / "original_sequences" / name
        stat = path.stat()
        # Other content behind the same size and time: who opens the file would notice.
        path.write_bytes(bytes(stat.st_size))
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert scan(lake, root) == (3, 0, 0, 3, 0)
    assert lake.version(TableName.VIDEOS) == version


def test_a_touched_file_keeps_its_content_and_a_changed_one_does_not(lake: Lake, root: Path) -> None:
    scan(lake, root)
    before = video(lake, "000"), video(lake, "001")
    os.utime(root / "original_sequences" / VIDEOS[0], (1, 1))
    clip(root / "original_sequences" / VIDEOS[1], 77)
    assert scan(lake, root) == (3, 0, 1, 2, 0)
    after = video(lake, "000"), video(lake, "001")
    assert after[0]["sha256"] == before[0]["sha256"]
    assert after[0]["registered_at"] == before[0]["registered_at"]
    assert after[0]["modified_ns"] == 1_000_000_000
    assert after[1]["sha256"] != before[1]["sha256"]
    assert scan(lake, root) == (3, 0, 0, 3, 0)


def test_a_missing_file_is_marked_not_deleted_and_may_come_back(lake: Lake, root: Path, tmp_path: Path) -> None:
    scan(lake, root)
    path = root / "original_sequences" / VIDEOS[2]
    shutil.move(path, tmp_path / "aside.mp4")
    assert scan(lake, root) == (2, 0, 0, 2, 1)
    assert video(lake, "002")["state"] == "removed"
    assert scan(lake, root) == (2, 0, 0, 2, 0)
    shutil.move(tmp_path / "aside.mp4", path)
    scan(lake, root)
    assert video(lake, "002")["state"] == "present"


def test_a_file_that_is_no_video_is_still_a_row(lake: Lake, root: Path) -> None:
    (root / "original_sequences" / VIDEOS[0]).write_text("not a video")
    scan(lake, root)
    row = video(lake, "000")
    assert row["frames"] is None
    assert row["sha256"]


def test_a_file_that_cannot_be_read_is_a_row_and_is_tried_again(lake: Lake, root: Path) -> None:
    broken = root / "original_sequences/youtube/c23/videos/003.mp4"
    broken.symlink_to(root / "nowhere.mp4")
    assert scan(lake, root) == (4, 4, 0, 0, 0)
    assert video(lake, "003")["sha256"] == "unread"
    broken.unlink()
    clip(broken, 9)
    assert scan(lake, root) == (4, 0, 1, 3, 0)


def test_an_identity_of_no_video_is_refused(lake: Lake, root: Path, tmp_path: Path) -> None:
    table = tmp_path / "identities.csv"
    table.write_text("video,identity\n1,anna\n")
    with pytest.raises(DataError, match="first '1'"):
        take_inventory(lake, DatasetSpec(name="ff", adapter="faceforensics", root=root, identities=table), workers=1)


def test_an_outcome_counts_only_while_its_faces_are_there(lake: Lake) -> None:
    log = {
        "video_key": ["a", "b", "c"],
        "video_sha256": ["1", "2", "3"],
        "extraction": ["x"] * 3,
        "faces_found": pa.array([2, 1, 0], pa.int32()),
    }
    faces = {"video_key": ["a", "b"], "video_sha256": ["1", "2"], "extraction": ["x", "x"]}
    relations = {
        "roles": pa.table({"video_key": ["a", "b", "c", "d"], "sha256": ["1", "2", "3", "4"], "uri": ["u"] * 4}),
        "extraction_log": pa.table(log),
        "faces": pa.table(faces),
    }
    pending = lake.query("pending_extractions", {"extraction": "x"}, relations)
    assert pending["video_key"].to_pylist() == ["a", "d"]


def test_a_person_in_two_splits_is_refused_by_name(lake: Lake, root: Path, tmp_path: Path) -> None:
    table = tmp_path / "identities.csv"
    table.write_text("video,identity\n001,anna\n002,anna\n")
    spec = DatasetSpec(name="ff", adapter="faceforensics", root=root, identities=table)
    take_inventory(lake, spec, workers=1)
    with pytest.raises(DataError, match=r"anna: train, val \(ff/youtube/c23/001, ff/youtube/c23/002\)"):
        check_identities(lake, ["ff"])
    check_identities(lake, ["another"])


def test_roles_follow_split_label_and_quality(lake: Lake, root: Path) -> None:
    clip(root / "original_sequences/youtube/c40/videos/002.mp4", 5)
    scan(lake, root)
    parameters = {"datasets": ["ff"], "train_compression": "c23", "test_compression": "c40"}
    roles = lake.query("assign_roles", parameters).select(["role", "video_key"]).to_pylist()
    assert [tuple(row.values()) for row in roles] == [
        ("calibration", "ff/youtube/c40/002"),
        ("train", "ff/youtube/c23/000"),
        ("train", "ff/youtube/c23/001"),
        ("validation", "ff/youtube/c23/002"),
    ]


def test_only_main_track_faces_of_good_videos_are_usable(lake: Lake) -> None:
    roles = pa.table({"role": ["train", "train"], "video_key": ["a", "b"], "sha256": ["1", "2"]})
    log = [("a", "1", "x", "ok"), ("b", "2", "x", "few_faces"), ("a", "1", "other", "ok")]
    faces = [("f1", "a", "1", "x", 0), ("f2", "a", "1", "x", 1), ("f3", "b", "2", "x", 0), ("f4", "a", "1", "other", 0),
             ("f5", "a", "old", "x", 0)]  # fmt: skip
    relations = {
        "roles": roles,
        "extraction_log": pa.table(
            dict(
                zip(
                    ("video_key", "video_sha256", "extraction", "status"),
                    map(list, zip(*log, strict=True)),
                    strict=True,
                )
            )
        ),
        "faces": pa.table(
            dict(
                zip(
                    ("face_id", "video_key", "video_sha256", "extraction", "track_id"),
                    map(list, zip(*faces, strict=True)),
                    strict=True,
                )
            )
        ).append_column("frame_index", pa.array(range(len(faces)))),
    }
    usable = lake.query("usable_faces", {"extraction": "x"}, relations)
    assert usable["face_id"].to_pylist() == ["f1"]
