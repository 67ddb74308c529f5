"""Looking after the lake: what the tables hold, merging small files, deleting what no version in use needs."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import pyarrow as pa
from deltalake import DeltaTable

from data_catalog.lake import Lake, schema_version, writer_properties
from data_catalog.schemas import TABLES, TableName, TableSpec

DEFAULT_RETENTION_H = 7 * 24
_TARGET_BYTES = 256 << 20


@dataclass(frozen=True)
class TableFacts:
    """What a table holds now.

    Attributes:
        version: the current one; any version that vacuum has left can be read.
        schema: schema version; None when the description states none.
        rows: by the log.
        files: Parquet files of the current version.
        size_bytes: of these files.
        changed_at: when the last commit was made.
    """

    name: TableName
    meaning: str
    version: int
    schema: int | None
    rows: int
    files: int
    size_bytes: int
    changed_at: datetime


@dataclass(frozen=True)
class Upkeep:
    """What maintenance did to a table."""

    name: TableName
    files_before: int
    files_after: int
    files_deleted: int


def describe(lake: Lake) -> list[TableFacts]:
    """The tables that are there, whatever their schema version."""
    return [_describe(name, lake.open_any(name)) for name in TABLES if lake.has(name)]


def maintain(
    lake: Lake, retention_h: int = DEFAULT_RETENTION_H, on_table: Callable[[Upkeep], None] | None = None
) -> list[Upkeep]:
    """Merge small files, then delete files no version younger than the retention needs. Readers are not disturbed.

    Versions older than the retention can no longer be read afterwards. Safe to run again, and beside a refresh as long
    as the retention is longer than a write: a merge that loses a race is tried again, younger files are never deleted.

    Raises:
        DataError: a table cannot be read or written.
    """
    done = []
    for name, spec in TABLES.items():
        before = len(lake.open(name).file_uris())
        lake.commit(spec, partial(_compact, spec))
        opened = lake.open(name)
        # Full: also what a killed writer left without ever committing it.
        deleted = opened.vacuum(retention_h, dry_run=False, enforce_retention_duration=False, full=True)
        opened.create_checkpoint()
        opened.cleanup_metadata()
        upkeep = Upkeep(name, before, len(lake.open(name).file_uris()), len(deleted))
        done.append(upkeep)
        if on_table is not None:
            on_table(upkeep)
    return done


def _compact(spec: TableSpec, opened: DeltaTable) -> None:
    opened.optimize.compact(target_size=_TARGET_BYTES, writer_properties=writer_properties(spec))


def _describe(name: TableName, opened: DeltaTable) -> TableFacts:
    actions = pa.table(opened.get_add_actions(flatten=True))
    last = opened.history(1)[0]["timestamp"]
    return TableFacts(
        name=name,
        meaning=TABLES[name].meaning,
        version=opened.version(),
        schema=schema_version(opened),
        rows=sum(actions["num_records"].to_pylist()),
        files=actions.num_rows,
        size_bytes=sum(actions["size_bytes"].to_pylist()),
        changed_at=datetime.fromtimestamp(last / 1000, UTC),
    )
