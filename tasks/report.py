"""Report: the figures of a run in one folder, and what Prefect's page of the run shows."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile

from prefect import task
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE

from tasks import backbone, calibration, diagnostics, evaluation, fusion, pseudo_fakes, robustness
from tasks.experiment import Experiment, StageRecord
from tasks.tracking import run_url

PAGE = "report.html"
"""The training report, in the report folder and among a run's artefacts."""

FIGURES = {
    pseudo_fakes.STAGE: (pseudo_fakes.SHEET,),
    backbone.STAGE: (backbone.CURVES,),
    calibration.STAGE: (calibration.FIGURE,),
    diagnostics.STAGE: (diagnostics.FIGURE, diagnostics.GRID_TABLE, diagnostics.DRIFT_TABLE),
    evaluation.STAGE: (
        evaluation.ROC,
        evaluation.AUCS,
        "scores*.png",
        evaluation.FALSE_POSITIVES,
        evaluation.EXAMPLES,
        evaluation.TABLE,
    ),
    robustness.STAGE: (robustness.FIGURE, robustness.TABLE),
}
"""Names of files, or patterns of names, in the artefacts of the stages."""

_RESULT_COLUMNS = (
    "domain", "in_domain", "group", "score", "n_real", "n_fake", "auc", "auc_low", "auc_high", "average_precision",
    "equal_error_rate", "true_positive_rate_at_1_percent", "true_positive_rate_at_5_percent",
    "true_positive_rate_at_10_percent", "balanced_accuracy_at_threshold", "balanced_accuracy_at_best_threshold",
    "auc_all_videos", "coverage_real", "coverage_fake", "reals_from",
)  # fmt: skip


@dataclass(frozen=True)
class Report:
    """Where the results of a run are to be seen."""

    folder: Path
    files: tuple[Path, ...]
    mlflow_url: str


def figure_paths(experiment: Experiment, records: Mapping[str, StageRecord]) -> tuple[Path, ...]:
    """The figures and tables among the artefacts of a run."""
    store = experiment.home.artefacts
    artefacts = {stage: store.require(stage, records[stage].fingerprint) for stage in FIGURES if stage in records}
    found = (artefact.folder.glob(name) for stage, artefact in artefacts.items() for name in FIGURES[stage])
    return tuple(path for paths in found for path in sorted(paths))


def cautions_of(records: Mapping[str, StageRecord]) -> list[str]:
    """What a reader of the results must bear in mind, in words, each once."""
    told = [text for record in records.values() for text in record.facts.get("warnings", [])]
    told += [records[fusion.STAGE].facts["warning"], records[calibration.STAGE].facts["warning"]]
    told.append(records[calibration.STAGE].facts["dependence"])
    return list(dict.fromkeys(text for text in told if text))


@task(name="report", task_run_name="report", cache_policy=NO_CACHE)
def publish_report(experiment: Experiment, records: Mapping[str, StageRecord], run_id: str, page: Path) -> Report:
    """Copy the figures beside the page and show the run's outcome on its Prefect page."""
    folder = experiment.home.reports / experiment.config.name
    folder.mkdir(parents=True, exist_ok=True)
    files = [page]
    for path in figure_paths(experiment, records):
        copyfile(path, folder / path.name)
        files.append(folder / path.name)
    url = run_url(experiment, run_id)
    create_table_artifact(
        key="stages",
        table=[
            {"stage": stage, "outcome": "reused" if record.reused else "done", "seconds": record.seconds,
             "what": record.summary}
            for stage, record in records.items()
        ],
        description="What each stage did",
    )  # fmt: skip
    create_markdown_artifact(key="results", markdown=_results(records), description="Test videos")
    create_link_artifact(key="mlflow-run", link=url, link_text="MLflow run (while `difffake ui` is up)")
    return Report(folder, tuple(files), url)


def _results(records: Mapping[str, StageRecord]) -> str:
    lines = ["| " + " | ".join(_RESULT_COLUMNS) + " |", "|" + "---|" * len(_RESULT_COLUMNS)]
    for row in evaluation.video_rows(records["evaluation"].facts):
        lines.append("| " + " | ".join(_cell(row[column]) for column in _RESULT_COLUMNS) + " |")
    return "\n".join(lines)


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
