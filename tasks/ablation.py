"""Ablation: a parent MLflow run, a nested run for each cell and seed, and the comparison of them all.

Cells are measured, not registered: what is worth keeping is trained again with `difffake run`.
"""

import csv
import io
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from time import time
from typing import Any

from mlflow.entities import Metric, RunStatus
from mlflow.utils.mlflow_tags import MLFLOW_LOGGED_ARTIFACTS, MLFLOW_PARENT_RUN_ID
from prefect import task
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE

from data_catalog.fingerprints import fingerprint
from difffake.ablation import BASE, Ablation, PlannedRun, show_differences, stage_keys
from difffake.evaluation.comparison import ComparisonRow, RunResult, ScoreResult, compare
from difffake.evaluation.comparison_figure import comparison_figure
from difffake.evaluation.plot_style import png
from tasks import evaluation
from tasks.experiment import Experiment, StageRecord
from tasks.headline import headline
from tasks.registry import log_inputs, log_results
from tasks.tracking import FINISHED, connect, flatten, run_url, take_up_run

PLAN_TAG = "difffake.ablation"
CELL_TAG = "difffake.ablation_cell"
COST_TAG = "difffake.ablation_cost"
FAILURE_TAG = "difffake.failure"
TABLE = "comparison.csv"
RUNS = "runs.csv"
FIGURE = "comparison.png"
MLFLOW_TABLE = "comparison.json"
SEEN_NOTE = (
    "These AUC are of the test videos: a configuration chosen by them has seen the test fakes. Confirm it on fakes "
    "that were not used here."
)
_FIGURES = (evaluation.ROC, evaluation.HISTOGRAM)
_LONGEST_TAG = 4000

logger = logging.getLogger("difffake.tasks.ablation")


@dataclass(frozen=True)
class ComparisonReport:
    """The comparison, and where it is to be seen."""

    rows: tuple[ComparisonRow, ...]
    results: tuple[RunResult, ...]
    files: tuple[Path, ...]
    mlflow_url: str

    @property
    def failed(self) -> tuple[RunResult, ...]:
        """Runs without a result."""
        return tuple(result for result in self.results if result.reason is not None)


@task(name="open-ablation", task_run_name="open-ablation", cache_policy=NO_CACHE)
def open_ablation(experiment: Experiment, ablation: Ablation, runs: Sequence[PlannedRun], faces: StageRecord) -> str:
    """The id of the parent run: the one begun with these cells on these faces, or a new one."""
    cells = {run.label: stage_keys(run.config)["evaluation"] for run in runs}
    inputs = {"name": ablation.name, "cells": cells, "faces": faces.digest, "datasets": experiment.names}
    plan = fingerprint("ablation", 1, None, inputs)
    plain = ablation.model_dump(mode="json", include={"mode", "seeds", "axes"})
    params = {f"ablation.{key}": json.dumps(value) for key, value in plain.items()}
    params |= flatten(ablation.base.model_dump(mode="json"))
    run_id = take_up_run(experiment, ablation.name, {PLAN_TAG: plan}, f"{ablation.name}-{plan[:6]}", params)
    connect(experiment).set_tag(run_id, "mlflow.note.content", f"{len(runs)} runs. {SEEN_NOTE}")
    return run_id


@task(name="open-cell", task_run_name="open-cell", cache_policy=NO_CACHE)
def open_cell(experiment: Experiment, parent_id: str, run: PlannedRun) -> str:
    """The id of a cell's run under its parent."""
    return _cell_run(experiment, parent_id, run)


@task(name="conclude-cell", task_run_name="conclude-cell", cache_policy=NO_CACHE)
def conclude_cell(
    experiment: Experiment, run_id: str, run: PlannedRun, records: Mapping[str, StageRecord]
) -> RunResult:
    """Log what a cell gave; one that was finished before keeps what it took then."""
    client = connect(experiment)
    evaluated = records[evaluation.STAGE]
    known = client.get_run(run_id)
    is_known = known.info.status == FINISHED and known.data.tags.get(CELL_TAG + ".evaluation") == evaluated.fingerprint
    cost = json.loads(known.data.tags[COST_TAG]) if is_known else _cost(run, records)
    if not is_known:
        client.update_run(run_id, RunStatus.to_string(RunStatus.RUNNING))
        log_results(client, run_id, records)
        log_inputs(client, experiment, run_id, records)
        artefact = experiment.home.artefacts.require(evaluation.STAGE, evaluated.fingerprint)
        for path in (artefact.path(name) for name in _FIGURES):
            client.log_artifact(run_id, str(path), "figures")
        client.set_tag(run_id, COST_TAG, json.dumps(cost))
        note = "\n".join(f"- **{stage}**: {record.summary}" for stage, record in records.items())
        client.set_tag(run_id, "mlflow.note.content", note)
        client.set_terminated(run_id, FINISHED)
        # Last: a conclusion that was cut short is gone through again.
        client.set_tag(run_id, CELL_TAG + ".evaluation", evaluated.fingerprint)
    result = RunResult(
        run.cell.name, run.config.seed, headline(evaluated.facts), cost["seconds"], tuple(cost["reused"])
    )
    logger.info("%-12s %s: %s", "cell", run.label, evaluated.summary)
    return result


@task(name="fail-cell", task_run_name="fail-cell", cache_policy=NO_CACHE)
def fail_cell(experiment: Experiment, parent_id: str, run: PlannedRun, reason: str) -> RunResult:
    """Mark a cell's run failed, with the reason."""
    client = connect(experiment)
    run_id = _cell_run(experiment, parent_id, run)
    client.set_tag(run_id, FAILURE_TAG, reason[:_LONGEST_TAG])
    client.set_tag(run_id, "mlflow.note.content", f"Failed: {reason}"[:_LONGEST_TAG])
    client.set_terminated(run_id, RunStatus.to_string(RunStatus.FAILED))
    logger.error("%-12s %s failed: %s", "cell", run.label, reason)
    return RunResult(run.cell.name, run.config.seed, reason=reason)


@task(name="comparison", task_run_name="comparison", cache_policy=NO_CACHE)
def publish_comparison(
    experiment: Experiment, parent_id: str, runs: Sequence[PlannedRun], results: Sequence[RunResult]
) -> ComparisonReport:
    """Write the table and the figure, log them to the parent run and show them on Prefect's page."""
    cells = {run.cell.name: show_differences(run.cell.differences) for run in runs}
    rows = compare(list(cells.items()), results, BASE)
    folder = experiment.home.reports / experiment.config.name
    folder.mkdir(parents=True, exist_ok=True)
    table = [row.to_dict() for row in rows]
    (folder / TABLE).write_text(_csv(table), encoding="utf-8")
    (folder / RUNS).write_text(_csv(_runs_table(results)), encoding="utf-8")
    confidence = experiment.config.evaluation.confidence
    (folder / FIGURE).write_bytes(png(comparison_figure(rows, results, BASE, confidence, SEEN_NOTE)))
    files = tuple(folder / name for name in (TABLE, RUNS, FIGURE))
    report = ComparisonReport(rows, tuple(results), files, run_url(experiment, parent_id))
    _log_comparison(experiment, parent_id, report, table)
    create_table_artifact(key="comparison", table=table, description=SEEN_NOTE)
    create_markdown_artifact(key="comparison-note", markdown=_markdown(report), description="Ablation")
    create_link_artifact(key="mlflow-run", link=report.mlflow_url, link_text="MLflow run (while `difffake ui` is up)")
    return report


def _cell_run(experiment: Experiment, parent_id: str, run: PlannedRun) -> str:
    key = fingerprint("ablation-cell", 1, None, {"key": stage_keys(run.config)["evaluation"]})
    identity = {MLFLOW_PARENT_RUN_ID: parent_id, CELL_TAG: key}
    config = experiment.config
    return take_up_run(experiment, config.name, identity, run.label, flatten(config.model_dump(mode="json")))


def _cost(run: PlannedRun, records: Mapping[str, StageRecord]) -> dict[str, Any]:
    """Seconds and reused stages; the faces count where this run was the first to want them."""
    shared = () if "faces" in run.makes else ("faces",)
    stages = {stage: record for stage, record in records.items() if stage not in ("ingest", *shared)}
    seconds = sum(record.seconds for record in stages.values() if not record.reused)
    return {
        "seconds": round(seconds, 2),
        "reused": [*shared, *(stage for stage, record in stages.items() if record.reused)],
    }


def _log_comparison(
    experiment: Experiment, parent_id: str, report: ComparisonReport, table: Sequence[Mapping[str, object]]
) -> None:
    client = connect(experiment)
    now_ms = int(time() * 1000)
    numbers = {
        "runs": len(report.results),
        "failed": len(report.failed),
        "seconds": sum(r.seconds for r in report.results),
    }
    client.log_batch(parent_id, metrics=[Metric(key, float(value), now_ms, 0) for key, value in numbers.items()])
    for path in report.files:
        client.log_artifact(parent_id, str(path), "figures" if path.suffix == ".png" else "tables")
    # `log_table` would append to the table of an earlier attempt; the tag is what it sets for MLflow's own view.
    split = {"columns": list(table[0]), "data": [list(row.values()) for row in table]}
    client.log_text(parent_id, json.dumps(split), MLFLOW_TABLE)
    client.set_tag(parent_id, MLFLOW_LOGGED_ARTIFACTS, json.dumps([{"path": MLFLOW_TABLE, "type": "table"}]))
    status = RunStatus.FAILED if report.failed else RunStatus.FINISHED
    client.set_terminated(parent_id, RunStatus.to_string(status))


def _runs_table(results: Sequence[RunResult]) -> list[dict[str, object]]:
    """A row for each run and score; a failed run has one row with its reason."""
    columns = tuple(field.name for field in fields(ScoreResult))
    rows: list[dict[str, object]] = []
    for result in results:
        of_run = {
            "cell": result.cell,
            "seed": result.seed,
            "seconds": result.seconds,
            "reused": " ".join(result.reused),
        }
        figures = [asdict(figure) for figure in result.scores] or [dict.fromkeys(columns) | {"reason": result.reason}]
        rows += [of_run | figure for figure in figures]
    return rows


def _csv(rows: Sequence[Mapping[str, object]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _markdown(report: ComparisonReport) -> str:
    lines = [f"{len(report.results)} runs, {len(report.failed)} failed. {SEEN_NOTE}", ""]
    lines += [f"- {result.cell}, seed {result.seed}: {result.reason}" for result in report.failed]
    return "\n".join(lines)
