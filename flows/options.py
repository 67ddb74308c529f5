"""Options several commands share, and what they make of them."""

import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console

from data_catalog.home import LAKE_VARIABLE, Home
from difffake.config import DATASET_NAME_PATTERN, DatasetSpec, ExperimentConfig, load_config
from difffake.errors import ConfigError

CONFIGS = Path(__file__).resolve().parent.parent / "configs"

console = Console(stderr=True, highlight=False)

HomeOption = Annotated[
    Path, typer.Option("--home", envvar="DIFFFAKE_HOME", help="Work folder; everything written lies below it.")
]
LakeOption = Annotated[
    str | None,
    typer.Option(
        "--lake",
        envvar=LAKE_VARIABLE,
        help="Path or URI (s3://bucket/folder) of the tables; default: below the work folder. Credentials come from "
        "the environment only.",
    ),
]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", min=1, help="Processes that extract faces; default one a core.")
]
PortOption = Annotated[
    int, typer.Option("--prefect-port", min=1, max=65535, help="Port of the Prefect server, if one is started.")
]
DatasetOption = Annotated[
    str | None, typer.Option("--dataset", help="Layout of the folder, see `difffake datasets`; wants --root.")
]
RootOption = Annotated[str | None, typer.Option("--root", help="The dataset's folder: a path, or a URI (s3://…).")]
NameOption = Annotated[
    str | None, typer.Option("--name", help="Name of the dataset in the tables; default: the layout's name.")
]
IdentitiesOption = Annotated[
    Path | None,
    typer.Option("--identities", help="CSV (video,identity) that says which videos show the same person."),
]
WeightsOption = Annotated[
    Path | None, typer.Option("--weights", help="RetinaFace weights file, instead of downloading its release.")
]


def read_settings(config: Path, weights: Path | None, workers: int | None) -> ExperimentConfig:
    """The experiment file with what the command line says instead."""
    settings = load_config(config)
    check_files(settings, str(config))
    return override(settings, str(config), weights, workers)


def check_files(settings: ExperimentConfig, source: str) -> None:
    """Refuse settings that name a weights file which is not there."""
    if settings.backbone.weights is not None and not settings.backbone.weights.is_file():
        raise ConfigError(f"{source}: backbone.weights names {settings.backbone.weights}, which is not a file")


def override(settings: ExperimentConfig, source: str, weights: Path | None, workers: int | None) -> ExperimentConfig:
    """The settings with what the command line says instead."""
    if weights is not None and settings.faces.detector != "retinaface":
        raise typer.BadParameter(f"the detector of {source} is {settings.faces.detector}", param_hint="--weights")
    if weights is not None:
        settings = _with(settings, "faces", {"detector_weights": weights})
    return settings if workers is None else _with(settings, "runner", {"workers": workers})


def choose_datasets(
    settings: ExperimentConfig, dataset: str | None, root: str | None, name: str | None, identities: Path | None
) -> list[DatasetSpec]:
    """The dataset of the command line, or those of the experiment file."""
    from data_catalog.datasets import get_adapter

    if (dataset is None) != (root is None):
        raise typer.BadParameter("--dataset and --root go together", param_hint="--dataset")
    if dataset is None or root is None:
        if name is not None or identities is not None:
            raise typer.BadParameter("--name and --identities want --dataset and --root", param_hint="--name")
        if not settings.datasets:
            raise ConfigError(
                "no dataset is named: give --dataset and --root, or a `datasets` list in the configuration"
            )
        for spec in settings.datasets:
            get_adapter(spec.adapter)
        return list(settings.datasets)
    if not re.fullmatch(DATASET_NAME_PATTERN, name or dataset):
        raise typer.BadParameter(f"{name or dataset!r} may hold letters, digits, '_', '.' and '-'", param_hint="--name")
    get_adapter(dataset)
    try:
        return [DatasetSpec(name=name or dataset, adapter=dataset, root=root, identities=identities)]
    except ValidationError as error:
        told = "; ".join(fault["msg"].removeprefix("Value error, ") for fault in error.errors())
        raise typer.BadParameter(told, param_hint="--root") from error


def on_server(home: Path, lake: str | None, prefect_port: int, work: Callable[[], Any]) -> Any:
    """Do something while a Prefect server runs that keeps its history, with the log on the terminal and in a file."""
    place = place_of(home, lake)
    place.create()
    # Two spinning threads on a busy machine fall to a tenth.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    log_to(place.logs / "difffake.log")
    from tasks import services

    console.print("[bold]Prefect server[/bold] …")
    with services.prefect_server(place, prefect_port):
        # Prefect reads its settings when it is imported.
        from prefect.settings import temporary_settings

        # Somebody watches this run; a heartbeat would delay the end of each of its flows by up to a second.
        with temporary_settings({"flows.heartbeat_frequency": None}):
            return work()


def place_of(home: Path, lake: str | None) -> Home:
    """The work folder."""
    return Home(home, lake) if lake else Home(home)


def log_to(path: Path) -> None:
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


def _with(settings: ExperimentConfig, section: str, values: dict[str, Any]) -> ExperimentConfig:
    return settings.model_copy(update={section: getattr(settings, section).model_copy(update=values)})
