"""Ablate: one experiment and changes to it, each measured on the same videos, compared in one table."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.runtime import flow_run
from prefect.states import State

from data_catalog.home import DEFAULT_HOME
from difffake.ablation import Ablation, PlannedRun, load_ablation, plan_runs, stage_keys
from difffake.config import DatasetSpec
from difffake.errors import DiffFakeError, ServiceError
from difffake.evaluation.comparison import RunResult
from flows.hooks import HOOKS
from flows.refresh import prepare, refresh_for_run
from flows.train import train
from tasks.ablation import ComparisonReport, conclude_cell, fail_cell, open_ablation, open_cell, publish_comparison
from tasks.calibration import STAGE as DETECTOR_STAGE
from tasks.evaluation import evaluate
from tasks.experiment import Experiment, StageRecord, result
from tasks.tracking import failing_run

logger = logging.getLogger("difffake.flows.ablate")

Records = dict[str, StageRecord]


def _run_name() -> str:
    ablation = flow_run.parameters["ablation"]
    name = ablation.name if isinstance(ablation, Ablation) else Path(ablation).stem
    return f"ablate-{name}-{datetime.now(UTC):%m%d-%H%M%S}"


def _cell_name() -> str:
    return str(flow_run.parameters["planned"].label)


@flow(name="ablate", flow_run_name=_run_name, **HOOKS)
def ablate(
    ablation: Ablation | Path,
    datasets: list[DatasetSpec] | None = None,
    home: Path = DEFAULT_HOME,
    lake: str | None = None,
) -> ComparisonReport:
    """Run every cell of an ablation under every seed; what cells share is made once, and a cell that fails is a row.

    Args:
        ablation: what is varied, or the YAML file that says so.
        datasets: which folders to read, and with which adapter; default: those of the base experiment.
        home: the work folder.
        lake: path or URI of the tables, where they are not below the work folder.
    """
    ablation = load_ablation(ablation) if isinstance(ablation, Path) else ablation
    runs = plan_runs(ablation)
    base = ablation.base.model_copy(update={"name": ablation.name})
    experiment = prepare(base, datasets, home, lake)
    with experiment.home.lock():
        experiment.home.create()
        faces = refresh_for_run(experiment)
        parent_id = open_ablation(experiment, ablation, runs, faces["faces"])
        with failing_run(experiment, parent_id):
            results = _run_all(experiment, runs, parent_id, faces)
            return publish_comparison(experiment, parent_id, runs, results)


@flow(name="ablation-cell", flow_run_name=_cell_name, validate_parameters=False)
def run_cell(experiment: Experiment, faces: Records, parent_id: str, planned: PlannedRun) -> RunResult:
    """One cell under one seed: trained and evaluated, not registered."""
    run_id = open_cell(experiment, parent_id, planned)
    with failing_run(experiment, run_id):
        records = faces | train(experiment, faces["faces"], run_id)
        detector, embeddings, pairs = (records[stage] for stage in (DETECTOR_STAGE, "embeddings", "pairs"))
        evaluated = evaluate(experiment, faces["faces"].fingerprint, detector, embeddings, pairs, return_state=True)
        return conclude_cell(experiment, run_id, planned, records | {"evaluation": result(evaluated)})


def _run_all(
    experiment: Experiment, runs: Sequence[PlannedRun], parent_id: str, base_faces: Records
) -> list[RunResult]:
    extracted: dict[str, Records | str] = {stage_keys(experiment.config)["faces"]: base_faces}
    results = []
    for number, planned in enumerate(runs, 1):
        logger.info("%-12s %d of %d: %s", "ablation", number, len(runs), planned.label)
        own = replace(experiment, config=planned.config)
        key = stage_keys(own.config)["faces"]
        if key not in extracted:
            extracted[key] = _outcome(refresh_for_run(own, return_state=True))
        found = extracted[key]
        given = (
            found if isinstance(found, str) else _outcome(run_cell(own, found, parent_id, planned, return_state=True))
        )
        results.append(fail_cell(own, parent_id, planned, given) if isinstance(given, str) else given)
    return results


def _outcome(state: State[Any]) -> Any:
    """What a flow returned, or why it failed, in words; what would stop every cell is raised."""
    if state.is_completed():
        return state.result()
    error = state.result(raise_on_failure=False)
    if not state.is_failed() or isinstance(error, ServiceError):
        raise error
    if not isinstance(error, DiffFakeError):
        logger.error("not an error of the data or the configuration", exc_info=error)
    return f"{type(error).__name__}: {error}"
