"""What a run prints last: the table, the figures and the command that opens the pages."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from data_catalog.home import DEFAULT_HOME
from flows.experiment_run import Outcome
from tasks.evaluation import video_rows
from tasks.report import cautions_of

console = Console(highlight=False)


def print_outcome(outcome: Outcome, home: Path) -> None:
    """Print the outcome on standard output."""
    stages = Table(title="Stages", title_justify="left")
    for column in ("stage", "outcome", "seconds", "what"):
        stages.add_column(column, justify="right" if column == "seconds" else "left", overflow="fold")
    for name, record in outcome.records.items():
        stages.add_row(name, "reused" if record.reused else "done", f"{record.seconds:.1f}", record.summary)
    console.print(stages)
    console.print(_results(outcome))
    console.print(_evaluation(outcome))
    for caution in cautions_of(outcome.records):
        console.print(f"[yellow]note[/yellow] {caution}")
    console.print(f"registry: {outcome.decision}")
    for path in outcome.report.files:
        console.print(str(path), soft_wrap=True)
    option = "" if home == DEFAULT_HOME else f" --home {home}"
    console.print(f"Browse runs and models: [bold]difffake ui{option}[/bold]", soft_wrap=True)


def _results(outcome: Outcome) -> Table:
    records = outcome.records
    table = Table(title="Result", title_justify="left", show_header=False)
    table.add_column("what")
    table.add_column("value", overflow="fold")
    faces = records["faces"].facts
    statuses = ", ".join(f"{count} {status}" for status, count in faces["statuses"].items())
    table.add_row("videos", f"{faces['videos']} ({statuses})")
    table.add_row("faces", str(faces["faces"]))
    pairs = records["pairs"].facts
    by_role = ", ".join(f"{count} {role}" for role, count in pairs["by_role"].items())
    table.add_row("pairs", f"{pairs['pairs']} ({by_role})")
    rate = records["calibration"].facts["stated_false_positive_rate"]
    for example in records["evaluation"].facts["examples"]:
        verdict = f"{'' if example['is_anomalous'] else 'not '}anomalous at {rate:.0%} false positives"
        table.add_row(
            f"p-value {example['label']} video", f"{example['p_value']:.3f}, {verdict} ({example['video_key']})"
        )
    return table


def _evaluation(outcome: Outcome) -> Table:
    """A line for each group of fakes, its scores beside each other."""
    rows = video_rows(outcome.records["evaluation"].facts)
    scores = list(dict.fromkeys(row["score"] for row in rows))
    table = Table(title="AUC [interval over people]", title_justify="left")
    for column in ("domain", "fakes", *scores, "fake", "real", "people"):
        table.add_column(column, overflow="fold")
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["domain"], row["group"]), []).append(row)
    for (domain, group), members in groups.items():
        first = members[0]
        place = f"{domain} ({'in-domain' if first['in_domain'] else 'out-of-domain'})"
        borrowed = first["reals_from"] not in (None, domain)
        reals = f"{first['n_real']} of {first['reals_from']}" if borrowed else str(first["n_real"])
        counts = (str(first["n_fake"]), reals, str(first["n_identities"]))
        table.add_row(place, group, *(_auc(row) for row in members), *counts)
    return table


def _auc(row: dict[str, Any]) -> str:
    if row["auc"] is None:
        return f"not defined: {row['reasons']['auc']}"
    low, high = row["auc_low"], row["auc_high"]
    interval = f"[{low:.3f}, {high:.3f}]" if low is not None else f"no interval: {row['reasons']['auc_low']}"
    return f"{row['auc']:.3f} {interval}"
