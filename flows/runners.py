"""Where mapped work runs: on this machine, or on a Dask cluster."""

import os
from typing import Any

from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner, ThreadPoolTaskRunner

from difffake.config import ClusterStage, RunnerConfig
from tasks.faces import prepare_worker


def processes_or_cluster(config: RunnerConfig, stage: ClusterStage) -> TaskRunner[Any]:
    """Single-threaded worker processes, one a core or as many as configured; or the cluster."""
    workers = config.workers or os.cpu_count() or 1
    return _cluster(config, stage) or ProcessPoolTaskRunner(
        max_workers=workers, initializer=prepare_worker, initargs=(os.getpid(),)
    )


def here_or_cluster(config: RunnerConfig, stage: ClusterStage) -> TaskRunner[Any]:
    """This process, one piece after the other, for what uses every core or the GPU by itself; or the cluster."""
    return _cluster(config, stage) or ThreadPoolTaskRunner(max_workers=1)


def _cluster(config: RunnerConfig, stage: ClusterStage) -> TaskRunner[Any] | None:
    address = config.scheduler_for(stage)
    if address is None:
        return None
    # Imported here: the extra dask is installed where a cluster is configured; `check_cluster` has looked.
    from prefect_dask import DaskTaskRunner

    return DaskTaskRunner(address=address)
