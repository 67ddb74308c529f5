"""Deployments: `prefect.yaml` filled in for one experiment file and work folder, and what runs it on the server."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import httpx
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists, PrefectException

from data_catalog.home import Home
from difffake.config import DatasetSpec
from difffake.errors import ConfigError, ServiceError
from tasks.announcements import resource_id
from tasks.services import WORK_POOL

CHECKOUT = Path(__file__).resolve().parent.parent
TEMPLATE = CHECKOUT / "prefect.yaml"
GPU_SLOTS = "difffake-gpu"
_TIMEOUT_S = 300.0


def fill_in(
    template: dict[str, Any],
    config: Path,
    datasets: list[DatasetSpec],
    home: Home,
    suspects: str | None,
    *,
    are_scheduled: bool,
) -> dict[str, Any]:
    """The deployments of one experiment: a refresh a dataset, everything else as the template has it.

    Args:
        template: content of prefect.yaml.
        config: the experiment file.
        datasets: its datasets, with their places as this machine knows them.
        home: the work folder.
        suspects: folder or bucket whose videos are scored; None: no deployment for it.
        are_scheduled: whether the schedules are switched on.
    """
    content = deepcopy(template)
    content.pop("definitions", None)
    content["pull"] = [{"prefect.deployments.steps.set_working_directory": {"directory": str(CHECKOUT)}}]
    place = {"config": str(config.resolve()), "home": str(home.root.resolve())}
    made = []
    for deployment in content["deployments"]:
        parameters = deployment["parameters"]
        parameters |= {name: value for name, value in place.items() if name in parameters}
        if home.lake_place is not None:
            parameters["lake"] = home.lake_place
        for schedule in deployment.get("schedules", ()):
            schedule["active"] = are_scheduled
        for trigger in deployment.get("triggers", ()):
            trigger["match"] = {"prefect.resource.id": resource_id(home)}
        if deployment["name"] == "refresh":
            made += [_refresh_of(deployment, dataset) for dataset in datasets]
        elif deployment["name"] != "score-batch":
            made.append(deployment)
        elif suspects is not None:
            parameters["datasets"] = [{"name": "suspects", "adapter": "suspects", "root": suspects}]
            made.append(deployment)
    content["deployments"] = made
    return content


def deploy(
    config: Path,
    datasets: list[DatasetSpec],
    home: Home,
    suspects: str | None,
    gpu_slots: int,
    *,
    are_scheduled: bool,
) -> list[str]:
    """Make pool, GPU slots and deployments on the server of PREFECT_API_URL; returns the deployments' names.

    Raises:
        ConfigError: the experiment names no dataset.
        ServiceError: the server refuses, or has not taken them in time.
    """
    if not datasets:
        raise ConfigError(f"{config} names no dataset: deployments want a `datasets` list (docs/data.md)")
    template = yaml.safe_load(TEMPLATE.read_text(encoding="utf-8"))
    content = fill_in(template, config, datasets, home, suspects, are_scheduled=are_scheduled)
    with asking_the_server():
        prepare_pool(gpu_slots)
    home.services.mkdir(parents=True, exist_ok=True)
    path = home.services / "prefect.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    make_from(path)
    return [deployment["name"] for deployment in content["deployments"]]


def make_from(path: Path, timeout_s: float = _TIMEOUT_S) -> None:
    """Make all deployments of a file like `prefect.yaml` on the server of PREFECT_API_URL.

    Raises:
        ServiceError: the server refuses, or has not taken them in time.
    """
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(path.resolve())]
    try:
        done = subprocess.run(
            command, env=os.environ, cwd=CHECKOUT, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ServiceError(
            f"the deployments of {path} were not made within {timeout_s:g} s: see the server's log, and make them again"
        ) from error
    if done.returncode != 0:
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-5:])
        raise ServiceError(f"the deployments of {path} were refused:\n{last}")


@contextmanager
def asking_the_server() -> Iterator[None]:
    """What goes wrong between this process and the Prefect server is an error of the service.

    Raises:
        ServiceError: the server does not answer, or refuses.
    """
    try:
        yield
    except (httpx.HTTPError, PrefectException) as error:
        raise ServiceError(f"the Prefect server does not do what it is asked: {error}") from error


def prepare_pool(gpu_slots: int) -> None:
    """The pool a worker of this machine takes its runs from, and the slots GPU work waits for."""
    with get_client(sync_client=True) as client:
        with suppress(ObjectAlreadyExists):
            client.create_work_pool(WorkPoolCreate(name=WORK_POOL, type="process"))
        client.upsert_global_concurrency_limit_by_name(GPU_SLOTS, gpu_slots)


def _refresh_of(template: dict[str, Any], dataset: DatasetSpec) -> dict[str, Any]:
    deployment = deepcopy(template)
    deployment["name"] = f"refresh-{dataset.name}"
    deployment["description"] = f"Bring the tables up to date with {dataset.name}, check them and report."
    deployment["tags"] = [*deployment["tags"], dataset.name]
    deployment["parameters"]["datasets"] = [dataset.model_dump(mode="json", exclude_none=True)]
    return deployment
