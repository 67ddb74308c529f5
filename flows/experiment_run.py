"""What an end-to-end run does: whoever deploys or schedules the flow imports none of it."""

from dataclasses import dataclass

from flows.promote import decide_promotion
from flows.refresh import refresh_for_run
from flows.train import train
from tasks.calibration import STAGE as DETECTOR_STAGE
from tasks.evaluation import evaluate
from tasks.experiment import Experiment, StageRecord, result
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


def run_experiment(experiment: Experiment) -> Outcome:
    """All stages, one after the other, inside a flow; the work folder is there, and nobody else's."""
    records = refresh_for_run(experiment, check_backbone=True)
    run_id = open_training_run(experiment, records["faces"])
    with failing_run(experiment, run_id):
        records |= train(experiment, records["faces"], run_id)
        extraction = records["faces"].fingerprint
        detector, embeddings, pairs = (records[stage] for stage in (DETECTOR_STAGE, "embeddings", "pairs"))
        evaluated = evaluate(experiment, extraction, detector, embeddings, pairs, return_state=True)
        records["evaluation"] = result(evaluated)
        if experiment.config.robustness.is_wanted:
            measured = measure_robustness(experiment, extraction, detector, records["evaluation"], return_state=True)
            records["robustness"] = result(measured)
        artefact = experiment.home.artefacts.require(DETECTOR_STAGE, detector.fingerprint)
        figures = figure_paths(experiment, records)
        records["registry"] = result(register(experiment, run_id, records, artefact, figures, return_state=True))
    results_run_id = records["registry"].facts["run_id"]
    page = publish_training_report(experiment, records, results_run_id)
    report = publish_report(experiment, records, results_run_id, page)
    return Outcome(records, report, decide_promotion(experiment, extraction, records["registry"]))
