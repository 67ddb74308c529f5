"""From one schema version of the lake to the next; each table on its own, so that a killed migration goes on.

1 → 2: what is made of a video hangs on its content instead of its name; photos, people by track, and scans appear.
2 → 3: a score table holds three scores beside the one that decides; an embedding may lack the fake
probability, that of a backbone that was not trained.
"""

from collections.abc import Callable
from typing import Any

import duckdb
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from data_catalog.database import literal
from data_catalog.lake import SCHEMA_VERSION, Lake, describe_table, schema_version, writer_properties
from data_catalog.schemas import TABLES, TableName
from difffake.errors import DataError

_OLDEST = 1
_FACES_WITHOUT_IMAGES = ["face_id", "video_key", "video_sha256", "track_id"]


def migrate(lake: Lake, on_table: Callable[[str], None] | None = None) -> int:
    """Bring every table to the current schema version and return how many were changed.

    Raises:
        DataError: a table is missing, or of a version this code does not know.
    """
    changed = 0
    for name, spec in TABLES.items():
        if not lake.has(name):
            continue
        opened = lake.open_any(name)
        seen = schema_version(opened)
        if seen == SCHEMA_VERSION:
            continue
        if seen is None or not _OLDEST <= seen < SCHEMA_VERSION:
            raise DataError(
                f"table {name.value} of {lake.folder} has schema {seen}; this version of difffake migrates "
                f"{_OLDEST} to {SCHEMA_VERSION}"
            )
        _FROM[seen].get(name, _nothing)(lake, opened)
        lake.open_any(name).alter.set_table_description(describe_table(spec))
        changed += 1
        if on_table is not None:
            on_table(name.value)
    lake.create()
    return changed


def _rewrite(lake: Lake, name: TableName, opened: DeltaTable, query: str) -> None:
    """Replace a table by what a query makes of it and of the faces; nothing to do when a killed run has done it."""
    spec = TABLES[name]
    if set(_columns(opened)) == set(spec.schema.names):
        return
    relations = {"old": opened.to_pyarrow_dataset().to_table()}
    if "faces" in query:
        faces = lake.open_any(TableName.FACES).to_pyarrow_dataset()
        relations["faces"] = faces.to_table(columns=_FACES_WITHOUT_IMAGES)
    rows = _ask(query, relations).select(spec.schema.names).cast(spec.schema)
    write_deltalake(opened, rows, mode="overwrite", schema_mode="overwrite", writer_properties=writer_properties(spec))


def _videos(lake: Lake, opened: DeltaTable) -> None:
    # People get their name spaces at the next scan, which knows the dataset.
    _rewrite(lake, TableName.VIDEOS, opened, "SELECT *, 'video' AS media FROM old")


def _pseudo_fakes(lake: Lake, opened: DeltaTable) -> None:
    _rewrite(
        lake,
        TableName.PSEUDO_FAKES,
        opened,
        "SELECT old.*, faces.video_sha256 FROM old JOIN faces ON faces.face_id = old.face_id",
    )


def _embeddings(lake: Lake, opened: DeltaTable) -> None:
    _rewrite(
        lake,
        TableName.EMBEDDINGS,
        opened,
        "SELECT DISTINCT ON (old.face_id, old.backbone) old.face_id, faces.video_sha256, old.backbone, old.features, "
        "old.fake_probability FROM old JOIN faces ON faces.face_id = old.face_id",
    )


def _pairs(lake: Lake, opened: DeltaTable) -> None:
    _rewrite(
        lake,
        TableName.PAIRS,
        opened,
        "SELECT DISTINCT old.pair_set, old.relation, faces.video_sha256, faces.track_id, old.base_id, old.partner_id "
        "FROM old JOIN faces ON faces.face_id = old.base_id",
    )


# Until version 3 the differential score was the one that decided.
_THREE_SCORES = "score AS differential, CAST(NULL AS DOUBLE) AS fusion"


def _scores_of_1(lake: Lake, opened: DeltaTable) -> None:
    _rewrite(
        lake,
        TableName.SCORES,
        opened,
        f"SELECT *, {_THREE_SCORES}, CASE WHEN score IS NOT NULL THEN 0 END AS track_id, "
        "CASE WHEN score IS NOT NULL THEN 1 ELSE 0 END AS tracks_judged FROM old",
    )


def _scores_of_2(lake: Lake, opened: DeltaTable) -> None:
    _rewrite(lake, TableName.SCORES, opened, f"SELECT *, {_THREE_SCORES} FROM old")


def _without_doubles(_lake: Lake, opened: DeltaTable) -> None:
    """Content that was extracted under several names is kept under the first; columns stay as they are."""
    doubles = opened.to_pyarrow_dataset().to_table(columns=["video_key", "video_sha256", "extraction"])
    later = _ask(
        "SELECT video_key, video_sha256, extraction FROM (SELECT DISTINCT * FROM doubles) "
        "QUALIFY row_number() OVER (PARTITION BY video_sha256, extraction ORDER BY video_key) > 1 ORDER BY ALL",
        {"doubles": doubles},
    ).to_pylist()
    for row in later:
        opened.delete(" AND ".join(f"{column} = {literal(value)}" for column, value in row.items()))
        opened.update_incremental()


def _fake_probability_may_be_null(_lake: Lake, opened: DeltaTable) -> None:
    fields = {field.name: field for field in opened.schema().fields}
    if fields["fake_probability"].nullable:
        return
    spec = TABLES[TableName.EMBEDDINGS]
    # Read as it is written: vectors of a million faces are gigabytes.
    rows = opened.to_pyarrow_dataset().scanner(columns=spec.schema.names).to_reader().cast(spec.schema)
    write_deltalake(opened, rows, mode="overwrite", schema_mode="overwrite", writer_properties=writer_properties(spec))


def _nothing(_lake: Lake, _opened: DeltaTable) -> None:
    """The table is as it was."""


_FROM: dict[int, dict[TableName, Callable[[Lake, DeltaTable], None]]] = {
    1: {
        TableName.VIDEOS: _videos,
        TableName.EXTRACTION_LOG: _without_doubles,
        TableName.FACES: _without_doubles,
        TableName.PSEUDO_FAKES: _pseudo_fakes,
        TableName.EMBEDDINGS: _embeddings,
        TableName.PAIRS: _pairs,
        TableName.SCORES: _scores_of_1,
    },
    2: {TableName.EMBEDDINGS: _fake_probability_may_be_null, TableName.SCORES: _scores_of_2},
}
"""How each table comes from an older version to the current one; those not named are as they were."""


def _columns(opened: DeltaTable) -> list[str]:
    return [field.name for field in opened.schema().fields]


def _ask(query: str, relations: dict[str, pa.Table]) -> pa.Table:
    with duckdb.connect(":memory:", config={"autoinstall_known_extensions": "false"}) as connection:
        for name, rows in relations.items():
            connection.register(name, rows)
        answer: Any = connection.sql(query).to_arrow_table()
        return answer
