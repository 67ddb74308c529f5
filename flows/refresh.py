"""Refresh: scan the datasets, extract the faces of new and changed videos, check the tables, report."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from prefect import flow
from prefect.states import Completed, State

from data_catalog.home import DEFAULT_HOME, Home
from difffake.config import DatasetSpec, ExperimentConfig, load_config
from difffake.faces.records import ExtractionStatus
from flows.extraction import extract, extract_recompressed
from flows.hooks import HOOKS
from tasks.announcements import announce_new_faces
from tasks.checks import check_tables
from tasks.cluster import check_cluster
from tasks.data_report import DataReport, publish_data_report
from tasks.experiment import Experiment, StageRecord, result
from tasks.ingest import check_roles, ingest

FINDINGS = "Findings"
"""What the state of a refresh is called whose checks found something; such runs can be filtered for and alerted on."""


@dataclass(frozen=True)
class RefreshOutcome:
    """What a refresh did, what its checks found, and where its report is."""

    records: dict[str, StageRecord]
    checks: tuple[str, ...]
    report: DataReport


def _run_name() -> str:
    return f"refresh-{datetime.now(UTC):%m%d-%H%M%S}"


@flow(
    name="refresh",
    flow_run_name=_run_name,
    **HOOKS,
)
def refresh(
    config: ExperimentConfig | Path,
    datasets: list[DatasetSpec] | None = None,
    home: Path = DEFAULT_HOME,
    lake: str | None = None,
    retry: list[ExtractionStatus] | None = None,
    verify: bool = False,
) -> RefreshOutcome | State[RefreshOutcome]:
    """Bring the lake up to date with its datasets: every present video ends in exactly one status.

    Args:
        config: the experiment whose `faces` section says how faces are cut, or its YAML file.
        datasets: which folders to read; default: those of the configuration.
        home: the work folder.
        lake: path or URI of the tables, where they are not below the work folder.
        retry: statuses whose videos are tried again.
        verify: read every file, to find content that changed behind the same size and time.
    """
    experiment = prepare(config, datasets, home, lake)
    with experiment.home.lock():
        experiment.home.create()
        records = {"ingest": result(ingest(experiment, verify, return_state=True))}
        records["faces"] = extract(experiment, "all", retry or ())
        checks = check_tables(experiment, records["faces"].fingerprint)
        report = publish_data_report(experiment, records["faces"].fingerprint, records, checks)
        announce_new_faces(experiment, records["faces"].fingerprint)
        outcome = RefreshOutcome(records, tuple(checks), report)
        if not checks:
            return outcome
        # The videos are in the tables, so it has not failed; who looks at a schedule's runs must see it all the same.
        return Completed(name=FINDINGS, message=f"{len(checks)} findings of the checks: {checks[0]}", data=outcome)


@flow(name="refresh-for-run", flow_run_name="refresh-for-run", validate_parameters=False)
def refresh_for_run(experiment: Experiment, check_backbone: bool = False) -> dict[str, StageRecord]:
    """The part of an experiment's run: only videos it has a use for are opened, people who cross splits are refused.

    Args:
        experiment: the run's.
        check_backbone: as `extract` does.
    """
    scanned = result(ingest(experiment, return_state=True))
    check_roles(experiment)
    faces = extract(experiment, "roles", check_backbone=check_backbone)
    extract_recompressed(experiment)
    return {"ingest": scanned, "faces": faces}


def prepare(
    config: ExperimentConfig | Path,
    datasets: list[DatasetSpec] | None,
    home: Path,
    lake: str | None,
) -> Experiment:
    """The facts of a run from the parameters of a deployable flow.

    Raises:
        ConfigError: the configuration cannot be read, or wants what is not installed.
        ServiceError: a Dask cluster is configured, and does not answer.
    """
    logging.getLogger("difffake").setLevel(logging.INFO)
    config = load_config(config) if isinstance(config, Path) else config
    check_cluster(config.runner)
    specs = tuple(datasets or config.datasets)
    return Experiment(config, Home(home, lake) if lake else Home(home), specs)
