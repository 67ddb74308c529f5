"""The lake: Parquet files under a Delta log. The only module that opens Delta tables or DuckDB.

Writes are appends that skip rows already there (`append_missing`), so a stage that was killed between two tables
can simply be run again: keys are functions of content, and equal keys mean equal rows. DuckDB connections live in
memory; a query is a file of `sql/` and sees tables under their names.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, WriterProperties, write_deltalake
from deltalake.exceptions import DeltaError
from deltalake.writer.properties import ColumnProperties

from data_catalog.schemas import TABLES, TableName, TableSpec
from difffake.errors import DataError

SCHEMA_VERSION = 1
# deltalake 1.6 decodes a percent sign twice and panics on brackets.
_UNUSABLE_CHARACTERS = frozenset("%[]")


class Lake:
    """The tables below one folder.

    Raises:
        DataError: the path holds a character the Delta library cannot take, a table cannot be opened, or it was
            written under another schema version.
    """

    def __init__(self, root: Path) -> None:
        faulty = sorted(set(str(root.resolve())) & _UNUSABLE_CHARACTERS)
        if faulty:
            raise DataError(
                f"the tables cannot be kept at {root.resolve()}: the Delta library takes no {' '.join(faulty)} in a "
                "path. Name another folder with --home."
            )
        self.root = root

    def create(self) -> None:
        """Make every table that is not there yet, empty. Safe to call again."""
        for spec in TABLES.values():
            if not DeltaTable.is_deltatable(self._uri(spec.name)):
                DeltaTable.create(
                    self._uri(spec.name),
                    schema=spec.schema,
                    mode="ignore",
                    name=spec.name.value,
                    description=f"{spec.meaning} (schema {SCHEMA_VERSION})",
                    configuration={"delta.dataSkippingStatsColumns": ",".join(spec.skipping)},
                )

    def version(self, table: TableName) -> int:
        """The current Delta version of a table."""
        return int(self._open(table).version())

    def count(self, table: TableName) -> int:
        """The number of rows of a table."""
        with _connection() as connection:
            self._show(connection, TABLES[table])
            (rows,) = connection.sql(f"SELECT count(*) FROM {table.value}").fetchall()
            return int(rows[0])

    def read(
        self,
        table: TableName,
        columns: Sequence[str] | None = None,
        where: Mapping[str, Sequence[Any]] | None = None,
        version: int | None = None,
    ) -> pa.Table:
        """Rows whose `where` columns hold one of the given values, as they were at `version` (default: now)."""
        schema = TABLES[table].schema
        names = list(columns or schema.names)
        terms = [f"{column} IN (SELECT unnest(${column}))" for column in where or {}]
        text = f"SELECT {', '.join(names)} FROM {table.value}" + (f" WHERE {' AND '.join(terms)}" if terms else "")
        parameters = {column: list(values) for column, values in (where or {}).items()}
        with _connection() as connection:
            self._show(connection, TABLES[table], version)
            rows = connection.sql(text, params=parameters).to_arrow_table()
        return rows.cast(pa.schema([schema.field(name) for name in names]))

    def append_missing(self, table: TableName, rows: pa.Table, scope: str = "video_key") -> int:
        """Append the rows whose key is not in the table yet and return how many there were.

        `scope` names a key column that bounds the look-up: only stored rows with one of its new values are read.

        Raises:
            DataError: a column is missing or of another type.
        """
        spec = TABLES[table]
        rows = _conform(rows, spec)
        if rows.num_rows == 0:
            return 0
        stored = self.read(table, spec.key, {scope: pc.unique(rows[scope]).to_pylist()})
        with _connection() as connection:
            connection.register("new_rows", rows.select(list(spec.key)).append_column("row_number", _numbers(rows)))
            connection.register("stored_rows", stored)
            keys = ", ".join(spec.key)
            missing = connection.sql(
                f"SELECT min(row_number) AS row_number FROM new_rows ANTI JOIN stored_rows USING ({keys}) "
                f"GROUP BY {keys} ORDER BY row_number"
            ).to_arrow_table()
        new = rows.take(missing["row_number"])
        if new.num_rows:
            self._write(spec, new)
        return int(new.num_rows)

    def upsert(self, table: TableName, rows: pa.Table) -> None:
        """Insert new keys and replace the rows of known ones, in one commit."""
        spec = TABLES[table]
        rows = _conform(rows, spec)
        if rows.num_rows == 0:
            return
        match = " AND ".join(f"target.{column} = source.{column}" for column in spec.key)
        with _writing(table):
            (
                self._open(table)
                .merge(rows, predicate=match, source_alias="source", target_alias="target")
                .when_matched_update_all()
                .when_not_matched_insert_all()
                .execute()
            )

    def delete(self, table: TableName, where: Mapping[str, Sequence[str]]) -> int:
        """Delete the rows whose columns hold one of the given texts, and return how many there were."""
        if not where or not all(where.values()):
            return 0
        predicate = " AND ".join(
            f"{column} IN ({', '.join(_literal(value) for value in values)})" for column, values in where.items()
        )
        with _writing(table):
            return int(self._open(table).delete(predicate)["num_deleted_rows"])

    def query(
        self, name: str, parameters: Mapping[str, Any] | None = None, relations: Mapping[str, pa.Table] | None = None
    ) -> pa.Table:
        """Run `sql/<name>.sql` over the lake's tables and the given in-memory relations."""
        text = (files("data_catalog") / "sql" / f"{name}.sql").read_text(encoding="utf-8")
        relations = dict(relations or {})
        with _connection() as connection:
            for relation, rows in relations.items():
                connection.register(relation, rows)
            mentioned = set(re.findall(r"\w+", text))
            for table, spec in TABLES.items():
                if table.value in mentioned and table.value not in relations:
                    self._show(connection, spec)
            return connection.sql(text, params=dict(parameters or {})).to_arrow_table()

    def _show(self, connection: duckdb.DuckDBPyConnection, spec: TableSpec, version: int | None = None) -> None:
        # Not through Arrow: it cannot compare strings with the string views that Delta's merges write.
        uris = self._open(spec.name, version).file_uris()
        if uris:
            paths = [_escape_glob(unquote(uri.removeprefix("file://"))) for uri in uris]
            connection.read_parquet(paths).create_view(spec.name.value)
        else:
            connection.register(spec.name.value, spec.schema.empty_table())

    def _uri(self, table: TableName) -> str:
        # As a URI, or Delta would read a percent sign of a folder's name as an escape.
        return (self.root / table.value).resolve().as_uri()

    def _open(self, table: TableName, version: int | None = None) -> DeltaTable:
        try:
            opened = DeltaTable(self._uri(table), version=version)
        except DeltaError as error:
            raise DataError(f"no readable table {table.value} in the lake {self.root}: {error}") from error
        stated = opened.metadata().description or ""
        if not stated.endswith(f"(schema {SCHEMA_VERSION})"):
            raise DataError(
                f"table {table.value} of {self.root} says {stated!r}; this version of difffake reads schema "
                f"{SCHEMA_VERSION}. Use another --home, or the version that wrote it."
            )
        return opened

    def _write(self, spec: TableSpec, rows: pa.Table) -> None:
        plain = ColumnProperties(dictionary_enabled=False, statistics_enabled="NONE")
        with _writing(spec.name):
            write_deltalake(
                self._uri(spec.name),
                rows,
                mode="append",
                writer_properties=WriterProperties(
                    compression="UNCOMPRESSED" if spec.image_column else "ZSTD",
                    max_row_group_size=spec.rows_per_group,
                    column_properties={spec.image_column: plain} if spec.image_column else None,
                ),
            )


@contextmanager
def _connection() -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect(":memory:", config={"autoinstall_known_extensions": "false"})
    try:
        yield connection
    except duckdb.IOException as error:
        raise DataError(
            f"a table of the lake cannot be read: {error}. Restore its files, or use another --home."
        ) from error
    finally:
        connection.close()


@contextmanager
def _writing(table: TableName) -> Iterator[None]:
    try:
        yield
    except (DeltaError, OSError) as error:
        raise DataError(f"the table {table.value} cannot be written: {error}") from error


def _escape_glob(path: str) -> str:
    """DuckDB takes every path as a pattern: a bracketed character stands for itself."""
    return re.sub(r"([*?\[])", r"[\1]", path)


def _conform(rows: pa.Table, spec: TableSpec) -> pa.Table:
    try:
        return rows.select(spec.schema.names).cast(spec.schema)
    except (KeyError, ValueError, pa.ArrowInvalid) as error:
        raise DataError(f"rows do not fit the table {spec.name.value}: {error}") from error


def _numbers(rows: pa.Table) -> pa.Array:
    return pa.array(range(rows.num_rows), pa.int64())


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
