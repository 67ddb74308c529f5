"""What a batch prints last, and its scores as a file."""

from rich.console import Console
from rich.table import Table

from flows.batch import BatchOutcome
from tasks.batch import list_scores
from tasks.score_files import Format, encode_table

_LISTED = 20


def encode_scores(outcome: BatchOutcome, form: Format) -> bytes:
    """All scores of the datasets, the most anomalous first."""
    return encode_table(list_scores(outcome.experiment, outcome.model), form)


def print_batch(outcome: BatchOutcome) -> int:
    """Print the stages and the most anomalous videos on standard output; returns how many were not scored."""
    console = Console(highlight=False)
    for name, record in outcome.records.items():
        state = "reused" if record.reused else "done"
        console.print(f"{name:8} {state:7} {record.seconds:7.1f} s  {record.summary}", markup=False)
    rows = list_scores(outcome.experiment, outcome.model).to_pylist()
    table = Table(title="Most anomalous", title_justify="left")
    for name in ("video", "verdict", "p-value", "score", "people", "faces"):
        is_number = name in ("p-value", "score", "people", "faces")
        table.add_column(name, overflow="fold", justify="right" if is_number else "left")
    scored = [row for row in rows if row["status"] == "scored"]
    for row in scored[:_LISTED]:
        verdict = "anomalous" if row["is_anomalous"] else "not anomalous"
        figures = (f"{row['p_value']:.4g}", f"{row['score']:.4g}", f"{row['tracks_judged']}", f"{row['faces_used']}")
        table.add_row(row["video_key"], verdict, *figures)
    if scored:
        console.print(table)
    lost = [row for row in rows if row["status"] != "scored"]
    for row in lost[:_LISTED]:
        console.print(f"{row['status']} {row['video_key']}: {row['reason']}", markup=False)
    if len(lost) > _LISTED:
        console.print(f"… and {len(lost) - _LISTED} more not scored")
    console.print(f"Scores: table scores, detector {outcome.model.digest}")
    return len(lost)
