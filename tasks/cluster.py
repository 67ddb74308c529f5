"""A Dask cluster: whether it is there, and its workers for what is no task of a flow, a training's batches."""

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from difffake.config import RunnerConfig
from difffake.errors import ConfigError, ServiceError

if TYPE_CHECKING:
    # Torch, which a refresh does not load.
    from distributed import Client

    from difffake.backbone.trainer import BatchMakers

_ANSWERS_WITHIN_S = 10


def batch_makers(config: RunnerConfig) -> "BatchMakers | None":
    """Who makes a training's batches of pseudo-fakes; None: the machine that trains."""
    address = config.scheduler_for("pseudo_fakes")
    return None if address is None else partial(_cluster_executor, address)


@contextmanager
def _cluster_executor(address: str) -> Iterator[Executor]:
    with _client(address) as client, client.get_executor(pure=False) as executor:
        yield executor


def check_cluster(config: RunnerConfig) -> None:
    """Told before anything is done, not hours later at the first stage that wants it.

    Raises:
        ConfigError: a cluster is configured, and the extra `dask` is not installed.
        ServiceError: its scheduler does not answer.
    """
    if config.dask_scheduler is None:
        return
    if find_spec("distributed") is None or find_spec("prefect_dask") is None:
        raise ConfigError("runner.dask_scheduler wants the extra dask: uv sync --extra dask")
    with _client(config.dask_scheduler):
        pass


def _client(address: str) -> "Client":
    # Imported here: the extra dask is installed where a cluster is configured.
    from distributed import Client

    try:
        # Not Prefect's client, and not the default one of this process.
        return Client(address, set_as_default=False, timeout=_ANSWERS_WITHIN_S)
    except OSError as error:
        raise ServiceError(
            f"no Dask scheduler answers at {address} within {_ANSWERS_WITHIN_S} s: start it (docs/deploy.md), or take "
            "runner.dask_scheduler out of the configuration"
        ) from error
