"""The command that scores videos."""

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from pydantic import ValidationError

from data_catalog.home import DEFAULT_HOME
from difffake.limits import InputLimits
from flows.options import HomeOption, LakeOption, NameOption, PortOption, choose_datasets, console, on_server, place_of

if TYPE_CHECKING:
    from rich.console import Console

    from difffake.judgement import Judgement

EXIT_SOME_NOT_SCORED = 2

_DEFAULTS = InputLimits()

ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="Detector folder, models:/difffake@champion, models:/difffake/3; default: the work folder's champion.",
    ),
]
DeviceOption = Annotated[Literal["auto", "cpu", "cuda"], typer.Option("--device", help="Where the network runs.")]
ScoreWeightsOption = Annotated[
    Path | None, typer.Option("--weights", help="RetinaFace weights file, for a detector made with RetinaFace.")
]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(score)
    app.command("score-batch")(score_many)
    app.command("app")(serve_app)


def score(
    places: Annotated[
        list[str],
        typer.Argument(metavar="PATH…", help="Videos, folders, patterns ('clips/*.mp4'), file:// or s3:// URIs."),
    ],
    model: ModelOption = None,
    reference: Annotated[
        list[str] | None,
        typer.Option(
            "--reference",
            metavar="VIDEO|FOLDER",
            help="Trusted footage or photos of the same person, to compare the main person with; repeat for several.",
        ),
    ] = None,
    form: Annotated[
        Literal["table", "json", "csv", "parquet"] | None,
        typer.Option("--format", help="Of the result; default: by the suffix of --out, else a table."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="File for the result instead of the terminal.")] = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="DIR", help="Write one self-contained HTML page a video here.")
    ] = None,
    device: DeviceOption = "auto",
    weights: ScoreWeightsOption = None,
    max_duration_s: Annotated[
        float, typer.Option("--max-duration", metavar="SECONDS", min=0, help="Refuse longer videos; 0: no limit.")
    ] = _DEFAULTS.max_duration_s or 0,
    timeout_s: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=0, help="Give up on a video then; 0: never.")
    ] = _DEFAULTS.timeout_s or 0,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Say of every person in a video how natural their face changes: score, p-value, verdict.

    The p-value is the share of real videos that score as high; the verdict accuses at most the stated share of real
    videos. Exit code: 0 all scored, 2 some not scored (each row says why), 1 error.
    """
    chosen = _format_of(form, out)
    limits = _DEFAULTS.model_copy(update={"max_duration_s": max_duration_s or None, "timeout_s": timeout_s or None})
    _prepare(out, report)
    inputs, references = _inputs(places, reference or [])

    from tasks.models import find_detector

    folder = find_detector(model, place_of(home, None))
    from rich.progress import Progress

    from difffake.detector import Detector
    from tasks.score_files import encode, examine_files
    from tasks.video_report import write_video_report

    detector = Detector.load(folder, weights)
    judgements: list[Judgement] = []
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress, _Interrupt() as stop:
        bar = progress.add_task("scoring", total=len(inputs))
        for examined in examine_files(detector, inputs, references, device, limits):
            judgements.append(examined.judgement)
            if report is not None:
                page = write_video_report(report, examined, detector, folder, device)
                console.print(f"report {page}", markup=False, emoji=False)
            progress.advance(bar)
            if stop.is_asked:
                break
    is_interrupted = len(judgements) < len(inputs)
    if chosen == "table":
        _print_table(judgements, out)
    elif out is not None:
        _write(out, encode(judgements, chosen))
    else:
        sys.stdout.buffer.write(encode(judgements, chosen))
    missing = sum(judgement.status != "scored" for judgement in judgements)
    console.print(f"{len(judgements) - missing} of {len(inputs)} scored")
    if is_interrupted:
        console.print(f"interrupted after {len(judgements)} of {len(inputs)} files; what was scored is in the result")
    if is_interrupted or missing:
        raise typer.Exit(EXIT_SOME_NOT_SCORED)


def score_many(
    root: Annotated[str, typer.Option("--root", help="Folder or bucket of videos: a path, or a URI (s3://…).")],
    dataset: Annotated[
        str, typer.Option("--dataset", help="Layout of the folder, see `difffake datasets`; suspects takes any.")
    ] = "suspects",
    name: NameOption = None,
    model: ModelOption = None,
    weights: ScoreWeightsOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Also write the scores there: .csv, .json or .parquet.")
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    lake: LakeOption = None,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="Processes; default one a core.")] = None,
    dask_scheduler: Annotated[
        str | None, typer.Option("--dask-scheduler", help="tcp://host:port of a Dask cluster that does it instead.")
    ] = None,
    prefect_port: PortOption = 4200,
) -> None:
    """Score thousands of videos over worker processes into the table `scores`; only what is new or changed is done.

    Killed, it goes on where it stopped. `difffake sql` reads the table. Exit code: 0 all scored, 2 some not scored,
    1 error.
    """
    from difffake.config import ExperimentConfig, RunnerConfig

    form = _format_of(None, out)
    if out is not None and form == "table":
        raise typer.BadParameter("the file must end in .csv, .json or .parquet", param_hint="--out")
    try:
        RunnerConfig(dask_scheduler=dask_scheduler)
    except ValidationError as error:
        raise typer.BadParameter("must be tcp://host:port or tls://host:port", param_hint="--dask-scheduler") from error
    specs = choose_datasets(ExperimentConfig(), dataset, root, name, None)

    def work() -> int:
        from flows.batch import score_batch
        from flows.batch_summary import encode_scores, print_batch

        outcome = score_batch(specs, model, home, lake, workers, weights, dask_scheduler)
        if out is not None:
            _write(out, encode_scores(outcome, form))
        return print_batch(outcome)

    if on_server(home, lake, prefect_port, work):
        raise typer.Exit(EXIT_SOME_NOT_SCORED)


def serve_app(
    model: ModelOption = None,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port of the page.")] = 7860,
    device: DeviceOption = "auto",
    weights: ScoreWeightsOption = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Serve a page on this machine: drop a suspect video and references, see the report. Wants the extra `app`.

    `uv run --extra app difffake app`. Limits come from the environment: DIFFFAKE_SERVE_MAX_FILE_MB (200),
    DIFFFAKE_SERVE_MAX_DURATION_S (600), DIFFFAKE_SERVE_TIMEOUT_S (120).
    """
    import importlib.util
    import socket
    import threading

    from data_catalog.intake import read_serve_settings
    from difffake.errors import ServiceError

    if importlib.util.find_spec("gradio") is None:
        raise ServiceError("the page wants gradio: uv run --extra app difffake app")
    settings = read_serve_settings()

    from tasks.models import find_detector

    folder = find_detector(model, place_of(home, None))
    from difffake.detector import Detector
    from tasks.app import start_app

    detector = Detector.load(folder, weights)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ServiceError(f"port {port} is taken: name another with --port") from error
    app = start_app(detector, folder, settings, port, device)
    typer.echo(f"DiffFake  http://127.0.0.1:{port}/")
    console.print("Ctrl-C stops it.")
    try:
        threading.Event().wait()
    finally:
        app.close()


class _Interrupt:
    """Ctrl-C ends the work after the file in hand, so that what was scored is written; a second one ends it at once."""

    def __init__(self) -> None:
        self.is_asked = False

    def __enter__(self) -> "_Interrupt":
        self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_error: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _note(self, _signal: int, _frame: object) -> None:
        self.is_asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        # Printing is not safe here: the signal may have come amid another print.
        os.write(2, b"stopping after this file; Ctrl-C again stops at once\n")


def _prepare(out: Path | None, report: Path | None) -> None:
    """Make the folders of the results before anything is scored.

    Raises:
        OSError: they cannot be made or written.
    """
    if out is not None and out.is_dir():
        raise typer.BadParameter(f"{out} is a folder: name a file in it", param_hint="--out")
    for folder in (None if out is None else out.parent, report):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            if not os.access(folder, os.W_OK):
                raise typer.BadParameter(f"{folder} cannot be written", param_hint="--out or --report")


def _inputs(places: list[str], reference: list[str]) -> tuple[list, list[Path]]:
    from tasks.score_inputs import expand_inputs, reference_files

    return expand_inputs(places), [path for place in reference for path in reference_files(place)]


def _format_of(form: str | None, out: Path | None) -> Literal["table", "json", "csv", "parquet"]:
    by_suffix = {".json": "json", ".csv": "csv", ".parquet": "parquet"}
    chosen = form or by_suffix.get(out.suffix.lower() if out else "", "table")
    if chosen == "parquet" and out is None:
        raise typer.BadParameter("parquet is no text: name a file with --out", param_hint="--format")
    return chosen


def _print_table(judgements: "list[Judgement]", out: Path | None) -> None:
    from rich.console import Console

    if out is None:
        _print_to(Console(highlight=False, markup=False, emoji=False), judgements)
        return
    with out.open("w", encoding="utf-8") as file:
        _print_to(Console(file=file, width=200, highlight=False, markup=False, emoji=False), judgements)


def _print_to(terminal: "Console", judgements: "list[Judgement]") -> None:
    from rich.table import Table

    folder = _common_folder([judgement.path for judgement in judgements])
    table = Table(caption=f"below {folder}" if folder else None, caption_justify="left")
    for name in ("file", "person", "verdict", "p-value", "score", "faces", "pairs", "reason"):
        is_number = name in ("p-value", "score", "faces", "pairs")
        table.add_column(name, overflow="fold", justify="right" if is_number else "left")
    for judgement in judgements:
        for number, row in enumerate(judgement.rows()):
            table.add_row(
                "" if number else row["path"].removeprefix(folder),
                "–" if row["person"] is None else f"{row['person']}: {row['first_s']:.1f}–{row['last_s']:.1f} s",
                row["verdict"],
                _number(row["p_value"]),
                _number(row["score"]),
                str(row["faces_used"]),
                str(row["pairs_used"]),
                row["reason"],
            )
    terminal.print(table)
    for caution, names in _cautions(judgements).items():
        whom = "all" if len(names) == len(judgements) > 1 else ", ".join(name.removeprefix(folder) for name in names)
        terminal.print(f"note ({whom}): {caution}")
    rates = {judgement.false_positive_rate for judgement in judgements} - {None}
    for rate in rates:
        terminal.print(
            f"p-value: share of real videos that score as high; anomalous at {rate:.1%} or less. "
            "Higher scores are more anomalous."
        )


def _common_folder(paths: list[str]) -> str:
    """What all paths begin with, up to a slash; empty for one path or nothing in common."""
    start = os.path.commonprefix(paths) if len(paths) > 1 else ""  # noqa: RUF071 - URIs too
    return start[: start.rfind("/") + 1] if "/" in start.strip("/") else ""


def _cautions(judgements: "list[Judgement]") -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for judgement in judgements:
        for caution in judgement.cautions:
            found.setdefault(caution, []).append(judgement.path)
    return found


def _write(path: Path, content: bytes) -> None:
    from tasks.page import write_whole

    write_whole({path: content})


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
