"""Windows of training pictures: small, but of full resolution (an option; not in the paper).

What gives a blend away is fine and local, and a picture made smaller loses it. A window of a quarter of the area costs
a quarter of the time. The network pools its map over whatever size it is given. It sees whole pictures at last, as its
statistics differ between the two (Touvron et al., Fixing the train-test resolution discrepancy, NeurIPS 2019).
"""

import numpy as np

from difffake.faces.records import FloatArray


def draw_window(mask: FloatArray, side_px: int, rng: np.random.Generator) -> tuple[slice, slice]:
    """Rows and columns of a window that has some of what was blended in.

    A pixel is drawn with the weight of the mask, and the window around it; where there is no mask, any window.

    Args:
        mask: (S, S) in [0, 1].
        side_px: of the window, at most S.
        rng: source of the draw.
    """
    size_px = len(mask)
    sums = np.cumsum(mask, dtype=np.float64)
    drawn, total = rng.random(), sums[-1]
    # The first pixel whose sum exceeds the draw has a weight above 0.
    pixel = int(np.searchsorted(sums, drawn * total, side="right")) if total > 0 else int(drawn * mask.size)
    row, column = divmod(min(pixel, mask.size - 1), size_px)
    top, left = (_start(at, side_px, size_px, rng) for at in (row, column))
    return slice(top, top + side_px), slice(left, left + side_px)


def _start(pixel: int, side_px: int, size_px: int, rng: np.random.Generator) -> int:
    """Of a window that holds the pixel and lies within the picture, each place as likely as another."""
    return int(rng.integers(max(0, pixel - side_px + 1), min(pixel, size_px - side_px) + 1))
