"""The processes that train one network together, seen from one of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed
from torch import Tensor


@dataclass(frozen=True)
class Team:
    """This process among those that train together; every method is called by all of them at the same point.

    Attributes:
        index: of this process; 0 writes to disk and reports.
        count: of processes; 1: nothing is shared.
        device: of this process.
    """

    device: torch.device
    index: int = 0
    count: int = 1

    def sum_in_place(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over the processes, to the same bits in each; all of one dtype."""
        if self.count == 1 or not tensors:
            return
        together = torch.cat([tensor.reshape(-1) for tensor in tensors])
        torch.distributed.all_reduce(together)
        for tensor, part in zip(tensors, torch.split(together, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view(tensor.shape))

    def total(self, number: int) -> int:
        """The sum of one number over the processes."""
        if self.count == 1:
            return number
        counted = torch.tensor([number], device=self.device)
        torch.distributed.all_reduce(counted)
        return int(counted.item())

    def concatenate(self, values: Tensor) -> Tensor:
        """The (n_i,) values of every process, one after the other."""
        if self.count == 1:
            return values
        lengths = torch.zeros(self.count, dtype=torch.int64, device=self.device)
        lengths[self.index] = len(values)
        torch.distributed.all_reduce(lengths)
        start = int(lengths[: self.index].sum())
        together = torch.zeros(int(lengths.sum()), dtype=values.dtype, device=self.device)
        together[start : start + len(values)] = values.to(self.device)
        torch.distributed.all_reduce(together)
        return together
