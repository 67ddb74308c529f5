from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from data_catalog.lake import Lake
from data_catalog.schemas import TABLES, TableName
from difffake.errors import DataError
from tests.helpers.preloaded import Preloaded


def pairs(*rows: tuple[str, str, str], relation: str = "same_video") -> pa.Table:
    return pa.table(
        {
            "pair_set": ["s"] * len(rows),
            "relation": [relation] * len(rows),
            "video_sha256": [row[0] for row in rows],
            "track_id": [0] * len(rows),
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
    rows = pairs(("v", "a", "b"), ("v", "c", "b"), ("w'1", "d", "e"))
    assert lake.append_missing(TableName.PAIRS, rows) == 3
    version = lake.version(TableName.PAIRS)
    assert lake.append_missing(TableName.PAIRS, rows) == 0
    assert lake.append_missing(TableName.PAIRS, pairs(("v", "a", "b"), ("v", "new", "b"), ("v", "new", "b"))) == 1
    assert lake.count(TableName.PAIRS) == 4
    assert lake.version(TableName.PAIRS) == version + 1


def test_upsert_replaces_rows_of_known_keys_and_the_old_version_stays_readable(lake: Lake) -> None:
    lake.append_missing(TableName.PAIRS, pairs(("v", "a", "b"), ("v", "c", "b")))
    before = lake.version(TableName.PAIRS)
    lake.upsert(TableName.PAIRS, pairs(("v", "a", "b"), ("x", "d", "b"), relation="reference"))
    rows = lake.read(TableName.PAIRS, ["video_sha256", "base_id", "relation"]).to_pylist()
    assert {tuple(row.values()) for row in rows} == {
        ("v", "a", "reference"),
        ("v", "c", "same_video"),
        ("x", "d", "reference"),
    }
    assert set(lake.read(TableName.PAIRS, ["relation"], version=before)["relation"].to_pylist()) == {"same_video"}


def test_delete_takes_texts_with_quotes_literally(lake: Lake) -> None:
    lake.append_missing(TableName.PAIRS, pairs(("a' OR 'x'='x", "1", "2"), ("b", "3", "4")))
    assert lake.delete(TableName.PAIRS, {"video_sha256": ["a' OR 'x'='x"]}) == 1
    assert lake.delete(TableName.PAIRS, {"video_sha256": []}) == 0
    assert lake.read(TableName.PAIRS)["video_sha256"].to_pylist() == ["b"]


def test_rows_that_do_not_fit_are_refused(lake: Lake) -> None:
    with pytest.raises(DataError, match="pairs"):
        lake.append_missing(TableName.PAIRS, pairs(("v", "a", "b")).drop_columns(["relation"]))


def test_a_lake_that_was_never_made_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no readable table videos"):
        Lake(tmp_path / "nowhere").count(TableName.VIDEOS)


def test_a_table_of_another_schema_version_is_refused(lake: Lake) -> None:
    table = DeltaTable(str(lake.folder.path / "pairs"))
    table.alter.set_table_description("pairs (schema 99)")
    with pytest.raises(DataError, match=r"schema 99.*reads schema 3: use the version that wrote it"):
        lake.count(TableName.PAIRS)
    DeltaTable(str(lake.folder.path / "pairs")).alter.set_table_description("pairs (schema 1)")
    with pytest.raises(DataError, match=r"schema 1;.*difffake catalog --migrate"):
        lake.count(TableName.PAIRS)


@pytest.mark.parametrize("name", ["My Project", "ümlaut", "ha#sh", "q?m", "st*r", "a'b"])
def test_the_work_folder_may_have_a_name_with_signs(tmp_path: Path, name: str) -> None:
    lake = Lake(tmp_path / name / "lake")
    lake.create()
    assert lake.append_missing(TableName.PAIRS, pairs(("v", "a", "b"))) == 1
    assert lake.append_missing(TableName.PAIRS, pairs(("v", "a", "b"), ("v", "c", "b"))) == 1
    lake.upsert(TableName.PAIRS, pairs(("v", "c", "b"), relation="reference"))
    assert lake.read(TableName.PAIRS, ["base_id"], {"relation": ["reference"]})["base_id"].to_pylist() == ["c"]
    assert lake.delete(TableName.PAIRS, {"video_sha256": ["v"]}) == 2
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["per%20cent", "br[1]ack"])
def test_names_the_delta_library_cannot_take_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="Name another folder"):
        Lake(tmp_path / name / "lake").create()
    assert list(tmp_path.iterdir()) == []


def test_a_lost_file_of_a_table_is_one_clear_error(lake: Lake) -> None:
    lake.append_missing(TableName.PAIRS, pairs(("v", "a", "b")))
    next((lake.folder.path / "pairs").glob("*.parquet")).unlink()
    with pytest.raises(DataError, match="cannot be read"):
        lake.read(TableName.PAIRS)


def append_part(root: Path, part: int) -> None:
    lake = Lake(root)
    for number in range(5):
        lake.append_missing(TableName.PAIRS, pairs((f"v{part}", f"{part}-{number}", "b"), ("shared", f"{number}", "b")))


def test_appends_of_several_processes_all_land_and_none_lands_twice(plain: Preloaded, lake: Lake) -> None:
    with ThreadPoolExecutor(3) as all_at_once:
        for done in [all_at_once.submit(plain.run, append_part, lake.folder.path, part) for part in range(3)]:
            done.result()
    rows = [tuple(row.values()) for row in lake.read(TableName.PAIRS, ["video_sha256", "base_id"]).to_pylist()]
    own = [(f"v{part}", f"{part}-{n}") for part in range(3) for n in range(5)]
    assert sorted(rows) == sorted(own + [("shared", f"{n}") for n in range(5)])


def test_a_writer_that_looked_before_another_wrote_looks_again(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    look = Lake._missing
    rivals = iter([pairs(("v", "a", "b")), pairs(("v", "c", "b"))])

    def look_then_be_overtaken(self: Lake, *arguments: Any) -> pa.Table:
        new = look(self, *arguments)
        if (rival := next(rivals, None)) is not None:
            monkeypatch.setattr(Lake, "_missing", look)
            Lake(self.folder.path).append_missing(TableName.PAIRS, rival)
            monkeypatch.setattr(Lake, "_missing", look_then_be_overtaken)
        return new

    monkeypatch.setattr(Lake, "_missing", look_then_be_overtaken)
    assert lake.append_missing(TableName.PAIRS, pairs(("v", "a", "b"), ("v", "c", "b"), ("v", "d", "b"))) == 1
    assert sorted(lake.read(TableName.PAIRS)["base_id"].to_pylist()) == ["a", "c", "d"]


def test_only_files_that_may_hold_a_wanted_value_are_read(lake: Lake) -> None:
    for content in ("a", "c", "e"):
        lake.append_missing(TableName.PAIRS, pairs((content, f"base {content}", "b")))
    files = sorted((lake.folder.path / "pairs").glob("*.parquet"), key=lambda path: path.stat().st_mtime_ns)
    files[0].unlink()
    files[2].unlink()
    assert lake.read(TableName.PAIRS, where={"video_sha256": ["c", "d"]})["base_id"].to_pylist() == ["base c"]
    assert lake.append_missing(TableName.PAIRS, pairs(("c", "base c", "b"))) == 0


def test_users_ask_read_only_questions(lake: Lake) -> None:
    lake.append_missing(TableName.PAIRS, pairs(("v", "a", "b"), ("v", "c", "b")))
    assert lake.ask("SELECT video_sha256, count(*) AS n FROM pairs GROUP BY ALL") == (["video_sha256", "n"], [("v", 2)])
    assert "base_id" in [row[0] for row in lake.ask("DESCRIBE pairs")[1]]
    for question in (
        "COPY (SELECT 1) TO 'stolen.csv'",
        "DROP VIEW pairs",
        "SELECT 1; SELECT 2",
        "SELECT * FROM read_text('/etc/hostname')",
        f"SELECT * FROM read_csv('{lake.folder.path.parent}/secret.csv')",
        "SET enable_external_access = true",
        f"EXPLAIN ANALYZE COPY (SELECT 1) TO '{lake.folder.path}/pairs/stolen.parquet'",
        "SELECT nothing FROM nowhere",
        "",
    ):
        with pytest.raises(DataError):
            lake.ask(question)
