"""End to end: refresh → train → evaluate (→ perturb) → register → promote, each redone only where something changed."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from prefect import flow
from prefect.runtime import flow_run

from data_catalog.home import DEFAULT_HOME
from difffake.config import DatasetSpec, ExperimentConfig, StageName
from flows.hooks import HOOKS
from flows.promote import decide_promotion
from flows.refresh import prepare, refresh_for_run
from flows.train import train
from tasks.calibration import STAGE as DETECTOR_STAGE
from tasks.evaluation import evaluate
from tasks.experiment import StageRecord, result
from tasks.registry import open_training_run, register
from tasks.report import Report, figure_paths, publish_report
from tasks.robustness import measure_robustness
from tasks.tracking import failing_run
from tasks.training_report import publish_training_report


@dataclass(frozen=True)
class Outcome:
    """What a run did and where its results are."""

    records: dict[str, StageRecord]
    report: Report
    decision: str


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
) -> Outcome:
    """Run one experiment on one or more datasets.

    Args:
        config: the experiment, or the YAML file that holds it.
        datasets: which folders to read, and with which adapter; default: those of the configuration.
        home: the work folder.
        force: stages to redo although nothing changed.
        lake: path or URI of the tables, where they are not below the work folder.
    """
    experiment = replace(prepare(config, datasets, home, lake), force=frozenset(force or ()))
    with experiment.home.lock():
        experiment.home.create()
        records = refresh_for_run(experiment, check_backbone=True)
        run_id = open_training_run(experiment, records["faces"])
        with failing_run(experiment, run_id):
            records |= train(experiment, records["faces"], run_id)
            extraction = records["faces"].fingerprint
            detector, embeddings, pairs = (records[stage] for stage in (DETECTOR_STAGE, "embeddings", "pairs"))
            evaluated = evaluate(experiment, extraction, detector, embeddings, pairs, return_state=True)
            records["evaluation"] = result(evaluated)
            if experiment.config.robustness.is_wanted:
                measured = measure_robustness(
                    experiment, extraction, detector, records["evaluation"], return_state=True
                )
                records["robustness"] = result(measured)
            artefact = experiment.home.artefacts.require(DETECTOR_STAGE, detector.fingerprint)
            figures = figure_paths(experiment, records)
            records["registry"] = result(register(experiment, run_id, records, artefact, figures, return_state=True))
        results_run_id = records["registry"].facts["run_id"]
        page = publish_training_report(experiment, records, results_run_id)
        report = publish_report(experiment, records, results_run_id, page)
        return Outcome(records, report, decide_promotion(experiment, extraction, records["registry"]))
