"""Two measurements side by side: what the commits between them did to every figure.

`python -m benchmarks.compare BEFORE.json AFTER.json`
"""

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.measure import Figure


@dataclass(frozen=True)
class Change:
    """One figure before and after; None where it was not measured."""

    benchmark: str
    what: str
    before: Figure | None
    after: Figure | None

    @property
    def by(self) -> float | None:
        """The change as a share of the value before."""
        if self.before is None or self.after is None or self.before.value == 0:
            return None
        return self.after.value / self.before.value - 1

    @property
    def is_lost(self) -> bool:
        """Whether a bar that was met is missed now; today's bar counts."""
        if self.before is None or self.after is None or self.after.bar is None:
            return False
        former = replace(self.after, value=self.before.value)
        return former.is_met is True and self.after.is_met is False


def read(path: Path) -> tuple[dict[str, Any], dict[tuple[str, str, str], Figure]]:
    """Where a measurement was made, and its figures by benchmark, name and unit.

    Raises:
        ValueError: two figures of one name.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    names = [field.name for field in fields(Figure)]
    figures = {}
    for entry in content.pop("figures"):
        figure = Figure(**{name: entry[name] for name in names})
        key = entry["benchmark"], figure.what, figure.unit
        if key in figures:
            raise ValueError(f"{path} holds two figures of one name: {key}")
        figures[key] = figure
    return content, figures


def changes(before: dict[tuple[str, str, str], Figure], after: dict[tuple[str, str, str], Figure]) -> list[Change]:
    """Every figure of either, in the order of the later one, then what it lacks."""
    keys = [*after, *(key for key in before if key not in after)]
    return [Change(key[0], key[1], before.get(key), after.get(key)) for key in keys]


def rows(found: list[Change]) -> list[tuple[str, ...]]:
    """Benchmark, what, before, after, change, bar, met."""
    return [
        (
            change.benchmark,
            change.what,
            _value(change.before),
            _value(change.after),
            "" if change.by is None else f"{change.by:+.1%}",
            _bar(change.after or change.before),
            {None: "", True: "yes", False: "no"}[(change.after or change.before or _NOTHING).is_met],
        )
        for change in found
    ]


def markdown(head: tuple[str, ...], lines: list[tuple[str, ...]]) -> str:
    """A table for a page."""
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ("---",) * len(head), *lines)) + "\n"


_NOTHING = Figure("", 0.0, "")


def _value(figure: Figure | None) -> str:
    return "–" if figure is None else f"{figure.value:.3g} {figure.unit}"


def _bar(figure: Figure | None) -> str:
    if figure is None or figure.bar is None:
        return ""
    return f"{'≤' if figure.better == 'lower' else '≥'} {figure.bar:g}"


_HEAD = ("benchmark", "what", "before", "after", "change", "bar", "met")


def main(
    before: Annotated[Path, typer.Argument(help="What `python -m benchmarks --json` wrote before.")],
    after: Annotated[Path, typer.Argument(help="What it wrote after.")],
    page: Annotated[Path | None, typer.Option("--markdown", help="Write the table to this file too.")] = None,
) -> None:
    """Compare two measurements; exit code 1 when a bar that was met is missed now."""
    (where_before, figures_before), (where_after, figures_after) = read(before), read(after)
    if where_before["machine"] != where_after["machine"]:
        typer.echo(f"measured on different machines: {where_before['machine']}, {where_after['machine']}", err=True)
    found = changes(figures_before, figures_after)
    lines = rows(found)
    table = Table(*_HEAD, title=f"{where_before['commit']} → {where_after['commit']}", title_justify="left")
    for line in lines:
        table.add_row(*line)
    Console(highlight=False).print(table)
    if page is not None:
        page.write_text(markdown(_HEAD, lines), encoding="utf-8")
    if lost := [change.what for change in found if change.is_lost]:
        typer.echo(f"bars that were met and are missed now: {', '.join(lost)}", err=True)
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
