"""Where a face was blended, learnt beside whether it was (an option; not in the paper).

A head of the training looks for the blending boundary in the last feature map, whose target is 4 · M · (1 − M) of the
mask M: 1 where source and target weigh the same, 0 inside, outside and on real faces (Li et al., Face X-ray, CVPR 2020,
Eq. 1; the factor makes its maximum 1). The head is not part of the network that is kept.
"""

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate

from difffake.faces.records import FloatArray

MAP_PX = 16
"""Side of the targets in a batch; the last feature map, of 4 to 12 px, gets their means."""


def boundary_target(mask: FloatArray) -> FloatArray:
    """(S, S) mask in [0, 1] to the (MAP_PX, MAP_PX) float32 target in [0, 1]."""
    boundary = 4 * mask * (1 - mask)
    return np.asarray(cv2.resize(boundary, (MAP_PX, MAP_PX), interpolation=cv2.INTER_AREA), np.float32)


class BoundaryHead(nn.Module):
    """A linear map of each place of the last feature map to the log-odds of a boundary.

    Args:
        channels: D of the feature map.
        seed: its weights are drawn from it; torch's global random state is as before afterwards.
    """

    def __init__(self, channels: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.convolution = nn.Conv2d(channels, 1, kernel_size=1)

    def loss(self, last: Tensor, targets: Tensor) -> Tensor:
        """Binary cross-entropy, the mean over places and the sum over pictures; 0 of none.

        Args:
            last: (N, D, h, w) feature map, N ≥ 0.
            targets: (N, MAP_PX, MAP_PX) in [0, 1].
        """
        wanted = interpolate(targets[:, None], size=last.shape[-2:], mode="area")
        loss = binary_cross_entropy_with_logits(self.convolution(last.float()), wanted, reduction="sum")
        return loss / (last.shape[-2] * last.shape[-1])
