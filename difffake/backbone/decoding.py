"""Batches of stored crops, decoded while others go through the network."""

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

import torch
from torch import Tensor

from difffake.backbone.data import Images
from difffake.backbone.images import resize_to_input
from difffake.faces.crop_jpeg import decode_crop

_CROPS_A_TASK = 32
_BATCHES_AHEAD = 2


def decoded_batches(
    crops_jpeg: Sequence[bytes], batch_size: int, size_px: int, threads: int = 0, pin_memory: bool = False
) -> Generator[tuple[int, Tensor], None, None]:
    """The first row and the (N, size, size, 3) uint8 RGB pixels of each batch, in order.

    Args:
        threads: share the crops of a batch, and work on the next two while one is used; 0: each batch is decoded when
            it is asked for.
        pin_memory: into page-locked memory, from which a GPU copies beside its work.

    Raises:
        ArtefactError: a crop cannot be decoded; it is named by its row.
    """
    starts = range(0, len(crops_jpeg), batch_size)

    def empty(start: int) -> Tensor:
        count = min(batch_size, len(crops_jpeg) - start)
        return torch.empty((count, size_px, size_px, 3), dtype=torch.uint8, pin_memory=pin_memory)

    def fill(pixels: Images, first_row: int) -> None:
        for row, image in enumerate(pixels, first_row):
            image[...] = resize_to_input(decode_crop(crops_jpeg[row], f"in row {row}"), size_px)

    if threads == 0:
        for start in starts:
            pixels = empty(start)
            fill(pixels.numpy(), start)
            yield start, pixels
        return

    pool = ThreadPoolExecutor(threads, "decode")

    def begin(start: int) -> tuple[int, Tensor, list[Future[None]]]:
        pixels = empty(start)
        images = pixels.numpy()
        parts = range(0, len(images), _CROPS_A_TASK)
        return start, pixels, [pool.submit(fill, images[at : at + _CROPS_A_TASK], start + at) for at in parts]

    try:
        begun = deque(begin(start) for start in starts[: 1 + _BATCHES_AHEAD])
        following = iter(starts[1 + _BATCHES_AHEAD :])
        while begun:
            start, pixels, parts = begun.popleft()
            for part in parts:
                part.result()
            yield start, pixels
            begun.extend(begin(start) for start in islice(following, 1))
    finally:
        pool.shutdown(cancel_futures=True)
