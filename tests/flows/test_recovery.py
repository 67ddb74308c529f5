"""Runs that a worker took and could not begin: after a power cut nobody else would ever begin them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.flows.conftest import Program

pytestmark = [pytest.mark.xdist_group("batch"), pytest.mark.slow]

SCENE = """
import json, os, subprocess, sys
from pathlib import Path
from prefect.client.orchestration import get_client
from prefect.states import Pending
from data_catalog.home import Home
from tasks.recovery import take_up_lost_runs
from tasks.services import Service, _remember, birth_of, worker_name

home = Home(Path(sys.argv[1]))
home.create()
with get_client(sync_client=True) as client:
    flow = client.create_flow_from_name("taken")
    deployment = client.create_deployment(flow, "taken")

    def taken(worker, pid):
        run = client.create_flow_run_from_deployment(deployment, parameters={"of": worker}, tags=["own"])
        client.set_flow_run_state(run.id, Pending(), force=True)
        client.update_flow_run_labels(run.id, {"prefect.worker.name": worker})
        if pid == "its own":
            own = os.environ | {"PREFECT__FLOW_RUN_ID": str(run.id)}
            starting.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env=own))
            pid = starting[-1].pid
        if pid:
            client.update_flow_run(run.id, infrastructure_pid=str(pid))
        return run.id

    gone, starting = int(sys.argv[2]), []
    runs = {
        "not started": taken(worker_name(home), None),
        "its process died": taken(worker_name(home), gone),
        "its number is another's": taken(worker_name(home), os.getpid()),
        "its process is starting": taken(worker_name(home), "its own"),
        "of another work folder": taken(worker_name(Home(Path("elsewhere"))), None),
        "of another machine": taken("difffake-elsewhere", None),
    }
    # A supervisor that takes over finds the worker alive: what that one is beginning is left to it.
    _remember(home, Service("worker", 1, os.getpid(), birth_of(os.getpid())))
    told = [take_up_lost_runs(home)]
    (home.services / "worker.json").unlink()
    told += [take_up_lost_runs(home), take_up_lost_runs(home)]
    states = {name: client.read_flow_run(run).state.name for name, run in runs.items()}
    anew = [run.tags for run in client.read_flow_runs() if "attempt-2" in run.tags]
    for process in starting:
        process.communicate(b"\\n")
    print(json.dumps({"told": told, "states": states, "anew": anew}))
"""


def test_what_this_machines_worker_left_unbegun_is_started_anew_once(program: Program, tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    done = program.run_code(SCENE, str(tmp_path), str(gone.pid))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["states"] == {
        "not started": "Crashed",
        "its process died": "Crashed",
        "its number is another's": "Crashed",
        "its process is starting": "Pending",
        "of another work folder": "Pending",
        "of another machine": "Pending",
    }
    beside_a_worker, without_one, again = found["told"]
    assert beside_a_worker == []
    assert len(without_one) == 3
    assert all("ended before it could begin; started anew as" in line for line in without_one)
    assert again == []
    assert [sorted(tags) for tags in found["anew"]] == [["attempt-2", "own"]] * 3
