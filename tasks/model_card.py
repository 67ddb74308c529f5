"""Model card: what a registered version is, what it was made of and what it can do, in Markdown for MLflow's pages."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from data_catalog.schemas import TableName
from difffake.evaluation.results import OVERALL
from difffake.evaluation.verdict import verdict
from tasks import calibration, evaluation
from tasks.experiment import ROLES, Experiment, StageRecord
from tasks.report import cautions_of

LONGEST = 4800
"""Characters: MLflow's database takes 5,000 for a version's description."""

_READ = (TableName.VIDEOS, TableName.FACES, TableName.PAIRS)
_HEAD = ("domain", "fakes", "score", "real", "fake", "AUC [interval]", "TPR at 5 %", "scored")


def model_card(
    experiment: Experiment, records: Mapping[str, StageRecord], commit: str, run_page: str, report: str
) -> str:
    """The card, its table of results cut where it would be longer than MLflow takes.

    Args:
        experiment: what was run.
        records: what its stages did.
        commit: of the code that ran.
        run_page: address of the MLflow run's page.
        report: address of the training report.
    """
    config = experiment.config
    facts = records[calibration.STAGE].facts
    stated = facts["stated_false_positive_rate"]
    found = verdict(records[evaluation.STAGE].facts["groups"], stated, config.evaluation.confidence)
    rows = [_result(row) for row in evaluation.video_rows(records[evaluation.STAGE].facts)]

    def text(results: int) -> str:
        parts = [
            f"Detector of the experiment **{config.name}** (differential anomaly detection, arXiv 2502.16247). Higher "
            "scores are more anomalous. Out of scope: fully synthetic and text-to-video content.",
            " ".join(found.sentences),
            *(f"⚠ {caution}" for caution in cautions_of(records)),
            "### Results",
            _results(rows, results),
            "### Verdict",
            f"The score **{config.calibration.verdict}** decides; above {facts['threshold']:.4g} a video is anomalous, "
            f"at a false-positive rate of {stated:.0%} on {facts['videos']} held-out real videos of "
            f"{facts['identities']} people.",
            "### Made from",
            _table(("what", "which"), _made_from(experiment, records, commit)),
            f"[Training report]({report}) · [MLflow run, with its configuration and figures]({run_page})",
            "### Stages",
            "\n".join(f"- **{stage}**: {record.summary}" for stage, record in records.items()),
        ]
        return "\n\n".join(parts)

    return _fitted(text, len(rows))


def _fitted(text: Callable[[int], str], most: int) -> str:
    """The text with as many rows as fit."""
    made = ""
    for count in range(most, -1, -1):
        if len(made := text(count)) <= LONGEST:
            return made
    return made[: LONGEST - 1] + "…"


def _results(rows: Sequence[tuple[str, ...]], count: int) -> str:
    left = len(rows) - count
    return _table(_HEAD, rows[:count]) + (f"\n\n{left} more rows are in the report." if left else "")


def _result(row: Mapping[str, Any]) -> tuple[str, ...]:
    interval = "" if row["auc_low"] is None else f" [{row['auc_low']:.3f}, {row['auc_high']:.3f}]"
    scored = row["n_scored"]
    return (
        row["domain"] + (" (in-domain)" if row["in_domain"] else ""),
        "all" if row["group"] == OVERALL else row["group"],
        row["score"],
        str(row["n_real"]),
        str(row["n_fake"]),
        _number(row["auc"]) + interval,
        _number(row["true_positive_rate_at_5_percent"]),
        f"{scored} of {scored + row['n_abstained'] + row['n_failed']}",
    )


def _made_from(experiment: Experiment, records: Mapping[str, StageRecord], commit: str) -> list[tuple[str, str]]:
    roles = experiment.roles().to_pylist()
    counts = {role: [row for row in roles if row["role"] == role] for role in ROLES}
    videos = ", ".join(
        f"{len(rows)} {role} ({len({row['identity'] for row in rows})} people)" for role, rows in counts.items() if rows
    )
    versions = ", ".join(f"{table.value} v{experiment.lake.version(table)}" for table in _READ)
    return [
        ("code", f"commit `{commit}`"),
        ("seed", str(experiment.config.seed)),
        ("datasets", ", ".join(f"{dataset.name} ({dataset.adapter})" for dataset in experiment.datasets)),
        ("videos", videos),
        ("tables", f"{versions}; faces `{records['faces'].digest}`, pairs `{records['pairs'].digest}`"),
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
