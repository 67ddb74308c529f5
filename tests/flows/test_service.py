"""`difffake up` for real: servers and a worker that are brought back, a schedule that fires, a training it leads to."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from data_catalog.home import Home
from tasks import services, supervisor
from tasks.promotion import APPROVED, STATE_TAG, WAITING
from tasks.registry_names import CHAMPION, MODEL
from tests.flows.conftest import REPOSITORY, SCHEDULER_LOOP_S, SCHEDULER_SETTINGS, Bench
from tests.helpers.mlflow_database import give_database
from tests.helpers.prefect_api import ask_prefect
from tests.helpers.preloaded import Preloaded

pytestmark = [pytest.mark.xdist_group("service"), pytest.mark.slow]

PATIENCE_S = 240.0


def wait_until(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.5)
    return found


class Service:
    """A work folder under `difffake up`."""

    def __init__(self, bench: Bench, plain: Preloaded, home: Path) -> None:
        self.plain, self.home = plain, home
        self.place = Home(home)
        assert bench.database is not None
        give_database(self.place, bench.database)
        self.place.prefect.mkdir()
        shutil.copyfile(bench.server_database, self.place.prefect / "prefect.db")
        self.ports = [str(services.free_port()) for _ in range(3)]
        spec = {
            "name": "ff", "adapter": "faceforensics", "root": str(bench.footage.root),
            "identities": str(bench.footage.identities),
        }  # fmt: skip
        self.config = bench.config("service", [spec])

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        # Its own server, not the one the other tests share.
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}
        settings = kept | SCHEDULER_SETTINGS
        return self.plain.call([*arguments, "--home", str(self.home)], settings, REPOSITORY, timeout_s=400)

    def up(self, *, deploys: bool) -> subprocess.CompletedProcess[str]:
        prefect, mlflow, worker = self.ports
        ports = ["--prefect-port", prefect, "--mlflow-port", mlflow, "--worker-port", worker]
        deployed = ["--config", str(self.config)] if deploys else []
        return self.call("up", *deployed, "--detach", *ports)

    def pids(self) -> dict[str, int | None]:
        return {row.name: row.pid for row in supervisor.status(self.place)}

    def are_healthy(self) -> bool:
        return all(row.state == "healthy" for row in supervisor.status(self.place))

    def ask(self, path: str, body: Any = None, method: str = "POST") -> Any:
        return ask_prefect(f"http://127.0.0.1:{self.ports[0]}/api", path, body, method)

    def fire_soon(self, deployment: str) -> None:
        """Give a deployment one more schedule, which fires soon and then not for an hour."""
        # The server's scheduler makes no run for a time that has passed.
        first = datetime.now(UTC) + timedelta(seconds=3 * SCHEDULER_LOOP_S)
        schedule = {"interval": 3600, "anchor_date": first.isoformat()}
        self.ask(f"deployments/{deployment}/schedules", [{"schedule": schedule, "active": True}])

    def runs(self, deployment: str) -> list[dict[str, Any]]:
        found = self.ask("flow_runs/filter", {"deployments": {"name": {"any_": [deployment]}}})
        return [run for run in found if run["state_type"] != "SCHEDULED"]

    def completed(self, deployment: str, count: int, lost: int = 0) -> bool:
        states = [run["state_type"] for run in self.runs(deployment)]
        unwanted = states.count("FAILED") + states.count("CRASHED")
        assert unwanted <= lost, (self.home / "logs" / "worker.log").read_text()[-3000:]
        return states.count("COMPLETED") >= count

    def process_of(self, deployment: str) -> int | None:
        """The process of a run of the deployment that is under way, once it has noted it."""
        for run in self.runs(deployment):
            note = self.home / "services" / "runs" / f"{run['id']}.json"
            if run["state_type"] == "RUNNING" and note.is_file():
                return int(json.loads(note.read_text())["pid"])
        return None


@pytest.fixture(scope="module")
def service(bench: Bench, plain: Preloaded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    found = Service(bench, plain, tmp_path_factory.mktemp("service") / "home")
    done = found.up(deploys=True)
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        yield found
    finally:
        supervisor.take_down(found.place)


def test_everything_runs_on_loopback_and_a_second_up_uses_it(service: Service) -> None:
    told = service.call("status", "--json")
    assert told.returncode == 0, told.stdout + told.stderr
    rows = json.loads(told.stdout)
    assert [(row["name"], row["state"]) for row in rows] == [
        (name, "healthy") for name in ("prefect", "mlflow", "worker")
    ]
    assert [row["url"] for row in rows] == [f"http://127.0.0.1:{port}" for port in service.ports]
    before = service.pids()
    again = service.up(deploys=False)
    assert again.returncode == 0, again.stdout + again.stderr
    assert service.pids() == before
    names = {deployment["name"] for deployment in service.ask("deployments/filter", {})}
    assert names == {"refresh-ff", "train-on-new-faces", "end-to-end", "ask-for-approval", "maintain"}
    (slots,) = [limit for limit in service.ask("v2/concurrency_limits/filter", {}) if limit["name"] == "difffake-gpu"]
    assert slots["limit"] == 1


def test_a_schedule_fires_a_refresh_and_only_new_faces_lead_to_a_training_however_it_is_disturbed(
    service: Service,
) -> None:
    deployment = service.ask("deployments/name/refresh/refresh-ff", method="GET")
    assert [schedule["active"] for schedule in deployment["schedules"]] == [False]
    service.fire_soon(deployment["id"])
    wait_until(lambda: service.completed("refresh-ff", 1), "no scheduled refresh completed")
    # The training loses its worker and its process, the servers go away for a while: all comes back, and it goes on.
    begun = wait_until(lambda: service.process_of("train-on-new-faces"), "the new faces led to no training")
    lost = service.pids()
    for pid in (lost["worker"], begun, lost["prefect"], lost["mlflow"]):
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    wait_until(
        lambda: service.are_healthy() and all(service.pids()[name] != pid for name, pid in lost.items()),
        "the killed services did not come back",
    )
    wait_until(
        lambda: all(row.restarts >= 1 for row in supervisor.status(service.place)), "the restarts are not on record"
    )
    rows = supervisor.status(service.place)
    assert [row.url for row in rows] == [f"http://127.0.0.1:{port}" for port in service.ports]
    wait_until(lambda: service.completed("train-on-new-faces", 1, lost=1), "the training was not taken up again")
    # Refreshes that find nothing new train nothing.
    service.ask(f"deployments/{deployment['id']}/create_flow_run", {})
    wait_until(lambda: service.completed("refresh-ff", 2), "no second refresh completed")
    time.sleep(5)
    first, second = sorted(service.runs("train-on-new-faces"), key=lambda run: str(run["created"]))
    assert first["state_type"] == "CRASHED"
    assert "ended without a word" in first["state"]["message"]
    assert "attempt-2" in second["tags"]
    listed = service.call("models", "--json")
    (version,) = json.loads(listed.stdout)
    assert version["aliases"] == "champion, challenger"
    assert version["state"] == "promoted"


def test_a_version_that_waits_is_decided_on_the_command_line_and_the_waiting_run_ends(service: Service) -> None:
    uri = service.place.mlflow_uri
    client = MlflowClient(uri, uri)
    client.set_model_version_tag(MODEL, "1", STATE_TAG, WAITING)
    client.delete_registered_model_alias(MODEL, CHAMPION)
    deployment = service.ask("deployments/name/ask-for-approval/ask-for-approval", method="GET")
    parameters = deployment["parameters"] | {"version": "1"}
    service.ask(f"deployments/{deployment['id']}/create_flow_run", {"parameters": parameters})

    def states() -> list[str]:
        return [run["state_name"] for run in service.runs("ask-for-approval")]

    wait_until(lambda: states() == ["Suspended"], "the run did not come to wait")
    done = service.call("promote", "--approve", "--note", "Ada: report read")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "version 1 is champion now: approved by hand: Ada: report read" in done.stdout
    wait_until(lambda: states() == ["Completed"], "the waiting run did not end")
    (version,) = json.loads(service.call("models", "--json").stdout)
    assert (version["aliases"], version["state"]) == ("champion, challenger", APPROVED)


def test_a_new_supervisor_takes_over_what_the_old_one_left(service: Service) -> None:
    before = service.pids()
    pid = supervisor.supervisor_of(service.place)
    assert pid
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: supervisor.supervisor_of(service.place) is None, "the supervisor did not end")
    assert service.pids() == before
    assert "not supervised" in service.call("status").stdout
    done = service.up(deploys=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert service.pids() == before
    assert supervisor.supervisor_of(service.place)


def test_down_stops_everything_and_says_so(service: Service) -> None:
    known = [services.known(service.place, name) for name in supervisor.ORDER]
    running = [one for one in known if one is not None and services.is_alive(one)]
    assert len(running) == 3
    done = service.call("down")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "stopped prefect, mlflow, worker"
    assert not any(services.is_alive(one) for one in running)
    assert supervisor.supervisor_of(service.place) is None
    told = service.call("status")
    assert told.returncode == 1
    assert told.stdout.count("not started") == 3
    assert service.call("down").stdout.strip() == "nothing runs"
