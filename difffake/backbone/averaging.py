"""A moving average of the weights over the steps, which is what is validated and kept (not in the paper).

Short trainings end at a point that depends on their last batches; the average of the last ones lies nearer to the
middle of the valley (Polyak & Juditsky 1992; Izmailov et al., arXiv 1803.05407). It lies beside the network, not in a
copy of it as torch's `AveragedModel` has it: layers that share batch statistics over processes cannot be copied.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """The average of a network's floating-point weights and batch statistics; other state is the newest.

    With n steps before this one, the average moves towards the weights by 1 − min(decay, (1 + n) / (10 + n)): the
    first steps, from which nothing is to be remembered, are soon forgotten.

    Args:
        network: on the device it is trained on.
        decay: share of the average that a step keeps, in [0, 1); 0: the average is the network itself.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._network = network
        self._decay = decay
        self._steps = 0
        self._average = {name: tensor.clone() for name, tensor in self._averaged_tensors().items()} if decay else {}

    def update(self) -> None:
        """Take in the weights after a step."""
        if not self._average:
            return
        kept = min(self._decay, (1 + self._steps) / (10 + self._steps))
        newest = self._averaged_tensors()
        with torch.no_grad():
            torch._foreach_lerp_(list(self._average.values()), [newest[name] for name in self._average], 1 - kept)
        self._steps += 1

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The network has the averaged weights inside the block; its own, to the bit, after it."""
        if not self._average:
            yield
            return
        newest = {name: tensor.clone() for name, tensor in self._averaged_tensors().items()}
        self._set(self._average)
        try:
            yield
        finally:
            self._set(newest)

    def state(self) -> dict[str, Tensor]:
        """The average and its number of steps, for a checkpoint; nothing without an average."""
        if not self._average:
            return {}
        return {**self._average, _STEPS: torch.tensor(self._steps, dtype=torch.int64)}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take up what `state` gave."""
        if not self._average:
            return
        self._steps = int(state[_STEPS])
        for name, tensor in self._average.items():
            tensor.copy_(state[name])

    def _averaged_tensors(self) -> dict[str, Tensor]:
        state = self._network.state_dict()
        return {name: tensor.detach() for name, tensor in state.items() if tensor.is_floating_point()}

    def _set(self, values: Mapping[str, Tensor]) -> None:
        own = self._averaged_tensors()
        with torch.no_grad():
            torch._foreach_copy_([own[name] for name in values], list(values.values()))


_STEPS = "steps"
