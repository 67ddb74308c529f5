"""Lake and source folders in an object store: a real S3 API on loopback."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import pytest
import s3fs

from data_catalog import data_files, database
from data_catalog.data_files import DataFiles
from data_catalog.inventory import take_inventory
from data_catalog.lake import Lake
from data_catalog.schemas import TableName
from data_catalog.storage import Folder, fetched, stat_uri
from data_catalog.upkeep import describe, maintain
from difffake.config import DatasetSpec
from difffake.errors import DataError
from tests.data_catalog.test_inventory import clip
from tests.data_catalog.test_lake import pairs
from tests.helpers.preloaded import Preloaded
from tests.helpers.s3 import BUCKET, s3_server


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[dict[str, str]]:
    with s3_server() as environment:
        yield environment


@pytest.fixture
def place(request: pytest.FixtureRequest) -> str:
    return f"s3://{BUCKET}/{request.node.name[:40]}"


def upload(local: Path, uri: str) -> None:
    fsspec.filesystem("s3").put(str(local), uri)


def test_tables_are_written_read_replaced_and_merged(place: str) -> None:
    lake = Lake(f"{place}/the lake")
    lake.create()
    lake.create()
    assert lake.append_missing(TableName.PAIRS, pairs(("v", "a", "b"), ("v", "c", "b"))) == 2
    assert lake.append_missing(TableName.PAIRS, pairs(("v", "a", "b"), ("w", "d", "b"))) == 1
    lake.upsert(TableName.PAIRS, pairs(("v", "c", "b"), relation="reference"))
    assert lake.read(TableName.PAIRS, ["base_id"], {"relation": ["reference"]})["base_id"].to_pylist() == ["c"]
    assert lake.delete(TableName.PAIRS, {"video_sha256": ["w"]}) == 1
    maintain(lake, retention_h=0)
    assert lake.ask("SELECT count(*) FROM pairs")[1] == [(2,)]
    with pytest.raises(DataError):
        lake.ask("SELECT * FROM read_text('/etc/hostname')")
    assert next(fact.files for fact in describe(lake) if fact.name is TableName.PAIRS) == 1


def test_a_small_data_file_is_fetched_once_and_nothing_else_is_asked_for(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Lake(place)
    lake.create()
    for number in range(3):
        lake.append_missing(TableName.PAIRS, pairs((f"v{number}", "a", "b")))
    asked: list[str] = []
    call = s3fs.S3FileSystem._call_s3

    async def noted_call(self: s3fs.S3FileSystem, method: str, *arguments: Any, **named: Any) -> Any:
        asked.append(method)
        return await call(self, method, *arguments, **named)

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", noted_call)
    fresh = DataFiles("s3")
    monkeypatch.setattr(database, "_data_files", lambda _process, _scheme: fresh)
    database._database.cache_clear()
    try:
        for _ in range(2):
            assert lake.read(TableName.PAIRS).num_rows == 3
            assert lake.count(TableName.PAIRS) == 3
            assert lake.ask("SELECT count(*) FROM pairs")[1] == [(3,)]
        assert asked == ["get_object"] * 3
        # One too large to be kept is read where it is wanted.
        asked.clear()
        monkeypatch.setattr(data_files, "_WHOLE_BYTES", 100)
        assert lake.read(TableName.PAIRS).num_rows == 3
        assert asked.count("get_object") >= 3
    finally:
        database._database.cache_clear()


def test_no_more_is_kept_than_fits(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    filesystem = fsspec.filesystem("s3")
    monkeypatch.setattr(data_files, "_KEPT_BYTES", 25)
    files = DataFiles("s3")
    for number in range(4):
        filesystem.pipe(f"{place}/{number}", bytes([number]) * 10)
        files.know({f"{place}/{number}": 10})
        with files.open(f"{place}/{number}") as file:
            assert file.read() == bytes([number]) * 10
    assert list(files._contents) == [f"{place}/2", f"{place}/3"]
    with pytest.raises(FileNotFoundError):
        files.info(f"{place}/4")


@pytest.mark.parametrize("whole_bytes", [8 * 2**20, 0])
def test_a_lost_data_file_is_one_clear_error(place: str, whole_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_files, "_WHOLE_BYTES", whole_bytes)
    place = f"{place}/{whole_bytes}"
    lake = Lake(place)
    lake.create()
    lake.append_missing(TableName.PAIRS, pairs(("v", "a", "b")))
    filesystem = fsspec.filesystem("s3")
    (lost,) = filesystem.glob(f"{place}/pairs/*.parquet")
    filesystem.rm(lost)
    for question in (
        lambda: lake.read(TableName.PAIRS),
        lambda: lake.count(TableName.PAIRS),
        lambda: lake.ask("SELECT base_id FROM pairs"),
    ):
        with pytest.raises(DataError, match=r"cannot be read: FileNotFoundError: .* Restore its files") as error:
            question()
        assert "Traceback" not in str(error.value)
        assert "\n" not in str(error.value)


def append_shared(place: str, part: int) -> None:
    lake = Lake(place)
    for number in range(4):
        lake.append_missing(TableName.PAIRS, pairs((f"v{part}", f"{part}-{number}", "b"), ("shared", f"{number}", "b")))


def test_two_machines_that_write_at_once_never_write_a_row_twice(plain: Preloaded, place: str) -> None:
    lake = Lake(place)
    lake.create()
    with ThreadPoolExecutor(2) as both:
        for done in [both.submit(plain.run, append_shared, place, part) for part in range(2)]:
            done.result()
    bases = lake.read(TableName.PAIRS)["base_id"].to_pylist()
    assert sorted(bases) == sorted([f"{p}-{n}" for p in range(2) for n in range(4)] + [f"{n}" for n in range(4)])


def test_a_folder_is_listed_read_and_fetched(place: str, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"abc")
    (tmp_path / "list.txt").write_text("ünïcode", encoding="utf-8")
    upload(tmp_path / "clip.mp4", f"{place}/real/a b/ü.mp4")
    upload(tmp_path / "list.txt", f"{place}/list.txt")
    folder = Folder.of(f"{place}/")
    assert [file.relative for file in folder.files()] == ["list.txt", "real/a b/ü.mp4"]
    assert folder.files()[1].size_bytes == 3
    assert folder.files()[1].modified_ns > 0
    assert folder.top_names() == ["list.txt", "real/"]
    assert folder.read_text("list.txt") == "ünïcode"
    uri = folder.file_uri("real/a b/ü.mp4")
    assert stat_uri(uri) == (3, folder.files()[1].modified_ns)
    with fetched(uri) as path:
        assert path.read_bytes() == b"abc"
        assert path.suffix == ".mp4"
    assert not path.exists()
    assert Folder.of(f"{place}/nothing").top_names() == []
    with pytest.raises(DataError, match="cannot read"):
        folder.read_text("missing.txt")


def test_an_inventory_of_a_bucket(place: str, tmp_path: Path) -> None:
    for number, name in enumerate(("real/ann.mp4", "fake/ann.mp4")):
        clip(tmp_path / name, number)
        upload(tmp_path / name, f"{place}/data/{name}")
    lake = Lake(f"{place}/lake")
    lake.create()
    spec = DatasetSpec(name="own", adapter="folder", root=f"{place}/data")
    assert take_inventory(lake, spec, workers=2).added == 2
    rows = lake.read(TableName.VIDEOS, ["uri", "frames", "label"]).sort_by("uri").to_pylist()
    assert [(row["label"], row["frames"]) for row in rows] == [("fake", 5), ("real", 5)]
    assert rows[0]["uri"] == f"{place}/data/fake/ann.mp4"
    again = take_inventory(lake, spec, workers=2)
    assert (again.unchanged, again.is_news) == (2, False)


def test_a_bucket_that_is_not_there_is_one_clear_error_without_secrets(server: dict[str, str]) -> None:
    with pytest.raises(DataError) as caught:
        Lake("s3://no-such-bucket/lake").create()
    assert server["AWS_SECRET_ACCESS_KEY"] not in str(caught.value)
    with pytest.raises(DataError, match="no-such-bucket"):
        take_inventory(
            Lake(f"s3://{BUCKET}/x"), DatasetSpec(name="a", adapter="folder", root="s3://no-such-bucket"), workers=1
        )
