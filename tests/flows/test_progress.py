"""Long work is a bar on the run's page."""

import os
import subprocess
import sys

import pytest

from tests.flows.conftest import REPOSITORY, Program
from tests.helpers.prefect_api import ask_prefect

pytestmark = [pytest.mark.xdist_group("batch"), pytest.mark.slow]

WORKER = """
from prefect import flow
from tasks import experiment

experiment.PROGRESS_EVERY_S = 0

@flow
def long_work():
    with experiment.progress("pseudo_fakes", "videos") as report:
        for done in range(1, 4):
            report(done, 4)

long_work()
"""


def test_progress_is_an_artifact_that_grows(program: Program) -> None:
    done = program.run_code(WORKER)
    assert done.returncode == 0, done.stderr
    body = {"artifacts": {"key": {"any_": ["progress-pseudo-fakes"]}}}
    (bar,) = ask_prefect(program.environment["PREFECT_API_URL"], "artifacts/filter", body)
    assert (bar["type"], bar["data"], bar["description"]) == ("progress", 75.0, "pseudo_fakes: videos")


def test_outside_a_run_it_is_a_log_line_alone() -> None:
    code = WORKER.replace("@flow\n", "").replace("from prefect import flow", "")
    done = subprocess.run(
        [sys.executable, "-c", f"import logging; logging.basicConfig(level=20)\n{code}"],
        env=os.environ | {"PREFECT_API_URL": "http://127.0.0.1:9/api"},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    )
    assert "3 of 4 videos" in done.stderr
