"""Settings every test worker needs before torch is imported."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# Test workers fill the cores already; threads that spin for each other make each test many times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("MPLBACKEND", "agg")

# What is imported is there to stay: looking through it for garbage takes a second each time.
gc.disable()

from tasks.services import QUIET  # noqa: E402
from tests.helpers.common import common_folder  # noqa: E402
from tests.helpers.mlflow_database import empty_database  # noqa: E402
from tests.helpers.preloaded import PLAIN_MODULES, Preloaded  # noqa: E402

REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_collection_finish() -> None:
    """Everything is imported."""
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def no_named_tracking_server() -> Iterator[None]:
    """MLflow writes the store it is told into the environment: one test's must not become the next one's."""
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    yield
    os.environ.pop("MLFLOW_TRACKING_URI", None)


@pytest.fixture(scope="session")
def mlflow_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database of MLflow's, to be copied."""
    return empty_database(tmp_path_factory)


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Preloaded]:
    """The program without Prefect, which reads its settings when it is imported: for commands that have a server."""
    address = common_folder(tmp_path_factory) / "plain.socket"
    environment = QUIET | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    preloaded = Preloaded(address, environment, REPOSITORY, PLAIN_MODULES)
    yield preloaded
    preloaded.close()
