"""End to end: refresh → train → evaluate (→ perturb) → register → promote, each redone only where something changed."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import flow
from prefect.runtime import flow_run

from data_catalog.home import DEFAULT_HOME
from difffake.config import DatasetSpec, ExperimentConfig, StageName
from flows.hooks import HOOKS
from flows.refresh import prepare

if TYPE_CHECKING:
    from flows.experiment_run import Outcome


def _run_name() -> str:
    config = flow_run.parameters["config"]
    return (
        f"{config.name if isinstance(config, ExperimentConfig) else Path(config).stem}-{datetime.now(UTC):%m%d-%H%M%S}"
    )


@flow(
    name="end-to-end",
    flow_run_name=_run_name,
    **HOOKS,
)
def end_to_end(
    config: ExperimentConfig | Path,
    datasets: list[DatasetSpec] | None = None,
    home: Path = DEFAULT_HOME,
    force: list[StageName] | None = None,
    lake: str | None = None,
) -> "Outcome":
    """Run one experiment on one or more datasets.

    Args:
        config: the experiment, or the YAML file that holds it.
        datasets: which folders to read, and with which adapter; default: those of the configuration.
        home: the work folder.
        force: stages to redo although nothing changed.
        lake: path or URI of the tables, where they are not below the work folder.
    """
    experiment = replace(prepare(config, datasets, home, lake), force=frozenset(force or ()))
    # Imported here: whoever deploys or schedules this flow trains nothing.
    from flows.experiment_run import run_experiment

    with experiment.home.lock():
        experiment.home.create()
        return run_experiment(experiment)
