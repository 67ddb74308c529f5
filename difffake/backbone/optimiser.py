"""The base optimiser that sharpness-aware minimisation steps, by name (Sec. 4.1: SGD)."""

from collections.abc import Callable, Iterable

import torch
from torch import nn

from difffake.config import BackboneConfig, OptimiserName

_OPTIMISERS: dict[OptimiserName, Callable[[list[nn.Parameter], BackboneConfig], torch.optim.Optimizer]] = {
    "sgd": lambda parameters, config: torch.optim.SGD(
        parameters, config.learning_rate, momentum=config.momentum, weight_decay=config.weight_decay
    ),
    "adamw": lambda parameters, config: torch.optim.AdamW(
        parameters, config.learning_rate, betas=(config.momentum, 0.999), weight_decay=config.weight_decay
    ),
}


def build_optimiser(parameters: Iterable[nn.Parameter], config: BackboneConfig) -> torch.optim.Optimizer:
    """The optimiser a configuration names, over all parameters in one group."""
    return _OPTIMISERS[config.optimiser](list(parameters), config)
