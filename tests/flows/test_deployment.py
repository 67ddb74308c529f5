"""`prefect.yaml` deploys from a checkout, and the server creates the scheduled runs of its deployment."""

import os
import subprocess
import sys
import time
from typing import Any

import pytest

from tests.flows.conftest import REPOSITORY, Bench
from tests.helpers.prefect_api import ask_prefect

pytestmark = [pytest.mark.xdist_group("ablate"), pytest.mark.slow]


def call_prefect(bench: Bench, *arguments: str) -> str:
    variables = {
        "DIFFFAKE_ROOT": str(REPOSITORY),
        "DIFFFAKE_CONFIG": "configs/cpu.yaml",
        "DIFFFAKE_HOME": str(bench.folder / "deployed"),
        "SUSPECTS_ROOT": str(bench.footage.root),
    }
    done = subprocess.run(
        [sys.executable, "-m", "prefect", *arguments],
        env=os.environ | bench.environment | variables,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def ask(bench: Bench, path: str, body: dict[str, Any] | None = None, method: str = "POST") -> Any:
    return ask_prefect(bench.environment["PREFECT_API_URL"], path, body, method)


def test_the_deployment_is_made_and_its_schedule_fills_once_switched_on(bench: Bench) -> None:
    ask(bench, "work_pools/", {"name": "local-process", "type": "process"})
    call_prefect(bench, "--no-prompt", "deploy", "--all")
    for name, entrypoint in (
        ("refresh", "flows.refresh.refresh"),
        ("score-batch", "flows.batch.score_batch"),
        ("maintain", "flows.maintain.maintain"),
    ):
        deployment = ask(bench, f"deployments/name/{name}/{name}", method="GET")
        assert deployment["entrypoint"] == entrypoint
        assert [schedule["active"] for schedule in deployment["schedules"]] == [False]
    deployment = ask(bench, "deployments/name/end-to-end/end-to-end", method="GET")
    assert deployment["entrypoint"] == "flows.end_to_end.end_to_end"
    assert deployment["concurrency_limit"] == 1 or deployment["global_concurrency_limit"]["limit"] == 1
    assert deployment["parameters"] == {"config": "configs/cpu.yaml", "home": str(bench.folder / "deployed")}
    (schedule,) = deployment["schedules"]
    assert schedule["active"] is False

    scheduled = {"deployments": {"id": {"any_": [deployment["id"]]}}}
    assert ask(bench, "flow_runs/filter", scheduled) == []
    ask(bench, f"deployments/{deployment['id']}/schedules/{schedule['id']}", {"active": True}, "PATCH")
    deadline = time.monotonic() + 120
    while not (runs := ask(bench, "flow_runs/filter", scheduled)):
        assert time.monotonic() < deadline, "the server's scheduler created no run"
        time.sleep(1)
    assert {run["state_type"] for run in runs} == {"SCHEDULED"}
