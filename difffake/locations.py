"""Where a detector lies: a folder, or a URI for which an installed package knows the way.

The method knows no registry. Whoever does announces a function under the entry point group `difffake.model_uris`, its
name the scheme: URI in, local folder out.
"""

from importlib.metadata import entry_points
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml

from difffake.errors import ArtefactError

GROUP = "difffake.model_uris"
MANIFEST = "detector.json"
_MLMODEL = "MLmodel"


def detector_folder(place: Path | str) -> Path:
    """The folder that holds a detector's manifest.

    Args:
        place: a detector folder, the folder of an MLflow model around one, or a URI such as
            models:/difffake@champion.

    Raises:
        ArtefactError: there is none, or no installed package knows the URI's scheme.
    """
    folder = _local(str(place))
    if (folder / MANIFEST).is_file():
        return folder
    if (folder / _MLMODEL).is_file():
        return folder / _path_in_model(folder / _MLMODEL)
    there = "holds no detector" if folder.is_dir() else "is not there"
    raise ArtefactError(
        f"{folder} is not a detector folder: it {there}. A detector is made by difffake run, and lies in "
        "<home>/artefacts/calibration/<fingerprint>; the registered ones are called models:/difffake@champion or "
        "models:/difffake/<version>"
    )


def _local(place: str) -> Path:
    scheme, colon, _ = place.partition(":/")
    if not colon or not scheme.isidentifier():
        return Path(place)
    if scheme == "file":
        return Path(unquote(urlsplit(place).path))
    for entry in entry_points(group=GROUP):
        if entry.name == scheme:
            return Path(entry.load()(place))
    known = ", ".join(sorted({entry.name for entry in entry_points(group=GROUP)})) or "none"
    raise ArtefactError(f"{place}: no installed package reads models from {scheme}:/ (known: a folder; {known})")


def _path_in_model(mlmodel: Path) -> Path:
    try:
        content = yaml.safe_load(mlmodel.read_text(encoding="utf-8"))
        relative = Path(content["flavors"]["python_function"]["artifacts"]["detector"]["path"])
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise ArtefactError(f"{mlmodel} is no model of DiffFake: it names no detector among its artefacts") from error
    if relative.is_absolute() or ".." in relative.parts:
        raise ArtefactError(f"{mlmodel} names a detector outside its folder: {relative}")
    return relative
