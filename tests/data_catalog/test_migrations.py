"""A lake as schema version 1 left it, written by hand, and what the migration makes of it."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from data_catalog.faces import read_embeddings
from data_catalog.lake import Lake
from data_catalog.migrations import migrate
from data_catalog.schemas import TABLES, TableName
from difffake.errors import DataError

_GONE = {
    TableName.VIDEOS: ("media",),
    TableName.PSEUDO_FAKES: ("video_sha256",),
    TableName.EMBEDDINGS: ("video_sha256",),
    TableName.PAIRS: ("video_sha256", "track_id"),
    TableName.SCORES: ("track_id", "tracks_judged", "differential", "fusion"),
}
_KEYED_BY_NAME = (TableName.EMBEDDINGS, TableName.PAIRS)


def old_schema(name: TableName) -> pa.Schema:
    fields = [field for field in TABLES[name].schema if field.name not in _GONE.get(name, ())]
    if name in _KEYED_BY_NAME:
        fields.append(pa.field("video_key", pa.string()))
    if name == TableName.EMBEDDINGS:
        fields = [field.with_nullable(False) if field.name == "fake_probability" else field for field in fields]
    return pa.schema(fields)


def filled(name: TableName, **given: Any) -> dict[str, Any]:
    """A row with something in every column."""
    row: dict[str, Any] = {}
    for field in old_schema(name):
        kind = field.type
        if pa.types.is_string(kind):
            row[field.name] = "x"
        elif pa.types.is_list(kind):
            row[field.name] = [1.0]
        elif pa.types.is_binary(kind):
            row[field.name] = b"jpeg"
        elif pa.types.is_timestamp(kind):
            row[field.name] = 0
        elif pa.types.is_boolean(kind):
            row[field.name] = True
        else:
            row[field.name] = 1
    return row | given


OLD: dict[TableName, list[dict[str, Any]]] = {
    TableName.VIDEOS: [
        filled(TableName.VIDEOS, video_key="ff/a", sha256="A"),
        filled(TableName.VIDEOS, video_key="ff/copy of a", sha256="A"),
    ],
    TableName.EXTRACTION_LOG: [
        filled(TableName.EXTRACTION_LOG, video_key="ff/a", video_sha256="A", extraction="e"),
        filled(TableName.EXTRACTION_LOG, video_key="ff/copy of a", video_sha256="A", extraction="e"),
    ],
    TableName.FACES: [
        filled(TableName.FACES, face_id=face, video_key=key, video_sha256="A", extraction="e", track_id=0)
        for key in ("ff/a", "ff/copy of a")
        for face in ("f1", "f2")
    ],
    TableName.PSEUDO_FAKES: [
        filled(TableName.PSEUDO_FAKES, pseudo_fake_id="p", face_id="f1", video_key="ff/a"),
        filled(TableName.PSEUDO_FAKES, pseudo_fake_id="q", face_id="f1", video_key="ff/copy of a"),
    ],
    TableName.EMBEDDINGS: [
        filled(TableName.EMBEDDINGS, face_id=face, backbone="b", video_key=key)
        for key in ("ff/a", "ff/copy of a")
        for face in ("f1", "f2")
    ],
    TableName.PAIRS: [
        filled(TableName.PAIRS, pair_set="s", video_key=key, base_id="f1", partner_id="f2")
        for key in ("ff/a", "ff/copy of a")
    ],
    TableName.SCORES: [
        filled(TableName.SCORES, video_key="ff/a", video_sha256="A", detector="d", score=1.5),
        filled(TableName.SCORES, video_key="ff/b", video_sha256="B", detector="d", score=None),
    ],
}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    for name, rows in OLD.items():
        uri = lake.folder.file_uri(name.value)
        DeltaTable.create(uri, schema=old_schema(name), description=f"{name.value} (schema 1)")
        write_deltalake(uri, pa.Table.from_pylist(rows, schema=old_schema(name)), mode="append")
    return lake


def test_an_old_lake_stops_with_the_command_that_migrates_it(lake: Lake) -> None:
    with pytest.raises(DataError, match="difffake catalog --migrate"):
        lake.read(TableName.FACES)


def test_everything_hangs_on_content_afterwards_and_nothing_is_doubled(lake: Lake) -> None:
    assert migrate(lake) == 7
    assert lake.read(TableName.VIDEOS, ["video_key", "media"]).to_pylist() == [
        {"video_key": "ff/a", "media": "video"},
        {"video_key": "ff/copy of a", "media": "video"},
    ]
    assert lake.read(TableName.EXTRACTION_LOG, ["video_key"])["video_key"].to_pylist() == ["ff/a"]
    faces = lake.read(TableName.FACES, ["face_id", "crop_jpeg"]).sort_by("face_id").to_pylist()
    assert faces == [{"face_id": "f1", "crop_jpeg": b"jpeg"}, {"face_id": "f2", "crop_jpeg": b"jpeg"}]
    embeddings = lake.read(TableName.EMBEDDINGS, ["face_id", "video_sha256"]).sort_by("face_id").to_pylist()
    assert embeddings == [{"face_id": "f1", "video_sha256": "A"}, {"face_id": "f2", "video_sha256": "A"}]
    assert lake.read(TableName.PAIRS, ["video_sha256", "track_id", "base_id"]).to_pylist() == [
        {"video_sha256": "A", "track_id": 0, "base_id": "f1"}
    ]
    assert lake.read(TableName.PSEUDO_FAKES, ["video_sha256"])["video_sha256"].to_pylist() == ["A", "A"]
    columns = ["score", "differential", "fusion", "track_id", "tracks_judged"]
    scores = lake.read(TableName.SCORES, columns).sort_by("score").to_pylist()
    assert scores == [
        {"score": 1.5, "differential": 1.5, "fusion": None, "track_id": 0, "tracks_judged": 1},
        {"score": None, "differential": None, "fusion": None, "track_id": None, "tracks_judged": 0},
    ]
    assert lake.count(TableName.SCANS) == 0


def test_of_version_2_the_scores_alone_change(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    schema = pa.schema([f for f in TABLES[TableName.SCORES].schema if f.name not in ("differential", "fusion")])
    uri = lake.folder.file_uri("scores")
    DeltaTable.create(uri, schema=schema, description="scores (schema 2)")
    row = {field.name: None for field in schema} | {
        "video_key": "ff/a", "video_sha256": "A", "detector": "d", "status": "scored", "reason": "", "score": 2.5,
        "tracks_judged": 1, "faces_used": 4, "pairs_used": 2,
    }  # fmt: skip
    write_deltalake(uri, pa.Table.from_pylist([row], schema=schema), mode="append")
    assert migrate(lake) == 1
    columns = ["score", "differential", "fusion", "faces_used"]
    assert lake.read(TableName.SCORES, columns).to_pylist() == [
        {"score": 2.5, "differential": 2.5, "fusion": None, "faces_used": 4}
    ]
    assert migrate(lake) == 0


def test_embeddings_of_an_untrained_backbone_find_place_in_a_lake_of_schema_2(lake: Lake) -> None:
    migrate(lake)
    spec = TABLES[TableName.EMBEDDINGS]
    uri = lake.folder.file_uri("embeddings")
    stored = lake.read(TableName.EMBEDDINGS)
    place = spec.schema.get_field_index("fake_probability")
    old = spec.schema.set(place, spec.schema.field(place).with_nullable(False))
    write_deltalake(uri, stored.cast(old), mode="overwrite", schema_mode="overwrite")
    for name in TableName:
        lake.open_any(name).alter.set_table_description(f"{name.value} (schema 2)")
    assert migrate(lake) == len(TableName)
    assert lake.read(TableName.EMBEDDINGS).sort_by("face_id") == stored.sort_by("face_id")
    row = {"face_id": "f3", "video_sha256": "A", "backbone": "untrained", "features": [1.0], "fake_probability": None}
    lake.append_missing(TableName.EMBEDDINGS, pa.Table.from_pylist([row], schema=spec.schema))
    kept = lake.read(TableName.EMBEDDINGS, ["face_id", "fake_probability"], {"backbone": ["untrained"]})
    assert kept.to_pylist() == [{"face_id": "f3", "fake_probability": None}]
    assert read_embeddings(lake, "untrained", ["A"]).fake_probability is None
    of_trained = read_embeddings(lake, "b", ["A"])
    assert of_trained.fake_probability is not None
    assert of_trained.of(["f2"]).fake_probability.tolist() == [1.0]


def test_migrating_again_changes_nothing(lake: Lake) -> None:
    migrate(lake)
    versions = {name: lake.version(name) for name in TableName}
    assert migrate(lake) == 0
    assert {name: lake.version(name) for name in TableName} == versions


def test_a_migration_that_was_killed_goes_on(lake: Lake) -> None:
    class KilledError(Exception):
        pass

    def stop(table: str) -> None:
        if table == "faces":
            raise KilledError

    with pytest.raises(KilledError):
        migrate(lake, stop)
    # And between the rewriting of a table and its new description:
    write_deltalake(
        lake.folder.file_uri("videos"),
        lake.open_any(TableName.VIDEOS).to_pyarrow_table(),
        mode="overwrite",
    )
    lake.open_any(TableName.VIDEOS).alter.set_table_description("videos (schema 1)")
    assert migrate(lake) == 5
    assert lake.count(TableName.EMBEDDINGS) == 2
    assert lake.count(TableName.VIDEOS) == 2


def test_a_lake_from_the_future_is_left_alone(lake: Lake) -> None:
    lake.open_any(TableName.VIDEOS).alter.set_table_description("videos (schema 9)")
    with pytest.raises(DataError, match="has schema 9"):
        migrate(lake)
