"""All that changes while a network is trained, and how it is kept in a checkpoint."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from difffake.backbone.averaging import WeightAverage
from difffake.backbone.boundary import BoundaryHead
from difffake.backbone.embedder import Backbone
from difffake.errors import ArtefactError


@dataclass(frozen=True, eq=False)
class Learner:
    """A network in training.

    Attributes:
        backbone: the network.
        boundary: looks for blending boundaries in its last feature map; None: nobody does.
        optimiser: of both.
        average: of the network's weights; what is validated and kept.
    """

    backbone: Backbone
    boundary: BoundaryHead | None
    optimiser: torch.optim.Optimizer
    average: WeightAverage

    @classmethod
    def plain(cls, backbone: Backbone, optimiser: torch.optim.Optimizer) -> Self:
        """A network and its optimiser, and nothing beside."""
        return cls(backbone, None, optimiser, WeightAverage(backbone.network, decay=0))

    def tensors(self) -> dict[str, Tensor]:
        """Everything a training goes on from."""
        tensors = _named("network.", self.backbone.network.state_dict()) | _named("average.", self.average.state())
        if self.boundary is not None:
            tensors |= _named("boundary.", self.boundary.state_dict())
        for index, parameter in enumerate(_parameters(self.optimiser)):
            for name, value in self.optimiser.state.get(parameter, {}).items():
                if isinstance(value, Tensor):
                    tensors[f"optimiser.{index}.{name}"] = value
        return tensors

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Go on from what `tensors` gave.

        Raises:
            ArtefactError: they are of another network.
        """
        try:
            self.backbone.network.load_state_dict(_below("network.", tensors))
            if self.boundary is not None:
                self.boundary.load_state_dict(_below("boundary.", tensors))
        except RuntimeError as error:
            raise ArtefactError(
                f"the checkpoint of {self.backbone.model_name} does not fit the network the installed timm builds "
                f"({error!s:.300}): use the timm version it was trained with, or begin anew in another work_dir"
            ) from error
        self.average.load(_below("average.", tensors))
        parameters = list(_parameters(self.optimiser))
        for name, value in tensors.items():
            if match := re.fullmatch(r"optimiser\.(\d+)\.(\w+)", name):
                parameter = parameters[int(match[1])]
                self.optimiser.state[parameter][match[2]] = _like_torch_makes_it(value, parameter)


def _named(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _like_torch_makes_it(value: Tensor, parameter: nn.Parameter) -> Tensor:
    """A moment in its parameter's memory layout, as another one may round differently; a step count as it is."""
    if value.shape != parameter.shape:
        return value
    return torch.empty_like(parameter, requires_grad=False).copy_(value)


def _parameters(optimiser: torch.optim.Optimizer) -> Iterator[nn.Parameter]:
    for group in optimiser.param_groups:
        yield from group["params"]
