"""Sharpness-aware minimisation (Foret et al., arXiv 2010.01412)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from difffake.backbone.team import Team

# Keeps the climb finite where the gradient vanishes: there it is zero.
_SMALLEST_NORM = 1e-12


class SharpnessAwareMinimisation:
    """Steps a torch optimiser with the gradient taken at the worst nearby weights.

    With g the gradient at the weights w, the climb is ε = rho · g / ‖g‖₂, the norm being over all parameters together
    (Eq. 2 with p = 2), and the base optimiser steps from w with the gradient at w + ε (Eq. 3). rho = 0 is the base
    optimiser in one pass.

    Batch normalisation updates its running statistics in the first pass only: those of the second would be those of
    weights the network never has.

    Of several processes each brings its share of the loss; all climb and step by the sum of their gradients.
    """

    def __init__(self, model: nn.Module, base: torch.optim.Optimizer, rho: float, team: Team | None = None) -> None:
        self._model = model
        self._base = base
        self._rho = rho
        self._team = team or Team(torch.device("cpu"))
        self._parameters = [parameter for group in base.param_groups for parameter in group["params"]]

    def step(self, batch_loss: Callable[[], Tensor]) -> Tensor:
        """Update the weights; `batch_loss` runs one forward pass and returns this process's share of the scalar loss.

        Returns:
            The whole loss at the weights before the update, detached.
        """
        loss = self._backward(batch_loss)
        if self._rho > 0:
            with self._climbed(), frozen_batch_statistics(self._model):
                self._backward(batch_loss)
        self._base.step()
        return loss

    def _backward(self, batch_loss: Callable[[], Tensor]) -> Tensor:
        self._base.zero_grad()
        loss = batch_loss()
        loss.backward()  # type: ignore[no-untyped-call]
        whole = loss.detach().clone()
        gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        self._team.sum_in_place([whole, *gradients])
        return whole

    @contextmanager
    def _climbed(self) -> Iterator[None]:
        """Weights at w + ε inside the block; w, to the bit, after it."""
        moved = [parameter for parameter in self._parameters if parameter.grad is not None]
        gradients = [parameter.grad for parameter in moved if parameter.grad is not None]
        if not moved:
            yield
            return
        # All tensors in one call: one by one, hundreds of small ones keep a GPU waiting for their launches.
        before = [torch.empty_like(parameter) for parameter in moved]
        with torch.no_grad():
            torch._foreach_copy_(before, moved)
            factor = self._rho / nn.utils.get_total_norm(gradients).clamp(min=_SMALLEST_NORM)
            torch._foreach_add_(moved, torch._foreach_mul(gradients, factor))
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(moved, before)


@contextmanager
def frozen_batch_statistics(model: nn.Module) -> Iterator[None]:
    """Batch normalisation inside the block uses the batch's statistics, as in training, and records nothing."""
    layers = [layer for layer in model.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats]
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True
