"""How well a configuration detects: trained on the sample's reals, judged on the sample's fakes and reals.

Tries are compared by means over sets and seeds; one set moves by chance more than most changes do.
"""

import csv
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.table import Table

from benchmarks.detection_data import SOURCES, lay_out
from benchmarks.detection_results import COLUMNS, Result, read_result
from benchmarks.measure import REPOSITORY
from benchmarks.media import sample_folder
from benchmarks.origin import where
from benchmarks.tiny_run import server
from difffake.config import laid_over
from difffake.errors import DiffFakeError

TRIES = REPOSITORY / "benchmarks" / "detection_tries.csv"
HOME = Path(".difffake-detection")
SHORT: dict[str, dict[str, Any]] = {
    "faces": {"frames_per_video": 16},
    "backbone": {"input_size_px": 128, "epochs": 2, "faces_per_video_per_epoch": 3, "device": "cpu"},
    "fusion": {"faces_per_copy": 8},
    "diagnostics": {"enabled": False},
}
"""Laid over a configuration to try it: ranks changes, and says little of how good a full training becomes."""
_ROLES = {
    "reals": {"train": ["train"], "density": ["train"], "validation": ["val"], "calibration": ["val"], "test": ["test"]}
}
_PROGRAM = "from flows.cli import main; main()"

console = Console(highlight=False)


def main(
    config: Annotated[
        Path, typer.Option("--config", help="Experiment file that is trained; its datasets are replaced.")
    ] = REPOSITORY / "configs" / "mixed.yaml",
    form: Annotated[
        str, typer.Option("--form", help="short: 16 frames, 128 px, 2 epochs, for trying; long: the file as it stands.")
    ] = "short",
    seeds: Annotated[str, typer.Option("--seeds", help="Comma-separated; two are trained at a time.")] = "0,1",
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change one key, e.g. backbone.augmentation=robust; repeatable."
        ),
    ] = None,
    sources: Annotated[
        str, typer.Option("--sources", help=f"Reals that are learnt from, of {','.join(SOURCES)}; default all.")
    ] = ",".join(SOURCES),
    note: Annotated[str, typer.Option("--note", help="What is tried, in words; a column of the table.")] = "",
    samples: Annotated[
        Path | None, typer.Option("--samples", help="The sample data; default DIFFFAKE_SAMPLE_DATA, ../shared/data.")
    ] = None,
    home: Annotated[
        Path, typer.Option("--home", help="Work folder: faces are extracted once and kept for the next try.")
    ] = HOME,
    table: Annotated[Path, typer.Option("--table", help="The table that a try is appended to.")] = TRIES,
) -> None:
    """Train a configuration on the sample's reals and measure how well it detects the sample's fakes.

    Prints AUC with its interval over people by set and score, of single frames by method, on pseudo-fakes of unseen
    people, and the share of fresh reals accused at 5 %; appends a row for each seed to a table.
    """
    if form not in ("short", "long"):
        raise typer.BadParameter("expected short or long", param_hint="--form")
    wanted = tuple(sources.split(","))
    if unknown := set(wanted) - set(SOURCES):
        raise typer.BadParameter(f"{unknown.pop()!r} is none of {', '.join(SOURCES)}", param_hint="--sources")
    content = laid_over(SHORT if form == "short" else {}, _parsed(changes or []))
    numbers = _parsed_seeds(seeds)
    told = {"form": form, "config": config.stem, "changes": " ".join(changes or []), "note": note} | {
        "sources": "all" if set(wanted) == set(SOURCES) else sources
    }
    try:
        # Before hours are spent on rows that it cannot take.
        _check_table(table, _columns(told))
        roots = lay_out(samples or sample_folder(), home.resolve() / "data", wanted)
        results = list(_train_all(config, content, numbers, roots, home.resolve()))
    except DiffFakeError as error:
        console.print(f"[bold red]error[/bold red] {error}")
        raise typer.Exit(1) from error
    _append(table, told, results)
    _print(results, told)


def _train_all(
    config: Path, changes: dict[str, Any], seeds: Sequence[int], roots: Mapping[str, Path], home: Path
) -> Iterator[Result]:
    """A run for each seed, two at a time with one thread each; faces are extracted before."""
    variables = {name: str(path) for name, path in roots.items()}
    with server(home) as environment:
        told = os.environ | environment | variables
        tries = home / "tries" / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
        files = [_write(tries / str(seed), config, changes, seed) for seed in seeds]
        _call(["refresh", "--config", str(files[0])], home, files[0].parent, told, "refresh.log")
        threads = 1 if len(seeds) > 1 else os.cpu_count() or 1
        told = told | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}

        def run(seed_and_file: tuple[int, Path]) -> Result:
            seed, file = seed_and_file
            started = time.monotonic()
            _call(["run", "--config", str(file)], home, file.parent, told, "run.log")
            return read_result(file.parent, home / "lake", seed, (time.monotonic() - started) / 60)

        with ThreadPoolExecutor(2 if len(seeds) > 1 else 1) as pool:
            yield from pool.map(run, zip(seeds, files, strict=True))


def _write(folder: Path, config: Path, changes: dict[str, Any], seed: int) -> Path:
    """The experiment file of one seed: the configuration, its datasets replaced, the changes laid over it."""
    datasets = [
        {"name": "ff", "adapter": "faceforensics", "root": "${FACEFORENSICS_ROOT}"},
        {"name": "reals", "adapter": "folder", "root": "${REALS_ROOT}", "roles": _ROLES["reals"]},
        {
            "name": "dfdc",
            "adapter": "dfdc",
            "root": "${DFDC_ROOT}",
            "roles": {"test": ["train", "val", "test", "none"]},
        },
        {"name": "uadfv", "adapter": "uadfv", "root": "${UADFV_ROOT}"},
        {"name": "crops", "adapter": "folder", "root": "${CROPS_ROOT}"},
    ]
    own = {
        "extends": str(config.resolve()),
        "seed": seed,
        "datasets": datasets,
        "data": {"train_compression": "c23", "test_compression": ["c23", "c40"]},
        "runner": {"videos_per_shard": 64},
    }
    folder.mkdir(parents=True)
    file = folder / "detection.yaml"
    file.write_text(yaml.safe_dump(laid_over(own, changes), sort_keys=False), encoding="utf-8")
    return file


def _call(arguments: list[str], home: Path, place: Path, environment: Mapping[str, str], log: str) -> None:
    """Run the program on the lake all tries share, with a work folder of the try's own."""
    whole = [sys.executable, "-c", _PROGRAM, *arguments, "--home", str(place), "--lake", str(home / "lake")]
    with (place / log).open("w", encoding="utf-8") as output:
        done = subprocess.run(whole, env=dict(environment), cwd=REPOSITORY, stdout=output, stderr=output, check=False)
    if done.returncode != 0:
        tail = (place / log).read_text(encoding="utf-8")[-2000:]
        raise DiffFakeError(f"difffake {arguments[0]} ended with {done.returncode}; {place / log} ends:\n{tail}")


def _parsed(changes: Sequence[str]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals:
            raise typer.BadParameter(f"{change!r} is not KEY=VALUE", param_hint="--set")
        value: Any = yaml.safe_load(text)
        for part in reversed(key.split(".")):
            value = {part: value}
        content = laid_over(content, value)
    return content


def _parsed_seeds(text: str) -> list[int]:
    try:
        return list(dict.fromkeys(int(seed) for seed in text.split(",")))
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no list of whole numbers", param_hint="--seeds") from error


def _columns(told: Mapping[str, str]) -> list[str]:
    return [*where(), *told, *COLUMNS]


def _check_table(table: Path, columns: Sequence[str]) -> None:
    if not table.exists():
        return
    with table.open(newline="", encoding="utf-8") as file:
        there = next(csv.reader(file), [])
    if there != list(columns):
        raise DiffFakeError(f"{table} has other columns than this benchmark writes: move it away, or name another")


def _append(table: Path, told: Mapping[str, str], results: Sequence[Result]) -> None:
    """A row for each seed, under the columns of the table that is there."""
    origin = {key: str(value) for key, value in where().items()}
    rows = [{**origin, **told, **result.cells()} for result in results]
    is_new = not table.exists()
    with table.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _columns(told), lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerows(rows)
    console.print(f"appended to {table}")


def _print(results: Sequence[Result], told: Mapping[str, str]) -> None:
    title = " · ".join(value for value in told.values() if value)
    shown = Table(title=f"{title} · seeds {', '.join(str(result.seed) for result in results)}", title_justify="left")
    shown.add_column("what")
    shown.add_column("mean", justify="right")
    for result in results:
        shown.add_column(f"seed {result.seed} [95 % over people]", justify="right")
    for name in results[0].figures:
        figures = [result.figures[name] for result in results]
        values = [figure.value for figure in figures if figure.value is not None]
        mean = f"{statistics.mean(values):.3f}" if values else "–"
        shown.add_row(name.replace("_", " "), mean, *(str(figure) for figure in figures))
    console.print(shown)
