"""The benchmarks' command line."""

import json
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.measure import Figure
from benchmarks.origin import where

NAMES = (
    "start", "extraction", "faces_found", "pseudo_fakes", "training", "embedding", "gpu", "pairs", "density", "scoring",
    "refresh", "rerun",
)  # fmt: skip
# What wants an extra, takes long or is no bar is measured where it is asked for.
ON_REQUEST = ("arrival", "cluster", "cost", "density_paper", "growth", "identity", "profile")

console = Console(highlight=False)


def main(
    names: Annotated[
        list[str] | None,
        typer.Argument(help=f"Which: {', '.join(NAMES)}; default these, {', '.join(ON_REQUEST)} on request."),
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file too.")] = None,
) -> None:
    """Measure stages against floors in the same run; exit code 1 when a bar is missed.

    How well a configuration detects is a benchmark with options of its own: `detection --help`.

    Uses the real sample videos (DIFFFAKE_SAMPLE_DATA, or ../shared/data) where they are, the demo's footage otherwise.
    """
    for name in names or ():
        if name not in NAMES + ON_REQUEST:
            raise typer.BadParameter(f"{name!r} is none of {', '.join(NAMES + ON_REQUEST)}")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    figures: list[tuple[str, Figure]] = []
    for name in names or NAMES:
        console.print(f"{name} …")
        measure: Callable[[], Iterable[Figure]] = import_module(f"benchmarks.{name}").run
        for figure in measure():
            console.print(f"  {figure.what}: {figure.value:.3g} {figure.unit}", markup=False)
            figures.append((name, figure))
    _print(figures)
    if json_file is not None:
        content = where() | {"figures": [{"benchmark": name} | asdict(figure) for name, figure in figures]}
        json_file.write_text(json.dumps(content, indent=2), encoding="utf-8")
    if any(figure.is_met is False for _, figure in figures):
        raise typer.Exit(1)


def _print(figures: list[tuple[str, Figure]]) -> None:
    origin = where()
    table = Table(
        title=f"Commit {origin['commit']}, {origin['cores']} cores of {origin['machine']}", title_justify="left"
    )
    for column in ("benchmark", "what", "value", "bar", "met", "note"):
        table.add_column(column, justify="right" if column in ("value", "bar") else "left", overflow="fold")
    for name, figure in figures:
        bar = "" if figure.bar is None else f"{'≤' if figure.better == 'lower' else '≥'} {figure.bar:g}"
        met = {None: "", True: "yes", False: "[red]no[/red]"}[figure.is_met]
        table.add_row(name, figure.what, f"{figure.value:.3g} {figure.unit}", bar, met, escape(figure.note))
    console.print(table)


if __name__ == "__main__":
    if sys.argv[1:2] == ["detection"]:
        from benchmarks import detection

        sys.argv[0:2] = [f"{sys.argv[0]} detection"]
        typer.run(detection.main)
    else:
        typer.run(main)
