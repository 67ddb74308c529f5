"""Results on their way from a GPU, which may be given more work meanwhile."""

import torch
from torch import Tensor


class Arrival:
    """Copies of tensors in this process's memory, complete once the work that makes them is done.

    Of a GPU the copies stand in line behind that work and before whatever it is given later. Reading a tensor itself
    would wait for the later work, too.

    Args:
        tensors: of one device, at least one; on a CPU they are not copied.
    """

    def __init__(self, *tensors: Tensor) -> None:
        self._copies = [tensor.detach().to("cpu", non_blocking=True) for tensor in tensors]
        self._event: torch.cuda.Event | None = None
        if tensors[0].is_cuda:
            # Waiting for a blocking event leaves the core to whoever prepares batches.
            self._event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            self._event.record(torch.cuda.current_stream(tensors[0].device))

    def wait(self) -> list[Tensor]:
        """The copies, once they are complete."""
        if self._event is not None:
            self._event.synchronize()
        return self._copies
