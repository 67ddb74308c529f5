"""What `difffake ablate` prints: the plan, and at the end the comparison."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from data_catalog.home import DEFAULT_HOME
from difffake.ablation import BASE, Ablation, PlannedRun, show_differences
from difffake.evaluation.comparison import ComparisonRow

if TYPE_CHECKING:
    from tasks.ablation import ComparisonReport

console = Console(highlight=False)


def print_plan(ablation: Ablation, runs: Sequence[PlannedRun]) -> None:
    """Print the runs in their order and what each would make; all else is shared with the runs above it."""
    table = _table(f"{ablation.name}: {len(runs)} runs", "seed", "cell", "differs from the base in", "makes", "also")
    for run in runs:
        cell = run.cell
        table.add_row(
            str(run.config.seed), cell.name, show_differences(cell.differences), _made(run), ", ".join(cell.merged)
        )
    console.print(table)
    stages = {stage: sum(stage in run.makes for run in runs) for stage in runs[0].makes}
    counted = ", ".join(f"{stage} {number}" for stage, number in stages.items())
    console.print(f"made at most: {counted}; what the work folder holds already is reused", soft_wrap=True)


def print_comparison(report: "ComparisonReport", home: Path) -> None:
    """Print a line a cell and score, then what failed and where the files are."""
    from tasks.ablation import SEEN_NOTE

    has_domains = len({row.domain for row in report.rows if row.score is not None}) > 1
    heads = ("cell", *(["domain"] if has_domains else []), "score", "AUC", "interval", "to base", "seconds")
    table = _table("Comparison", *heads)
    for cell in dict.fromkeys(row.cell for row in report.rows):
        rows = [row for row in report.rows if row.cell == cell]
        for number, row in enumerate(rows):
            domain = [str(row.domain or "")] if has_domains else []
            first = number == 0
            figures = _figures(row) if row.score is not None else ("failed" if row.failed else "none", "", "")
            seconds = f"{row.seconds:.1f}" if first else ""
            table.add_row(
                cell if first else "", *domain, row.score or "", *figures, seconds, end_section=row is rows[-1]
            )
    console.print(table)
    for result in report.failed:
        console.print(f"[red]failed[/red] {result.cell}, seed {result.seed}:", end=" ")
        console.print(str(result.reason), markup=False)
    console.print(f"[yellow]note[/yellow] {SEEN_NOTE}")
    for path in report.files:
        console.print(str(path), soft_wrap=True)
    option = "" if home == DEFAULT_HOME else f" --home {home}"
    console.print(f"Browse the runs: [bold]difffake ui{option}[/bold]", soft_wrap=True)


def _figures(row: ComparisonRow) -> Iterable[str]:
    if row.auc_mean is None:
        return ("failed" if row.failed else "not defined", "", "")
    has_interval = row.auc_low is not None and row.auc_high is not None
    return (
        f"{row.auc_mean:.3f}{_spread(row.auc_sd)}{f' ({row.failed} failed)' if row.failed else ''}",
        f"[{row.auc_low:.3f}, {row.auc_high:.3f}]" if has_interval else "none",
        "–" if row.cell == BASE or row.difference_mean is None
        else f"{row.difference_mean:+.3f}{_spread(row.difference_sd)}",
    )  # fmt: skip


def _spread(deviation: float | None) -> str:
    return "" if deviation is None else f" ± {deviation:.3f}"


def _made(run: PlannedRun) -> str:
    return ", ".join(run.makes) or "nothing new"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold", justify="right" if column in ("seed", "seconds") else "left")
    return table
