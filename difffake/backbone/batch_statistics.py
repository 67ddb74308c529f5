"""Batch normalisation over the whole batch when several processes hold a share of it each."""

from typing import Any, Self

import torch
import torch.distributed
from torch import Tensor, nn
from torch.nn.functional import batch_norm
from torch.nn.modules.batchnorm import _BatchNorm

from difffake.backbone.team import Team


def share_batch_statistics(network: nn.Module, team: Team) -> nn.Module:
    """The same network, weights and names, whose batch normalisation sees the batch of all processes.

    Without it the number of processes would change what is learnt: the shares are small. On GPUs torch's synchronised
    layer does it, which knows no CPU.
    """
    if team.count == 1:
        return network
    if team.device.type == "cuda":
        from timm.layers.norm_act import convert_sync_batchnorm

        converted: nn.Module = convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return converted
    for name, child in list(network.named_children()):
        shared = SharedBatchNorm.of(child) if isinstance(child, _BatchNorm) else share_batch_statistics(child, team)
        setattr(network, name, shared)
    return network


class SharedBatchNorm(_BatchNorm):
    """Batch normalisation by the mean and variance over all processes, differentiable through both."""

    @classmethod
    def of(cls, layer: _BatchNorm) -> Self:
        """The shared form of a layer, which lends its parameters, its buffers and timm's activation."""
        shared = cls(layer.num_features, layer.eps, layer.momentum, layer.affine, layer.track_running_stats)
        for name, parameter in layer.named_parameters(recurse=False):
            setattr(shared, name, parameter)
        for name, buffer in layer.named_buffers(recurse=False):
            setattr(shared, name, buffer)
        for name, child in layer.named_children():
            shared.add_module(name, child)
        return shared.train(layer.training)

    def forward(self, x: Tensor) -> Tensor:
        """(N, D, …) → (N, D, …); N may be 0 in some of the processes."""
        if self.training or self.running_mean is None:
            x = self._normalise_by_batch(x)
        else:
            x = batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        # What timm adds to the layer.
        for child in self.children():
            x = child(x)
        return x

    def _normalise_by_batch(self, x: Tensor) -> Tensor:
        axes = [0, *range(2, x.ndim)]
        shape = (1, -1, *[1] * (x.ndim - 2))
        values = x.float()
        count = _sum_over_processes(values.new_tensor([values.numel() / values.shape[1]]))
        mean = _sum_over_processes(values.sum(axes)) / count
        centred = values - mean.view(shape)
        variance = _sum_over_processes(centred.square().sum(axes)) / count
        if self.track_running_stats:
            self._record(mean.detach(), variance.detach() * count / (count - 1))
        normalised = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            normalised = normalised * self.weight.view(shape) + self.bias.view(shape)
        return normalised.to(x.dtype)

    def _record(self, mean: Tensor, unbiased_variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        factor = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, factor)
        self.running_var.lerp_(unbiased_variance, factor)

    def _check_input_dim(self, _input: Tensor) -> None:
        """Any number of axes after the channels."""


class _SumOverProcesses(torch.autograd.Function):
    # The loss is a sum over the processes, so is the gradient of what all of them use.
    @staticmethod
    def forward(_context: Any, value: Tensor) -> Tensor:
        summed = value.clone()
        torch.distributed.all_reduce(summed)
        return summed

    @staticmethod
    def backward(_context: Any, gradient: Tensor) -> Tensor:
        summed = gradient.clone()
        torch.distributed.all_reduce(summed)
        return summed


def _sum_over_processes(value: Tensor) -> Tensor:
    summed: Tensor = _SumOverProcesses.apply(value)
    return summed
