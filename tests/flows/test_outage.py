"""The MLflow server dies while a training logs to it, and comes back: nothing is lost and nothing is there twice."""

import os
import signal
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from data_catalog.home import Home
from tasks import services
from tests.flows.conftest import Program
from tests.helpers.mlflow_database import give_database

pytestmark = [pytest.mark.xdist_group("postgresql"), pytest.mark.slow]

STEPS = 12
TRAINING = f"""
import sys, time
from pathlib import Path
from data_catalog.home import Home
from difffake.backbone.training_folder import EpochRecord
from difffake.config import ExperimentConfig
from tasks.backbone import _epoch_logger
from tasks.experiment import Experiment
from tasks.tracking import connect, failing_run, take_up_run

experiment = Experiment(ExperimentConfig(), Home(Path(sys.argv[1])), ())
run_id = take_up_run(experiment, "outage", {{"of": "this test"}}, "training", {{"seed": 0}})
with failing_run(experiment, run_id):
    tell = _epoch_logger(experiment, run_id)
    for step in range({STEPS}):
        tell(EpochRecord(step, float(step), 0.5, 0.5, 1e-3, 1.0, 0))
        print("step", step, flush=True)
        time.sleep(0.2)
    connect(experiment).set_terminated(run_id)
"""


def test_a_training_outlives_its_tracking_server(program: Program, tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.create()
    assert program.database is not None
    give_database(home, program.database)
    training = None
    server = services.share(home, "mlflow", services.free_port(), services.start_mlflow)
    try:
        training = program.start_code(TRAINING, str(tmp_path), MLFLOW_TRACKING_URI=server.url)
        while "step 3\n" not in training.written()[0]:
            assert training.poll() is None, training.written()
            time.sleep(0.02)
        os.killpg(server.pid, signal.SIGKILL)
        time.sleep(3)
        assert training.poll() is None
        again = services.share(home, "mlflow", server.port, services.start_mlflow)
        assert (again.port, again.pid == server.pid) == (server.port, False)
        told, errors = training.communicate(timeout=150)
        assert training.returncode == 0, errors
        assert f"step {STEPS - 1}" in told
        client = MlflowClient(again.url)
        experiment = client.get_experiment_by_name("outage")
        assert experiment is not None
        (run,) = client.search_runs([experiment.experiment_id])
        assert run.info.status == "FINISHED"
        logged = [(metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, "train_loss")]
        assert sorted(logged) == [(step, float(step)) for step in range(STEPS)]
    finally:
        if training is not None:
            training.kill()
        running = services.known(home, "mlflow")
        if running is not None:
            services.leave(home, running)
