"""Trained weights as files that need no configuration to be used again."""

from pathlib import Path
from typing import Any

from difffake.backbone.embedder import Backbone, Preprocessing
from difffake.backbone.initial_weights import create_network
from difffake.backbone.tensor_files import read_tensors, write_tensors
from difffake.errors import ArtefactError, ConfigError

# Bump it when the names or the header of a weights file change.
FORMAT_VERSION = 2
# Version 1 lacks is_trained: every network it held was.
_READABLE_VERSIONS = (1, 2)
_KIND = "backbone_weights"


def save_weights(backbone: Backbone, path: Path) -> None:
    """Write the weights (timm's names) and all that scoring needs to know of the network, atomically."""
    preprocessing = backbone.preprocessing
    header = {
        "kind": _KIND,
        "version": FORMAT_VERSION,
        "model": backbone.model_name,
        "input_size_px": preprocessing.input_size_px,
        "mean": preprocessing.mean,
        "std": preprocessing.std,
        "is_trained": backbone.is_trained,
    }
    write_tensors(path, backbone.network.state_dict(), header)


def load_weights(path: Path) -> Backbone:
    """The network a weights file holds, on the CPU and in evaluation mode.

    Raises:
        ArtefactError: the file is missing, incomplete, altered, of another version, or its network cannot be built.
    """
    tensors, header = read_tensors(path)
    if header.get("kind") != _KIND or header.get("version") not in _READABLE_VERSIONS:
        raise ArtefactError(
            f"{path} holds {header.get('kind')!r} version {header.get('version')!r}, expected {_KIND!r} version "
            f"{FORMAT_VERSION}: train again, or use the version of this package that wrote it"
        )
    try:
        network = create_network(header["model"], from_hub=False, seed=0)
        network.load_state_dict(tensors)
        is_trained = header["is_trained"] if header["version"] > 1 else True
        backbone = Backbone(header["model"], network, _preprocessing(header), is_trained)
    except (ConfigError, KeyError, RuntimeError) as error:
        raise ArtefactError(
            f"{path} does not hold a network that the installed timm can build: {error}; "
            "use the timm version it was trained with, or train again"
        ) from error
    return backbone.eval()


def _preprocessing(header: dict[str, Any]) -> Preprocessing:
    return Preprocessing(header["input_size_px"], tuple(header["mean"]), tuple(header["std"]))
