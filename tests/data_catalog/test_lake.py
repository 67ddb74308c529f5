import multiprocessing
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from data_catalog.lake import Lake
from data_catalog.schemas import TABLES, TableName
from difffake.errors import DataError


def pairs(*rows: tuple[str, str, str], relation: str = "same_video") -> pa.Table:
    return pa.table(
        {
            "pair_set": ["s"] * len(rows),
            "relation": [relation] * len(rows),
            "video_key": [row[0] for row in rows],
            "base_id": [row[1] for row in rows],
            "partner_id": [row[2] for row in rows],
        }
    )


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    lake.create()
    return lake


def test_every_table_exists_empty_and_creating_again_keeps_rows(lake: Lake) -> None:
    lake.append_missing(TableName.PAIRS, pairs(("v", "a", "b")))
    lake.create()
    assert {table: lake.count(table) for table in TableName} == {
        table: int(table is TableName.PAIRS) for table in TableName
    }


def test_every_column_says_what_it_means() -> None:
    for spec in TABLES.values():
        assert set(spec.key) <= set(spec.schema.names)
        for column in spec.schema:
            assert column.metadata[b"meaning"], f"{spec.name}.{column.name}"


def test_appending_the_same_rows_again_changes_nothing(lake: Lake) -> None:
    rows = pairs(("v", "a", "b"), ("v", "c", "b"), ("w'1", "a", "b"))
    assert lake.append_missing(TableName.PAIRS, rows) == 3
    version = lake.version(TableName.PAIRS)
    assert lake.append_missing(TableName.PAIRS, rows) == 0
    assert lake.append_missing(TableName.PAIRS, pairs(("v", "a", "b"), ("v", "new", "b"), ("v", "new", "b"))) == 1
    assert lake.count(TableName.PAIRS) == 4
    assert lake.version(TableName.PAIRS) == version + 1


def test_upsert_replaces_rows_of_known_keys_and_the_old_version_stays_readable(lake: Lake) -> None:
    lake.append_missing(TableName.PAIRS, pairs(("v", "a", "b"), ("v", "c", "b")))
    before = lake.version(TableName.PAIRS)
    lake.upsert(TableName.PAIRS, pairs(("v", "a", "b"), ("x", "a", "b"), relation="reference"))
    rows = lake.read(TableName.PAIRS, ["video_key", "base_id", "relation"]).to_pylist()
    assert {tuple(row.values()) for row in rows} == {
        ("v", "a", "reference"),
        ("v", "c", "same_video"),
        ("x", "a", "reference"),
    }
    assert set(lake.read(TableName.PAIRS, ["relation"], version=before)["relation"].to_pylist()) == {"same_video"}


def test_delete_takes_texts_with_quotes_literally(lake: Lake) -> None:
    lake.append_missing(TableName.PAIRS, pairs(("a' OR 'x'='x", "1", "2"), ("b", "1", "2")))
    assert lake.delete(TableName.PAIRS, {"video_key": ["a' OR 'x'='x"]}) == 1
    assert lake.delete(TableName.PAIRS, {"video_key": []}) == 0
    assert lake.read(TableName.PAIRS)["video_key"].to_pylist() == ["b"]


def test_rows_that_do_not_fit_are_refused(lake: Lake) -> None:
    with pytest.raises(DataError, match="pairs"):
        lake.append_missing(TableName.PAIRS, pairs(("v", "a", "b")).drop_columns(["relation"]))


def test_a_lake_that_was_never_made_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no readable table videos"):
        Lake(tmp_path / "nowhere").count(TableName.VIDEOS)


def test_a_table_of_another_schema_version_is_refused(lake: Lake) -> None:
    table = DeltaTable(str(lake.root / "pairs"))
    table.alter.set_table_description("pairs (schema 99)")
    with pytest.raises(DataError, match=r"schema 99.*reads schema 1"):
        lake.count(TableName.PAIRS)


@pytest.mark.parametrize("name", ["My Project", "ümlaut", "ha#sh", "q?m", "st*r", "a'b"])
def test_the_work_folder_may_have_a_name_with_signs(tmp_path: Path, name: str) -> None:
    lake = Lake(tmp_path / name / "lake")
    lake.create()
    assert lake.append_missing(TableName.PAIRS, pairs(("v", "a", "b"))) == 1
    assert lake.append_missing(TableName.PAIRS, pairs(("v", "a", "b"), ("v", "c", "b"))) == 1
    lake.upsert(TableName.PAIRS, pairs(("v", "c", "b"), relation="reference"))
    assert lake.read(TableName.PAIRS, ["base_id"], {"relation": ["reference"]})["base_id"].to_pylist() == ["c"]
    assert lake.delete(TableName.PAIRS, {"video_key": ["v"]}) == 2
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["per%20cent", "br[1]ack"])
def test_names_the_delta_library_cannot_take_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="Name another folder"):
        Lake(tmp_path / name / "lake").create()
    assert list(tmp_path.iterdir()) == []


def test_a_lost_file_of_a_table_is_one_clear_error(lake: Lake) -> None:
    lake.append_missing(TableName.PAIRS, pairs(("v", "a", "b")))
    next((lake.root / "pairs").glob("*.parquet")).unlink()
    with pytest.raises(DataError, match="cannot be read"):
        lake.read(TableName.PAIRS)


def append_part(root: Path, part: int) -> None:
    lake = Lake(root)
    for number in range(5):
        lake.append_missing(TableName.PAIRS, pairs((f"v{part}", f"{number}", "b")))


def test_appends_of_several_processes_all_land(lake: Lake) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=append_part, args=(lake.root, part)) for part in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    rows = lake.read(TableName.PAIRS, ["video_key", "base_id"]).to_pylist()
    assert {tuple(row.values()) for row in rows} == {(f"v{part}", f"{n}") for part in range(3) for n in range(5)}
    assert len(rows) == 15
