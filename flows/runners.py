"""Where mapped work runs: worker processes of this machine, or a Dask cluster."""

import os
from importlib.util import find_spec
from typing import Any

from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner

from difffake.config import RunnerConfig
from difffake.errors import ConfigError
from tasks.faces import prepare_worker


def runner_of(config: RunnerConfig) -> TaskRunner[Any]:
    """A runner of single-threaded worker processes, one a core or as many as configured; or the cluster.

    Raises:
        ConfigError: a cluster is asked for, and the extra `dask` is not installed.
    """
    if config.dask_scheduler is None:
        workers = config.workers or os.cpu_count() or 1
        return ProcessPoolTaskRunner(max_workers=workers, initializer=prepare_worker, initargs=(os.getpid(),))
    if find_spec("prefect_dask") is None:
        raise ConfigError("runner.dask_scheduler wants the extra dask: uv sync --extra dask")
    from prefect_dask import DaskTaskRunner

    return DaskTaskRunner(address=config.dask_scheduler)
