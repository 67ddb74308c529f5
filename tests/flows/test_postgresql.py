"""Both servers on PostgreSQL, as a team runs them: a training through them, and what they then know."""

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from data_catalog.home import Home
from tasks import services, supervisor
from tests.flows.conftest import REPOSITORY, Bench, copy_faces
from tests.helpers.postgres import USER, postgres_server, programs
from tests.helpers.preloaded import Preloaded

pytestmark = [
    pytest.mark.xdist_group("postgresql"),
    pytest.mark.slow,
    pytest.mark.skipif(programs() is None, reason="no PostgreSQL server is installed"),
]


@dataclass(frozen=True)
class Team:
    """Servers over PostgreSQL, and the environment of somebody who uses them from elsewhere."""

    address: str
    home: Path
    environment: dict[str, str]
    plain: Preloaded

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return call(self.plain, self.environment, *arguments)

    def rows(self, database: str, query: str) -> list[tuple[object, ...]]:
        with psycopg.connect(f"postgresql://{USER}@{self.address}/{database}") as connection:
            return connection.execute(query.encode()).fetchall()


def call(plain: Preloaded, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}
    return plain.call(arguments, kept | environment, REPOSITORY, timeout_s=400)


@pytest.fixture(scope="module")
def team(plain: Preloaded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    home = tmp_path_factory.mktemp("team") / "servers"
    ports = [str(services.free_port()) for _ in range(3)]
    with postgres_server("prefect", "mlflow") as address:
        databases = {
            "PREFECT_API_DATABASE_CONNECTION_URL": f"postgresql+asyncpg://{USER}@{address}/prefect",
            "MLFLOW_TRACKING_URI": f"postgresql+psycopg://{USER}@{address}/mlflow",
        }
        names = ("--prefect-port", "--mlflow-port", "--worker-port")
        options = [part for pair in zip(names, ports, strict=True) for part in pair]
        done = call(plain, databases, "up", "--detach", "--home", str(home), *options)
        try:
            assert done.returncode == 0, done.stdout + done.stderr
            prefect, mlflow, _ = ports
            servers = {
                "PREFECT_API_URL": f"http://127.0.0.1:{prefect}/api",
                "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{mlflow}",
            }
            yield Team(address, home, servers | {"OMP_NUM_THREADS": "1"}, plain)
        finally:
            supervisor.take_down(Home(home))


def test_a_training_elsewhere_is_recorded_registered_and_fetched_through_the_servers(
    team: Team, bench: Bench, finished: tuple[Path, Any]
) -> None:
    home = team.home.parent / "elsewhere"
    copy_faces(finished[0], home)
    command = bench.arguments(home, bench.config("base"))
    done = team.call(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (home / "mlflow" / "mlflow.db").exists()

    ((states,),) = team.rows("prefect", "SELECT array_agg(DISTINCT state_type::text) FROM flow_run")
    assert states == ["COMPLETED"]
    ((version, alias),) = team.rows(
        "mlflow", "SELECT version, alias FROM registered_model_aliases WHERE alias='champion'"
    )
    assert (version, alias) == (1, "champion")
    # The artefacts went to the server's place, not to the folder of whoever trained.
    ((location,),) = team.rows("mlflow", "SELECT artifact_location FROM experiments WHERE name = 'tiny'")
    assert str(location).startswith("mlflow-artifacts:")
    assert list((team.home / "mlflow" / "artifacts").rglob("record.json"))

    again = team.call(*command)
    assert again.returncode == 0, again.stdout + again.stderr
    assert team.rows("mlflow", "SELECT count(*) FROM model_versions") == [(1,)]

    # A third machine has nothing but the servers.
    fake = next(iter(sorted(bench.footage.root.glob("manipulated_sequences/*/c23/videos/*.mp4"))))
    scored = team.call("score", str(fake), "--format", "json", "--home", str(team.home.parent / "nowhere"))
    assert scored.returncode == 0, scored.stdout + scored.stderr
    (row,) = json.loads(scored.stdout)
    assert row["status"] == "scored"
