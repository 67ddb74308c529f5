"""A real PostgreSQL server on loopback, from the system's packages."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tasks.services import free_port

USER = "difffake"


def programs() -> Path | None:
    """The folder with initdb and pg_ctl of the newest installed version, if any."""
    on_path = shutil.which("initdb")
    found = [Path(on_path).parent] if on_path else []
    found += sorted(path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1] if found else None


@contextmanager
def postgres_server(*databases: str) -> Iterator[str]:
    """The address (host:port) of a fresh server with these databases, user `difffake`, no password."""
    folder = programs()
    assert folder is not None
    place = Path(tempfile.mkdtemp(prefix="difffake-pg-"))
    port = free_port()
    # PostgreSQL refuses to run as root; its packages bring a user.
    runner = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    if runner:
        shutil.chown(place, "postgres")

    def call(program: str, *arguments: str) -> None:
        subprocess.run(
            [*runner, str(folder / program), "-D", str(place / "data"), *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd="/",
        )

    try:
        call("initdb", "-U", USER, "-A", "trust", "-N")
        options = f"-p {port} -h 127.0.0.1 -k {place} -F"
        call("pg_ctl", "-w", "-l", str(place / "log"), "-o", options, "start")
        try:
            with psycopg.connect(f"postgresql://{USER}@127.0.0.1:{port}/postgres", autocommit=True) as connection:
                for database in databases:
                    connection.execute(f'CREATE DATABASE "{database}"'.encode())
            yield f"127.0.0.1:{port}"
        finally:
            call("pg_ctl", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(place, ignore_errors=True)
