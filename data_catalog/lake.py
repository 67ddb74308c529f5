"""The lake: Parquet files under a Delta log, in a folder or an object store. Nothing else writes tables.

Keys are functions of content and equal keys mean equal rows, so a stage that was killed between two tables can simply
be run again: `append_missing` skips rows already there. Every write is a compare-and-swap on the table's version (a
Delta application transaction): two processes, or two machines, that write at once never write a row twice.

DuckDB connections live in memory; a query is a file of `sql/` and sees tables under their names.
"""

import random
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, Transaction, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.writer.properties import ColumnProperties

from data_catalog.database import concerns_files, connected, know_sizes, literal, show_files
from data_catalog.schemas import TABLES, TableName, TableSpec
from data_catalog.skipping import file_sizes, files_with
from data_catalog.storage import Folder, storage_options
from difffake.errors import DataError

SCHEMA_VERSION = 3
MIGRATE_COMMAND = "difffake catalog --migrate"
# deltalake 1.6 decodes a percent sign twice and panics on brackets.
_UNUSABLE_CHARACTERS = frozenset("%[]")
_WRITER = "difffake"
_MOST_ATTEMPTS = 60
_LONGEST_WAIT_S = 1.0
_MOST_KEPT_BYTES = 64 * 2**20
_STORE_ANSWER = re.compile(r"<Code>(?P<code>[^<]*)</Code>\s*<Message>(?P<message>[^<]*)</Message>")
_SCHEMA_NOTE = re.compile(r"\(schema (\d+)\)$")

# Of each query that is asked often, the last question and its answer.
_kept_answers: dict[str, tuple[object, pa.Table]] = {}

_Result = TypeVar("_Result")


class Lake:
    """The tables below one folder, given as a path or URI.

    Raises:
        DataError: the path holds a character the Delta library cannot take, a table cannot be opened, or it was
            written under another schema version.
    """

    def __init__(self, place: Path | str) -> None:
        self.folder = Folder.of(place)
        faulty = sorted(set(str(self.folder)) & _UNUSABLE_CHARACTERS)
        if faulty:
            raise DataError(
                f"the tables cannot be kept at {self.folder}: the Delta library takes no {' '.join(faulty)} in a "
                "path. Name another folder with --home or --lake."
            )

    def create(self) -> None:
        """Make every table that is not there yet, empty. Safe to call again.

        Raises:
            DataError: the place cannot be written.
        """
        for spec in TABLES.values():
            uri = self._uri(spec.name)
            with _writing(spec.name):
                if not self.has(spec.name):
                    DeltaTable.create(
                        uri,
                        schema=spec.schema,
                        mode="ignore",
                        name=spec.name.value,
                        description=describe_table(spec),
                        configuration={"delta.dataSkippingStatsColumns": ",".join(spec.skipping)},
                        storage_options=storage_options(uri),
                    )

    def has(self, table: TableName) -> bool:
        """Whether the table is there, of whatever schema version."""
        uri = self._uri(table)
        try:
            return bool(DeltaTable.is_deltatable(uri, storage_options(uri)))
        except (DeltaError, OSError) as error:
            hint = "" if self.folder.is_local else " (are the credentials and the endpoint in the environment?)"
            raise DataError(f"the lake {self.folder} cannot be reached: {_in_one_line(error)}{hint}") from error

    def version(self, table: TableName) -> int:
        """The current Delta version of a table."""
        return int(self.open(table).version())

    def count(self, table: TableName) -> int:
        """The number of rows of a table."""
        with connected(self.folder.uri) as connection:
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
        return self._read(TABLES[table], self.open(table, version), columns, where)

    def append_missing(self, table: TableName, rows: pa.Table) -> int:
        """Append the rows whose key is not in the table yet and return how many there were.

        Raises:
            DataError: a column is missing or of another type, or the table cannot be written.
        """
        spec = TABLES[table]
        rows = _conform(rows, spec).sort_by(spec.skipping[0])
        if rows.num_rows == 0:
            return 0

        def attempt(opened: DeltaTable) -> int:
            new = self._missing(spec, opened, rows)
            if new.num_rows:
                write_deltalake(
                    opened,
                    new,
                    mode="append",
                    writer_properties=writer_properties(spec),
                    commit_properties=_swap(opened),
                )
            return int(new.num_rows)

        return self.commit(spec, attempt)

    def upsert(self, table: TableName, rows: pa.Table) -> None:
        """Insert new keys and replace the rows of known ones, in one commit."""
        spec = TABLES[table]
        rows = _conform(rows, spec)
        if rows.num_rows == 0:
            return
        match = " AND ".join(f"target.{column} = source.{column}" for column in spec.key)

        def attempt(opened: DeltaTable) -> None:
            (
                opened.merge(
                    rows,
                    predicate=match,
                    source_alias="source",
                    target_alias="target",
                    writer_properties=writer_properties(spec),
                    commit_properties=_swap(opened),
                )
                .when_matched_update_all()
                .when_not_matched_insert_all()
                .execute()
            )

        self.commit(spec, attempt)

    def delete(self, table: TableName, where: Mapping[str, Sequence[str]]) -> int:
        """Delete the rows whose columns hold one of the given texts, and return how many there were."""
        if not where or not all(where.values()):
            return 0
        predicate = " AND ".join(
            f"{column} IN ({', '.join(literal(value) for value in values)})" for column, values in where.items()
        )

        def attempt(opened: DeltaTable) -> int:
            return int(opened.delete(predicate, commit_properties=_swap(opened))["num_deleted_rows"])

        return self.commit(TABLES[table], attempt)

    def query(
        self,
        name: str,
        parameters: Mapping[str, Any] | None = None,
        relations: Mapping[str, pa.Table] | None = None,
        *,
        is_asked_often: bool = False,
    ) -> pa.Table:
        """Run `sql/<name>.sql` over the lake's tables and the given in-memory relations.

        Args:
            name: of the file.
            parameters: the values of its `$name`s.
            relations: by the names it reads them by.
            is_asked_often: keep the last answer, up to 64 MiB with its relations, and give it again where the same
                is asked of tables of the same files.

        Returns:
            The rows, in the order the query gives them.

        Raises:
            DataError: a table is missing or cannot be read.
        """
        text = (files("data_catalog") / "sql" / f"{name}.sql").read_text(encoding="utf-8")
        parameters, relations = dict(parameters or {}), dict(relations or {})
        mentioned = set(re.findall(r"\w+", text)) - relations.keys()
        opened = {table: self.open(table) for table in TABLES if table.value in mentioned}
        # Not their versions: a table made anew, or restored from a copy, has those of another content.
        seen = {table: sorted(one.file_uris()) for table, one in opened.items()}
        question = (parameters, relations, seen)
        if is_asked_often and (kept := _kept_answers.get(name)) is not None and kept[0] == question:
            return kept[1]
        with connected(self.folder.uri) as connection:
            for relation, rows in relations.items():
                connection.register(relation, rows)
            for table, one in opened.items():
                self._show(connection, TABLES[table], one)
            answer = connection.sql(text, params=parameters).to_arrow_table()
        if is_asked_often and sum(rows.nbytes for rows in (answer, *relations.values())) <= _MOST_KEPT_BYTES:
            _kept_answers[name] = question, answer
        return answer

    def ask(self, text: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Answer a user's query over all tables: column names and rows. Nothing can be written or read beside them.

        Raises:
            DataError: it is no single reading statement, or DuckDB refuses it; says why.
        """
        with connected(self.folder.uri, is_alone=True) as connection:
            try:
                statements = connection.extract_statements(text)
                kinds = [statement.type for statement in statements]
                # Not EXPLAIN: with ANALYZE it runs what it explains, and what it explains may write.
                if kinds != [duckdb.StatementType.SELECT]:
                    raise DataError("one SELECT, DESCRIBE, SHOW or SUMMARIZE statement is answered, nothing else")
                for spec in TABLES.values():
                    self._show(connection, spec)
                place = str(self.folder)
                connection.execute(f"SET allowed_directories = [{literal(place)}]")
                connection.execute("SET enable_external_access = false")
                connection.execute("SET lock_configuration = true")
                answer = connection.sql(text)
                return list(answer.columns), answer.fetchall()
            except duckdb.Error as error:
                if concerns_files(error):
                    raise
                raise DataError(f"the query cannot be answered: {error}") from error

    def open(self, table: TableName, version: int | None = None) -> DeltaTable:
        """The Delta table.

        Raises:
            DataError: it is missing or broken, has no such version, or is of another schema version.
        """
        opened = self.open_any(table, version)
        seen = schema_version(opened)
        if seen == SCHEMA_VERSION:
            return opened
        remedy = (
            f"migrate it with `{MIGRATE_COMMAND}`"
            if seen is not None and seen < SCHEMA_VERSION
            else "use the version that wrote it"
        )
        raise DataError(
            f"table {table.value} of {self.folder} has schema {seen}; this version of difffake reads schema "
            f"{SCHEMA_VERSION}: {remedy}, or name another --home."
        )

    def open_any(self, table: TableName, version: int | None = None) -> DeltaTable:
        """The Delta table, whatever its schema version."""
        uri = self._uri(table)
        try:
            return DeltaTable(uri, version=version, storage_options=storage_options(uri))
        except DeltaError as error:
            raise DataError(
                f"no readable table {table.value} in the lake {self.folder}: {_in_one_line(error)} "
                "(`difffake refresh` or `difffake run` makes the tables)"
            ) from error

    def _uri(self, table: TableName) -> str:
        # As a URI, or Delta would read a percent sign of a folder's name as an escape.
        return self.folder.file_uri(table.value)

    def _read(
        self,
        spec: TableSpec,
        opened: DeltaTable,
        columns: Sequence[str] | None,
        where: Mapping[str, Sequence[Any]] | None,
    ) -> pa.Table:
        names = list(columns or spec.schema.names)
        terms = [f"{column} IN (SELECT unnest(${column}))" for column in where or {}]
        text = f"SELECT {', '.join(names)} FROM {spec.name.value}"
        text += f" WHERE {' AND '.join(terms)}" if terms else ""
        parameters = {column: list(values) for column, values in (where or {}).items()}
        with connected(self.folder.uri) as connection:
            self._show(connection, spec, opened, parameters)
            rows = connection.sql(text, params=parameters).to_arrow_table()
        return rows.cast(pa.schema([spec.schema.field(name) for name in names]))

    def _missing(self, spec: TableSpec, opened: DeltaTable, rows: pa.Table) -> pa.Table:
        """The first row of every key that is not stored."""
        scope = spec.skipping[0]
        stored = self._read(spec, opened, spec.key, {scope: pc.unique(rows[scope]).to_pylist()})
        keys = ", ".join(spec.key)
        with connected(self.folder.uri) as connection:
            connection.register("new_rows", rows.select(list(spec.key)).append_column("row_number", _numbers(rows)))
            connection.register("stored_rows", stored)
            missing = connection.sql(
                f"SELECT min(row_number) AS row_number FROM new_rows ANTI JOIN stored_rows USING ({keys}) "
                f"GROUP BY {keys} ORDER BY row_number"
            ).to_arrow_table()
        return rows.take(missing["row_number"])

    def commit(self, spec: TableSpec, attempt: Callable[[DeltaTable], _Result]) -> _Result:
        """Attempt a write on the newest version until nobody else has written in between.

        Raises:
            DataError: the table cannot be written.
        """
        for number in range(_MOST_ATTEMPTS):
            opened = self.open(spec.name)
            seen = opened.version()
            try:
                with _writing(spec.name):
                    return attempt(opened)
            except _LostRaceError as error:
                if self.version(spec.name) == seen:
                    raise DataError(f"the table {spec.name.value} cannot be written: {error}") from error
                time.sleep(random.uniform(0, min(_LONGEST_WAIT_S, 0.01 * 2**number)))  # noqa: S311 - only a wait
        raise DataError(f"the table {spec.name.value} was written by others {_MOST_ATTEMPTS} times in a row; run again")

    def _show(
        self,
        connection: duckdb.DuckDBPyConnection,
        spec: TableSpec,
        opened: DeltaTable | None = None,
        where: Mapping[str, Sequence[Any]] | None = None,
    ) -> None:
        opened = opened or self.open(spec.name)
        if not self.folder.is_local:
            know_sizes(self.folder.uri, file_sizes(opened))
        uris = files_with(opened, spec, where or {})
        if uris:
            show_files(connection, spec.name.value, uris)
        else:
            connection.register(spec.name.value, spec.schema.empty_table())


class _LostRaceError(Exception):
    """Somebody else committed first."""


@contextmanager
def _writing(table: TableName) -> Iterator[None]:
    try:
        yield
    except CommitFailedError as error:
        raise _LostRaceError(str(error)) from error
    except (DeltaError, OSError) as error:
        raise DataError(f"the table {table.value} cannot be written: {_in_one_line(error)}") from error


def _in_one_line(error: BaseException) -> str:
    """What the Delta library says, and the store's own answer, without the report of its insides."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = lines[0] if lines else type(error).__name__
    answer = _STORE_ANSWER.search(str(error))
    return f"{said}: {answer['code']}, {answer['message']}" if answer else said


def describe_table(spec: TableSpec) -> str:
    """What a table's own description says; it ends with the schema version."""
    return f"{spec.meaning} (schema {SCHEMA_VERSION})"


def schema_version(table: DeltaTable) -> int | None:
    """The schema version a table's description states."""
    noted = _SCHEMA_NOTE.search(table.metadata().description or "")
    return int(noted[1]) if noted else None


def writer_properties(spec: TableSpec) -> WriterProperties:
    """How the files of a table are written; images neither compressed nor counted."""
    plain = ColumnProperties(dictionary_enabled=False, statistics_enabled="NONE")
    return WriterProperties(
        compression="UNCOMPRESSED" if spec.image_column else "ZSTD",
        max_row_group_size=spec.rows_per_group,
        column_properties={spec.image_column: plain} if spec.image_column else None,
    )


def _swap(opened: DeltaTable) -> CommitProperties:
    """A commit that fails when anybody has committed since the table was opened."""
    return CommitProperties(app_transactions=[Transaction(_WRITER, opened.version() + 1)])


def _conform(rows: pa.Table, spec: TableSpec) -> pa.Table:
    try:
        return rows.select(spec.schema.names).cast(spec.schema)
    except (KeyError, ValueError, pa.ArrowInvalid) as error:
        raise DataError(f"rows do not fit the table {spec.name.value}: {error}") from error


def _numbers(rows: pa.Table) -> pa.Array:
    return pa.array(range(rows.num_rows), pa.int64())
