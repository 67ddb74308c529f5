"""Where the network runs."""

from typing import Literal

import torch

from difffake.errors import ConfigError


def resolve_device(name: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """The device a configuration names; auto: the GPU where there is one.

    Raises:
        ConfigError: cuda is asked for and torch sees none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "backbone.device is cuda, and torch sees no CUDA device: set it to auto or cpu, "
            "or look at nvidia-smi and the installed torch build"
        )
    return torch.device(name)
