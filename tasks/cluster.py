"""A Dask cluster's workers for what is no task of a flow: the batches a training takes."""

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from functools import partial

from difffake.backbone.trainer import BatchMakers
from difffake.config import RunnerConfig


def batch_makers(config: RunnerConfig) -> BatchMakers | None:
    """Who makes a training's batches of pseudo-fakes; None: the machine that trains."""
    address = config.scheduler_for("pseudo_fakes")
    return None if address is None else partial(_cluster_executor, address)


@contextmanager
def _cluster_executor(address: str) -> Iterator[Executor]:
    # Imported here: the extra dask is installed where a cluster is configured.
    from distributed import Client

    # Not Prefect's client, and not the default one of this process.
    with Client(address, set_as_default=False) as client, client.get_executor(pure=False) as executor:
        yield executor
