from pathlib import Path

import pyarrow as pa
import pytest

from data_catalog.lake import Lake
from data_catalog.schemas import TableName
from data_catalog.upkeep import describe, maintain
from difffake.errors import DataError
from tests.data_catalog.test_lake import pairs


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    lake.create()
    for number in range(6):
        lake.append_missing(TableName.PAIRS, pairs((f"v{number}", f"base {number}", "b")))
    return lake


def rows(lake: Lake) -> list[str]:
    return sorted(lake.read(TableName.PAIRS)["base_id"].to_pylist())


def test_tables_say_what_they_hold(lake: Lake) -> None:
    facts = {fact.name: fact for fact in describe(lake)}
    assert set(facts) == set(TableName)
    assert (facts[TableName.PAIRS].rows, facts[TableName.PAIRS].files, facts[TableName.PAIRS].schema) == (6, 6, 3)
    assert facts[TableName.PAIRS].size_bytes == sum(
        path.stat().st_size for path in (lake.folder.path / "pairs").glob("*.parquet")
    )
    assert facts[TableName.VIDEOS].rows == 0


def test_small_files_are_merged_and_the_rows_stay(lake: Lake) -> None:
    before, version = rows(lake), lake.version(TableName.PAIRS)
    done = {upkeep.name: upkeep for upkeep in maintain(lake)}
    assert (done[TableName.PAIRS].files_before, done[TableName.PAIRS].files_after) == (6, 1)
    assert rows(lake) == before
    # Within the retention older versions stay readable, and writing goes on.
    assert lake.read(TableName.PAIRS, version=version).num_rows == 6
    assert lake.append_missing(TableName.PAIRS, pairs(("v0", "base 0", "b"), ("v9", "base 9", "b"))) == 1
    assert maintain(lake)


def test_past_the_retention_old_files_go(lake: Lake) -> None:
    maintain(lake, retention_h=0)
    assert len(list((lake.folder.path / "pairs").glob("*.parquet"))) == 1
    assert len(rows(lake)) == 6
    with pytest.raises(DataError, match="cannot be read"):
        lake.read(TableName.PAIRS, version=3)


def test_files_a_killed_writer_left_behind_go(lake: Lake) -> None:
    orphan = lake.folder.path / "pairs" / "part-00000-orphan.parquet"
    orphan.write_bytes(b"half a file")
    maintain(lake, retention_h=0)
    assert not orphan.exists()


def test_images_stay_as_they_were(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    lake.create()
    for number in range(3):
        lake.append_missing(TableName.FACES, faces(number))
    maintain(lake)
    assert lake.read(TableName.FACES).sort_by("face_id")["crop_jpeg"].to_pylist() == [bytes([n] * 9) for n in range(3)]


def faces(number: int) -> pa.Table:
    row = {
        "face_id": f"f{number}", "video_sha256": f"{number}", "video_key": "v", "extraction": "x", "frame_index": 0,
        "time_s": 0.0, "track_id": 0, "track_share": 1.0, "bbox_xyxy_px": [0.0] * 4, "detector_score": 1.0,
        "landmarks_px": [0.0] * 136, "crop_jpeg": bytes([number] * 9), "crop_to_frame": [0.0] * 6, "sharpness": 1.0,
    }  # fmt: skip
    return pa.Table.from_pylist([row])
