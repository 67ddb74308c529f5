"""DuckDB over the data files of a lake, in memory."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from urllib.parse import unquote, urlsplit

import duckdb

from data_catalog.data_files import DataFiles
from data_catalog.storage import LOCAL_SCHEME
from difffake.errors import DataError


@contextmanager
def connected(lake_uri: str, *, is_alone: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with nothing in it; temporary views and relations made in it are its own, and end with it.

    Args:
        lake_uri: whose files it can read.
        is_alone: to a database of its own: what is locked stays locked.

    Raises:
        DataError: a data file is gone or cannot be read.
    """
    scheme = urlsplit(lake_uri).scheme
    opened = _open_database(scheme) if is_alone else _database(os.getpid(), scheme).cursor()
    try:
        yield opened
    except duckdb.Error as error:
        if not concerns_files(error):
            raise
        raise DataError(
            f"a table of the lake cannot be read: {_in_one_line(error)}. Restore its files, or use another --home."
        ) from error
    finally:
        opened.close()


def concerns_files(error: duckdb.Error) -> bool:
    """Whether the files cannot be read, and not the query is at fault."""
    return isinstance(error, duckdb.IOException) or _is_of_a_reader(error)


def _is_of_a_reader(error: duckdb.Error) -> bool:
    # What a file system in Python raises has no kind of its own in DuckDB; its text is a traceback.
    return type(error) is duckdb.Error


def _in_one_line(error: duckdb.Error) -> str:
    """What went wrong, without the traceback and the statement around it."""
    text = str(error).split("\n\nLINE ")[0].strip()
    return text.splitlines()[-1] if _is_of_a_reader(error) else text


def know_sizes(lake_uri: str, sizes: Mapping[str, int]) -> None:
    """What files of a lake in an object store may be shown in this process, by URI, and how many bytes each has."""
    known = _data_files(os.getpid(), urlsplit(lake_uri).scheme)
    known.know({_readable(uri): size for uri, size in sizes.items()})


def show_files(opened: duckdb.DuckDBPyConnection, name: str, uris: Sequence[str]) -> None:
    """Let a connection see Parquet files as one table."""
    # Not through Arrow: it cannot compare strings with the string views that Delta's merges write.
    names = ", ".join(literal(_readable(uri)) for uri in uris)
    opened.execute(f"CREATE TEMP VIEW {name} AS SELECT * FROM read_parquet([{names}])")


def literal(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def _readable(uri: str) -> str:
    """A file of a table as DuckDB's readers want it; every path is a pattern to them."""
    path = unquote(uri.removeprefix("file://"))
    return re.sub(r"([*?\[])", r"[\1]", path)


@cache
def _database(_process: int, scheme: str) -> duckdb.DuckDBPyConnection:
    """One a process, empty: opening it takes twenty milliseconds, a connection to it none. Not inherited by a fork."""
    return _open_database(scheme)


@cache
def _data_files(_process: int, scheme: str) -> DataFiles:
    return DataFiles(scheme)


def _open_database(scheme: str) -> duckdb.DuckDBPyConnection:
    # Tables are read once, and as whole as they are wanted: nothing of their files need be kept in memory.
    database = duckdb.connect(
        ":memory:", config={"autoinstall_known_extensions": "false", "enable_external_file_cache": "false"}
    )
    if scheme != LOCAL_SCHEME:
        # DuckDB's own reader of object stores is an extension that would have to be downloaded.
        database.register_filesystem(_data_files(os.getpid(), scheme))
    return database
