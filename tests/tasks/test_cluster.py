"""Whether a cluster is there is told before anything is done."""

from importlib.util import find_spec

import pytest

from difffake.config import RunnerConfig
from difffake.errors import ConfigError, ServiceError
from tasks import cluster
from tasks.services import free_port

is_installed = find_spec("distributed") is not None


def test_no_cluster_wants_nothing() -> None:
    cluster.check_cluster(RunnerConfig())


@pytest.mark.skipif(is_installed, reason="the extra dask is installed")
def test_a_cluster_wants_the_extra() -> None:
    with pytest.raises(ConfigError, match="uv sync --extra dask"):
        cluster.check_cluster(RunnerConfig(dask_scheduler="tcp://127.0.0.1:8786"))


@pytest.mark.skipif(not is_installed, reason="the extra dask is not installed")
def test_a_scheduler_that_does_not_answer_is_told_by_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_ANSWERS_WITHIN_S", 1)
    port = free_port()
    with pytest.raises(ServiceError, match=rf"no Dask scheduler answers at tcp://127\.0\.0\.1:{port} within 1 s"):
        cluster.check_cluster(RunnerConfig(dask_scheduler=f"tcp://127.0.0.1:{port}"))
