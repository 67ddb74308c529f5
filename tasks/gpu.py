"""Slots: work on a GPU waits for its turn, whichever run or worker of the server it belongs to."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.runtime import flow_run

from tasks.deployments import GPU_SLOTS


@contextmanager
def gpu_slot(device: torch.device) -> Iterator[None]:
    """Hold one of the server's GPU slots for the time of the block; on a CPU, or outside a run, none is needed.

    A holder that is killed loses its slot when its lease ends, after minutes.
    """
    if device.type != "cuda" or not flow_run.id:
        yield
        return
    with hold(GPU_SLOTS):
        yield


@contextmanager
def hold(name: str) -> Iterator[None]:
    """Hold one slot of a limit, which has one if nobody said how many."""
    with get_client(sync_client=True) as client:
        try:
            client.read_global_concurrency_limit_by_name(name)
        except ObjectNotFound:
            # Somebody else may have found none in the same moment.
            with suppress(ObjectAlreadyExists):
                client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=1))
    # Without `strict` a limit that is not there holds nobody back.
    with concurrency(name, occupy=1, strict=True):
        yield
