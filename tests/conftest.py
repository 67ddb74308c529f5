"""Settings every test worker needs before torch is imported."""

import os
from collections.abc import Iterator

import pytest

# Test workers fill the cores already; threads that spin for each other make each test many times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("MPLBACKEND", "agg")


@pytest.fixture(autouse=True)
def no_named_tracking_server() -> Iterator[None]:
    """MLflow writes the store it is told into the environment: one test's must not become the next one's."""
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    yield
    os.environ.pop("MLFLOW_TRACKING_URI", None)
