"""Data report: what a refresh left in the lake, as a page, as one MLflow run, and on Prefect's page of the run.

A refresh that changed nothing and is reported already makes no new run: it is found again by its fingerprint.
"""

import html
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from time import time

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Run, RunStatus
from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE

from data_catalog.fingerprints import digest_names, fingerprint
from data_catalog.schemas import TableName
from tasks.data_facts import DataFacts
from tasks.data_page import PreviousReport, draw_figures, metrics, render_page
from tasks.experiment import Experiment, StageRecord
from tasks.page import Provenance, is_page_of, write_whole
from tasks.tracking import (
    FLOW_URL_TAG,
    commit,
    connect,
    ensure_experiment,
    failing_run,
    flow_tags,
    run_url,
)

STAGE = "data-report"
# Bump when the page or the run shows something else for the same lake.
STAGE_VERSION = 1
PAGE = "report.html"
MLFLOW_EXPERIMENT = "data"
REPORT_TAG = "difffake.data_report"
DATASETS_TAG = "difffake.datasets"
EXTRACTION_TAG = "difffake.extraction"

_TABLES = (TableName.VIDEOS, TableName.EXTRACTION_LOG, TableName.FACES, TableName.SCANS)
_LONGEST_NAME = 150
_FINISHED = RunStatus.to_string(RunStatus.FINISHED)

logger = logging.getLogger("difffake.tasks.data_report")


@dataclass(frozen=True)
class DataReport:
    """Where the report of a refresh is to be seen."""

    html: Path
    mlflow_url: str


@dataclass(frozen=True)
class BuiltReport:
    """A report with what Prefect's page shows of it; `is_reused`: it was there already."""

    report: DataReport
    is_reused: bool
    summary: str
    counts: list[dict[str, object]]


@task(name=STAGE, task_run_name=STAGE, cache_policy=NO_CACHE)
def publish_data_report(
    experiment: Experiment, extraction: str, records: Mapping[str, StageRecord], checks: Sequence[str]
) -> DataReport:
    """Write the report of a refresh, log it to MLflow and show its outcome on the run's Prefect page."""
    built = build_report(experiment, extraction, records, checks)
    create_markdown_artifact(key=STAGE, markdown=built.summary, description="The data after this refresh")
    create_table_artifact(key="data-counts", table=built.counts, description="Videos and faces by kind and status")
    verb = "reused" if built.is_reused else "done"
    logger.info("%-12s %s: %s", "data report", verb, built.report.html)
    return built.report


def build_report(
    experiment: Experiment, extraction: str, records: Mapping[str, StageRecord], checks: Sequence[str]
) -> BuiltReport:
    """Write the page and log the MLflow run, or find both where nothing changed; needs no Prefect server.

    Args:
        experiment: the lake and the datasets.
        extraction: the fingerprint of the faces that count.
        records: what the stages `ingest` and `faces` did.
        checks: findings of the table checks, in words.

    Raises:
        ServiceError: the MLflow store cannot be used.
    """
    client = connect(experiment)
    refresh = _Refresh(experiment, extraction, records, checks, DataFacts(experiment, extraction))
    known = _last_run(
        client,
        ensure_experiment(client, experiment, MLFLOW_EXPERIMENT),
        f"tags.`{REPORT_TAG}` = '{refresh.fingerprint}'",
    )
    is_finished = known is not None and known.info.status == _FINISHED
    if known is not None and is_finished and records["ingest"].reused and records["faces"].reused:
        if not is_page_of(refresh.page, refresh.fingerprint):
            _write_report(client, refresh, known)
        return _built(refresh, known, is_reused=True)
    run = _open_run(client, refresh) if known is None or is_finished else _go_on(client, known)
    with failing_run(experiment, run.info.run_id):
        _log_report(client, refresh, run.info.run_id, _write_report(client, refresh, run))
        built = _built(refresh, run, is_reused=False)
        client.set_tag(run.info.run_id, "mlflow.note.content", built.summary)
        client.set_terminated(run.info.run_id, _FINISHED)
    return built


@dataclass(frozen=True, eq=False)
class _Refresh:
    """What is reported."""

    experiment: Experiment
    extraction: str
    records: Mapping[str, StageRecord]
    checks: Sequence[str]
    facts: DataFacts

    @property
    def names(self) -> str:
        """The datasets' names as one, short enough for a folder."""
        joined = "+".join(self.experiment.names)
        return joined if len(joined) <= _LONGEST_NAME else f"{joined[:_LONGEST_NAME]}+{digest_names([joined])}"

    @property
    def page(self) -> Path:
        """Where the page lies, or will."""
        return self.experiment.home.reports / "data" / self.names / PAGE

    @cached_property
    def fingerprint(self) -> str:
        """Names what a report tells: equal as long as neither the datasets nor the tables change."""
        inputs = {
            "datasets": self.facts.datasets,
            "extraction": self.extraction,
            "faces": self.records["faces"].digest,
            "scans": [scan["scan_id"] for scan in self.facts.last_scans],
            "counts": self.facts.counts,
            "checks": list(self.checks),
        }
        return fingerprint(STAGE, STAGE_VERSION, None, inputs)


def _write_report(client: MlflowClient, refresh: _Refresh, run: Run) -> list[Path]:
    """Write the page and its figures, each whole or not at all; returns the files."""
    experiment, page = refresh.experiment, refresh.page
    figures = draw_figures(refresh.facts)
    provenance = Provenance(
        fingerprint=refresh.fingerprint,
        written_at=datetime.now(UTC),
        commit=commit(),
        mlflow_url=run_url(experiment, run.info.run_id),
        flow_url=run.data.tags.get(FLOW_URL_TAG, ""),
    )
    previous = _previous(client, experiment, run)
    text = render_page(experiment, refresh.facts, refresh.records, refresh.checks, figures, provenance, previous)
    page.parent.mkdir(parents=True, exist_ok=True)
    files = {**figures, page.name: text.encode()}
    write_whole({page.with_name(file): content for file, content in files.items()})
    return [page.with_name(file) for file in files]


def _open_run(client: MlflowClient, refresh: _Refresh) -> Run:
    tags = {
        REPORT_TAG: refresh.fingerprint,
        DATASETS_TAG: "+".join(refresh.experiment.names),
        EXTRACTION_TAG: refresh.extraction,
        "mlflow.source.name": "difffake",
        "mlflow.source.git.commit": commit(),
        **flow_tags(),
    }
    run_name = f"{refresh.names}-{datetime.now(UTC):%Y-%m-%d}"
    return client.create_run(
        ensure_experiment(client, refresh.experiment, MLFLOW_EXPERIMENT), run_name=run_name, tags=tags
    )


def _go_on(client: MlflowClient, run: Run) -> Run:
    """Take up a run that was cut short."""
    client.update_run(run.info.run_id, RunStatus.to_string(RunStatus.RUNNING))
    for tag, value in flow_tags().items():
        client.set_tag(run.info.run_id, tag, value)
    return client.get_run(run.info.run_id)


def _last_run(client: MlflowClient, experiment_id: str, condition: str) -> Run | None:
    runs = client.search_runs([experiment_id], condition, max_results=1, order_by=["attributes.start_time DESC"])
    return runs[0] if runs else None


def _previous(client: MlflowClient, experiment: Experiment, run: Run) -> PreviousReport | None:
    """The finished report of the same datasets that was begun last before this one."""
    before = _last_run(
        client,
        run.info.experiment_id,
        f"tags.`{DATASETS_TAG}` = '{'+'.join(experiment.names)}' AND attributes.status = '{_FINISHED}' "
        f"AND attributes.start_time < {run.info.start_time}",
    )
    if before is None:
        return None
    return PreviousReport(datetime.fromtimestamp(before.info.start_time / 1000, UTC), before.data.metrics)


def _log_report(client: MlflowClient, refresh: _Refresh, run_id: str, files: Sequence[Path]) -> None:
    now_ms = int(time() * 1000)
    numbers = metrics(refresh.facts, refresh.records)
    client.log_batch(run_id, metrics=[Metric(key, float(value), now_ms, 0) for key, value in numbers.items()])
    _log_inputs(client, refresh, run_id)
    for path in files:
        client.log_artifact(run_id, str(path), "figures" if path.suffix == ".png" else None)


def _log_inputs(client: MlflowClient, refresh: _Refresh, run_id: str) -> None:
    logged = client.get_run(run_id).inputs
    if logged and logged.dataset_inputs:
        return
    lake = refresh.experiment.lake
    inputs = []
    for table in _TABLES:
        delta_version = lake.version(table)
        place = json.dumps({"uri": lake.folder.file_uri(table.value), "delta_version": delta_version})
        digest = refresh.records["faces"].digest if table is TableName.FACES else f"v{delta_version}"
        dataset = Dataset(f"{refresh.names}/{table.value}", digest, "delta_table", place)
        inputs.append(DatasetInput(dataset, [InputTag("mlflow.data.context", "data report")]))
    client.log_inputs(run_id, inputs)


def _built(refresh: _Refresh, run: Run, *, is_reused: bool) -> BuiltReport:
    """The report with its outcome in a few lines of Markdown."""
    report = DataReport(refresh.page, run_url(refresh.experiment, run.info.run_id))
    numbers = {name: f"{value:,.0f}" for name, value in metrics(refresh.facts, refresh.records).items()}
    statuses = ", ".join(
        f"{count} {name.removeprefix('videos.')}" for name, count in numbers.items() if name.startswith("videos.")
    )
    lines = [
        f"**{', '.join(refresh.experiment.names)}**: {numbers['videos']} videos, {numbers['faces']} faces.",
        "",
        *(["Nothing changed: the report is that of an earlier refresh.", ""] if is_reused else []),
        f"- **Changes**: {html.escape(refresh.records['ingest'].summary)}",
        f"- **Status**: {statuses}",
        f"- **Checks**: {f'{len(refresh.checks)} not as they must be' if refresh.checks else 'all well'}",
        *(f"    - {html.escape(finding)}" for finding in refresh.checks),
        f"- **Page**: `{report.html.resolve()}`",
        f"- [MLflow run]({report.mlflow_url}) (while `difffake ui` is up)",
    ]
    return BuiltReport(report, is_reused, "\n".join(lines), refresh.facts.counts)
