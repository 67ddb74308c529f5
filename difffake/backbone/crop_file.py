"""Encoded crops in one file that any number of processes read, instead of a copy in the memory of each."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import overload

import numpy as np
import numpy.typing as npt


class PackedCrops(Sequence[bytes]):
    """Crops one after the other in a file; what is sent to another process is its path."""

    def __init__(self, path: Path, ends: npt.NDArray[np.int64]) -> None:
        self._path = path
        self._ends = ends
        self._bytes: npt.NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, row: int) -> bytes: ...
    @overload
    def __getitem__(self, row: slice) -> Sequence[bytes]: ...
    def __getitem__(self, row: int | slice) -> bytes | Sequence[bytes]:
        if isinstance(row, slice):
            return [self[number] for number in range(*row.indices(len(self)))]
        row = range(len(self))[row]
        if self._bytes is None:
            self._bytes = np.memmap(self._path, np.uint8, mode="r")
        return self._bytes[self._ends[row - 1] if row else 0 : self._ends[row]].tobytes()

    def __reduce__(self) -> tuple[type["PackedCrops"], tuple[Path, npt.NDArray[np.int64]]]:
        return PackedCrops, (self._path, self._ends)


@contextmanager
def packed_crops(crops: Sequence[bytes], path: Path) -> Iterator[PackedCrops]:
    """The crops in a file at `path` during the block."""
    try:
        with path.open("wb") as file:
            file.writelines(crops)
        yield PackedCrops(path, np.array(list(accumulate(map(len, crops))), np.int64))
    finally:
        path.unlink(missing_ok=True)
