import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest

from data_catalog import inventory as inventory_module
from data_catalog.inventory import Inventory, check_identities, is_unread, take_inventory
from data_catalog.lake import Lake
from data_catalog.schemas import TableName
from difffake.config import DatasetSpec
from difffake.errors import DataError
from difffake.video_writing import write_video

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


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of these tests are seconds old; only the test that watches one grow needs the second look."""
    monkeypatch.setattr(inventory_module, "_SETTLE_S", 0.0)


def counts(inventory: Inventory) -> tuple[int, int, int, int, int]:
    return inventory.present, inventory.added, inventory.changed, inventory.unchanged, inventory.removed


def spec(root: Path, **more: Any) -> DatasetSpec:
    return DatasetSpec(name="ff", adapter="faceforensics", root=str(root), **more)


def scan(lake: Lake, root: Path) -> tuple[int, int, int, int, int]:
    return counts(take_inventory(lake, spec(root), workers=2))


def assign(lake: Lake, train_compression: str = "c23", test_compressions: tuple[str, ...] = ("c23",)) -> pa.Table:
    splits = {"train": "train", "density": "train", "validation": "val", "calibration": "val", "test": "test"}
    roles = pa.Table.from_pylist([{"dataset": "ff", "role": role, "split": split} for role, split in splits.items()])
    parameters = {"train_compression": train_compression, "test_compressions": list(test_compressions)}
    return lake.query("assign_roles", parameters, {"dataset_roles": roles})


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
    assert is_unread(str(video(lake, "003")["sha256"]))
    broken.unlink()
    clip(broken, 9)
    assert scan(lake, root) == (4, 0, 1, 3, 0)


def test_an_identity_of_no_video_is_refused(lake: Lake, root: Path, tmp_path: Path) -> None:
    table = tmp_path / "identities.csv"
    table.write_text("video,identity\n1,anna\n")
    with pytest.raises(DataError, match="first '1'"):
        take_inventory(lake, spec(root, identities=table), workers=1)


def test_an_outcome_counts_only_while_its_faces_are_there(lake: Lake) -> None:
    log = {
        "video_sha256": ["1", "2", "3"],
        "extraction": ["x"] * 3,
        "faces_found": pa.array([2, 1, 0], pa.int32()),
    }
    faces = {"video_sha256": ["1", "2"], "extraction": ["x", "x"]}
    roles = {"video_key": ["a", "b", "c", "d", "same as d"], "sha256": ["1", "2", "3", "4", "4"]}
    relations = {
        "roles": pa.table(
            roles | {"uri": list("uvwxy"), "media": ["video"] * 5, "size_bytes": [1] * 5, "modified_ns": [2] * 5}
        ),
        "extraction_log": pa.table(log),
        "faces": pa.table(faces),
    }
    pending = lake.query("pending_extractions", {"extraction": "x"}, relations)
    assert pending.select(["video_key", "uri"]).to_pylist() == [
        {"video_key": "a", "uri": "u"}, {"video_key": "d", "uri": "x"},
    ]  # fmt: skip


def test_a_person_in_two_splits_is_refused_by_name(lake: Lake, root: Path, tmp_path: Path) -> None:
    table = tmp_path / "identities.csv"
    table.write_text("video,identity\n001,anna\n002,anna\n")
    take_inventory(lake, spec(root, identities=table), workers=1)
    roles = assign(lake)
    with pytest.raises(DataError, match=r"person anna: train, validation \(ff/youtube/c23/001, ff/youtube/c23/002\)"):
        check_identities(lake, roles)
    # Who only teaches harms nobody.
    check_identities(lake, roles.filter(pa.compute.is_in(roles["role"], pa.array(["train", "density"]))))


def test_an_original_and_its_fake_on_two_sides_are_refused(lake: Lake) -> None:
    roles = pa.Table.from_pylist(
        [
            {"role": "train", "video_key": "ff/youtube/c23/000", "sha256": "1", "identity": "a",
             "source_identity": None, "original_key": None},
            {"role": "test", "video_key": "ff/Deepfakes/c23/000_001", "sha256": "2", "identity": "b",
             "source_identity": "c", "original_key": "ff/youtube/c23/000"},
        ]
    )  # fmt: skip
    with pytest.raises(DataError, match="original ff/youtube/c23/000: test, train"):
        check_identities(lake, roles)


def test_one_content_on_two_sides_is_refused(lake: Lake) -> None:
    rows = [
        {"role": role, "video_key": key, "sha256": "same", "identity": key, "source_identity": None,
         "original_key": None}
        for role, key in (("train", "a/x"), ("test", "b/y"))
    ]  # fmt: skip
    schema = pa.schema([(name, pa.string()) for name in rows[0]])
    with pytest.raises(DataError, match=r"content same: test, train \(a/x, b/y\)"):
        check_identities(lake, pa.Table.from_pylist(rows, schema=schema))


def test_what_the_lists_say_anew_is_a_change(lake: Lake, root: Path) -> None:
    scan(lake, root)
    (root / "splits" / "train.json").write_text("[]")
    (root / "splits" / "test.json").write_text('[["000", "001"]]')
    inventory = take_inventory(lake, spec(root), workers=1)
    assert (inventory.relabelled, inventory.unchanged, inventory.is_news) == (2, 1, True)
    assert inventory.changes[0] == ("relabelled", "ff/youtube/c23/000", "split train → test")


def test_another_folder_under_a_known_name_is_refused(lake: Lake, root: Path, tmp_path: Path) -> None:
    scan(lake, root)
    moved = tmp_path / "moved"
    root.rename(moved)
    assert scan(lake, moved) == (3, 0, 0, 3, 0)
    other = tmp_path / "other"
    shutil.copytree(moved / "splits", other / "splits")
    clip(other / "original_sequences/youtube/c23/videos/003.mp4", 3)
    with pytest.raises(DataError, match="give the other folder a name of its own"):
        scan(lake, other)


def test_a_name_of_the_dataset_in_the_identities_file_means_its_person(lake: Lake, root: Path, tmp_path: Path) -> None:
    table = tmp_path / "identities.csv"
    table.write_text("video,identity\n 001 , 000\n")
    take_inventory(lake, spec(root, identities=table), workers=1)
    assert [video(lake, name)["identity"] for name in ("000", "001")] == ["ffpp:000"] * 2


def test_people_carry_the_name_space_of_their_dataset(lake: Lake, root: Path, tmp_path: Path) -> None:
    table = tmp_path / "identities.csv"
    table.write_text("video,identity\n001,anna\n")
    take_inventory(lake, spec(root, identities=table), workers=1)
    assert [video(lake, name)["identity"] for name in ("000", "001")] == ["ffpp:000", "anna"]


def test_test_videos_of_every_quality_asked_for_are_judged(lake: Lake, root: Path) -> None:
    (root / "splits/test.json").write_text('[["004", "005"]]')
    for place in ("youtube/c23/videos/004.mp4", "youtube/c40/videos/004.mp4", "youtube/raw/videos/004.mp4"):
        clip(root / "original_sequences" / place, len(place))
    scan(lake, root)
    rows = assign(lake, "c23", ("c40", "raw")).to_pylist()
    judged = [(row["dataset"], row["compression"], row["video_key"]) for row in rows if row["role"] == "test"]
    assert judged == [("ff", "c40", "ff/youtube/c40/004"), ("ff", "raw", "ff/youtube/raw/004")]


def test_roles_follow_split_label_and_quality(lake: Lake, root: Path) -> None:
    clip(root / "original_sequences/youtube/c40/videos/002.mp4", 5)
    scan(lake, root)
    roles = assign(lake, "c23", ("c40", "c23")).select(["role", "video_key"]).to_pylist()
    # Calibrated on the first of the test qualities alone.
    assert [tuple(row.values()) for row in roles] == [
        ("calibration", "ff/youtube/c40/002"),
        ("density", "ff/youtube/c23/000"),
        ("density", "ff/youtube/c23/001"),
        ("train", "ff/youtube/c23/000"),
        ("train", "ff/youtube/c23/001"),
        ("validation", "ff/youtube/c23/002"),
    ]


def test_learning_sees_the_main_person_and_judging_everybody_seen_long_enough(lake: Lake) -> None:
    roles = [("train", "a", "1"), ("test", "a", "1"), ("test", "b", "2"), ("test", "renamed a", "1")]
    log = [("1", "x", "ok", 10), ("2", "x", "few_faces", 10), ("1", "other", "ok", 10)]
    # face, content, extraction, track, share: track 1 is there in half of the frames, track 2 in one.
    faces = [("main", "1", "x", 0, 1.0), ("second", "1", "x", 1, 0.5), ("passer-by", "1", "x", 2, 0.1),
             ("of few", "2", "x", 0, 0.2), ("cut otherwise", "1", "other", 0, 1.0),
             ("old", "0", "x", 0, 1.0)]  # fmt: skip

    def table(rows: list[tuple[Any, ...]], *names: str) -> pa.Table:
        return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows])

    relations = {
        "roles": table(roles, "role", "video_key", "sha256"),
        "extraction_log": table(log, "video_sha256", "extraction", "status", "frames_sampled"),
        "faces": table(faces, "face_id", "video_sha256", "extraction", "track_id", "track_share").append_column(
            "frame_index", pa.array(range(len(faces)))
        ),
    }
    parameters = {"extraction": "x", "min_track_share": 0.25, "min_faces": 4}
    usable = lake.query("usable_faces", parameters, relations)
    seen = [(row["role"], row["video_key"], row["face_id"]) for row in usable.to_pylist()]
    assert seen == [
        ("test", "a", "main"),
        ("test", "a", "second"),
        ("test", "renamed a", "main"),
        ("test", "renamed a", "second"),
        ("train", "a", "main"),
    ]
    short = lake.query("usable_faces", parameters | {"min_faces": 6}, relations)
    assert "second" not in short["face_id"].to_pylist()


def test_a_renamed_video_is_said_to_be_and_keeps_its_digest(lake: Lake, root: Path) -> None:
    scan(lake, root)
    before = video(lake, "001")
    (root / "original_sequences" / VIDEOS[1]).rename(root / "original_sequences/youtube/c23/videos/004.mp4")
    inventory = take_inventory(lake, spec(root), workers=2)
    assert (inventory.renamed, inventory.added, inventory.removed, inventory.unchanged) == (1, 0, 0, 2)
    assert inventory.changes == (("renamed", "ff/youtube/c23/004", "was ff/youtube/c23/001"),)
    assert video(lake, "004")["sha256"] == before["sha256"]
    assert video(lake, "001")["state"] == "removed"


def test_a_file_that_grows_is_left_for_the_next_scan(
    lake: Lake, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inventory_module, "_SETTLE_S", 0.6)
    clip(tmp_path / "whole.mp4", 9)
    content = (tmp_path / "whole.mp4").read_bytes()
    growing = root / "original_sequences/youtube/c23/videos/003.mp4"
    stop = threading.Event()

    def download() -> None:
        with growing.open("wb", buffering=0) as file:
            for start in range(0, len(content) // 2, 10):
                file.write(content[start : start + 10])
                if stop.wait(0.05):
                    return

    thread = threading.Thread(target=download)
    thread.start()
    try:
        time.sleep(0.1)
        inventory = take_inventory(lake, spec(root), workers=2)
    finally:
        stop.set()
        thread.join()
    assert (inventory.growing, inventory.added) == (1, 3)
    assert video(lake, "003")["state"] == "growing"
    assert "ff/youtube/c23/003" not in assign(lake)["video_key"].to_pylist()
    growing.write_bytes(content)
    assert take_inventory(lake, spec(root), workers=2).growing == 0
    assert video(lake, "003")["state"] == "present"
    assert video(lake, "003")["frames"] == 5


def test_verify_finds_content_that_changed_behind_its_time(lake: Lake, root: Path) -> None:
    scan(lake, root)
    path = root / "original_sequences" / VIDEOS[0]
    stat = path.stat()
    path.write_bytes(bytes(stat.st_size))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert take_inventory(lake, spec(root), workers=2).changed == 0
    assert take_inventory(lake, spec(root), workers=2, verify=True).changed == 1


def test_a_changed_videos_old_row_stays_readable_at_its_version(lake: Lake, root: Path) -> None:
    scan(lake, root)
    version, before = lake.version(TableName.VIDEOS), video(lake, "000")
    clip(root / "original_sequences" / VIDEOS[0], 77)
    scan(lake, root)
    (old,) = lake.read(TableName.VIDEOS, where={"video_key": ["ff/youtube/c23/000"]}, version=version).to_pylist()
    assert old["sha256"] == before["sha256"] != video(lake, "000")["sha256"]


def test_a_scan_is_on_record_when_it_found_something_new(lake: Lake, root: Path) -> None:
    (root / "original_sequences/youtube/c23/videos/holiday.mp4").write_bytes(b"")
    scan(lake, root)
    scan(lake, root)
    (row,) = lake.read(TableName.SCANS).to_pylist()
    assert (row["present"], row["added"], row["removed"]) == (3, 3, 0)
    (unplaced,) = row["unplaced"]
    assert unplaced["file"].endswith("holiday.mp4")
    assert "three digits" in unplaced["reason"]
    (root / "original_sequences" / VIDEOS[2]).unlink()
    scan(lake, root)
    assert lake.query("last_scan", {"dataset": "ff"}).to_pylist()[0]["changes"] == [
        {"change": "removed", "video_key": "ff/youtube/c23/002", "detail": ""}
    ]


def test_a_photo_is_a_video_of_one_frame(lake: Lake, tmp_path: Path) -> None:
    folder = tmp_path / "people" / "Ada"
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / "Ada_0001.jpg"), np.full((40, 60, 3), 120, np.uint8))
    (folder / "Ada_0002.jpg").write_text("not a picture")
    take_inventory(lake, DatasetSpec(name="people", adapter="photos", root=str(tmp_path / "people")), workers=1)
    rows = {row["name"]: row for row in lake.read(TableName.VIDEOS).to_pylist()}
    photo = rows["Ada_0001"]
    assert (photo["media"], photo["frames"], photo["width_px"], photo["height_px"], photo["identity"]) == (
        "photo", 1, 60, 40, "people:Ada",
    )  # fmt: skip
    assert rows["Ada_0002"]["frames"] is None
