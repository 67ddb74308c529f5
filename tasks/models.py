"""Registered models: from a name in the MLflow registry to a detector's folder on this machine."""

import os
from pathlib import Path

from data_catalog.home import DEFAULT_HOME, Home
from difffake.errors import ArtefactError
from difffake.locations import detector_folder

CHAMPION_URI = "models:/difffake@champion"
_HOME_VARIABLE = "DIFFFAKE_HOME"


def find_detector(model: str | None, home: Home) -> Path:
    """The folder of a detector: named by path or URI, or else the champion of the work folder's registry.

    Raises:
        ArtefactError: there is none; says how to make or name one.
    """
    from tasks.tracking import has_registry

    if model is None and not has_registry(home):
        raise ArtefactError(
            f"there is no trained model in {home.root}: make one with difffake demo (minutes, sample footage) or "
            "difffake run (your data), or name one with --model FOLDER, models:/NAME@ALIAS or models:/NAME/VERSION"
        )
    place = model or CHAMPION_URI
    if place.startswith(("models:/", "runs:/")):
        return detector_folder(_download(place, home.mlflow_uri))
    return detector_folder(place)


def fetch(uri: str) -> Path:
    """A registered model's folder, from the registry of MLFLOW_TRACKING_URI, or of the work folder in DIFFFAKE_HOME.

    Raises:
        ArtefactError: the registry has no such model, or cannot be reached.
    """
    home = Home(Path(os.environ.get(_HOME_VARIABLE) or DEFAULT_HOME))
    return _download(uri, home.mlflow_uri)


def _download(uri: str, tracking_uri: str) -> Path:
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    from tasks.tracking import use_store

    use_store(tracking_uri)
    try:
        return Path(download_artifacts(artifact_uri=uri))
    except (MlflowException, OSError) as error:
        raise ArtefactError(
            f"{uri} cannot be had from {tracking_uri}: {error}. difffake run registers models there; "
            "difffake ui shows them; --home or MLFLOW_TRACKING_URI names another store"
        ) from error
