"""Embeddings shaped for their differences, learnt beside real against fake (an option; not in the paper).

Two real faces of one video are to lie nearer to each other than a pseudo-fake lies to a real one, and than two
pseudo-fakes lie to each other: the triplet loss of Schroff et al., FaceNet, CVPR 2015, Eq. 3, with the margin of its
Sec. 3.2, on the squared distances that the differential step is about.
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize, relu

MARGIN = 0.2
"""By how much the squared distance of two real faces is to be the smaller one; embeddings have length 1."""


def contrast_loss(embeddings: Tensor, videos: Tensor) -> Tensor:
    """The loss, each face's mean over the other faces of its video in the batch, the sum over faces; 0 without others.

    Args:
        embeddings: (2P, D), P real faces and then their pseudo-fakes, in one order.
        videos: (P,) int64, equal for faces of one video.
    """
    reals, fakes = normalize(embeddings.float(), dim=1).chunk(2)
    is_partner = (videos[:, None] == videos[None, :]) & ~torch.eye(len(videos), dtype=torch.bool, device=videos.device)
    between_reals = _squared_distances(reals, reals)
    to_fakes = relu(between_reals - _squared_distances(reals, fakes) + MARGIN)
    between_fakes = relu(between_reals - _squared_distances(fakes, fakes) + MARGIN)
    losses = (to_fakes + between_fakes) / 2 * is_partner
    return (losses.sum(dim=1) / is_partner.sum(dim=1).clamp(min=1)).sum()


def _squared_distances(first: Tensor, second: Tensor) -> Tensor:
    # Of vectors of length 1; a root would have no gradient at 0.
    return 2 - 2 * first @ second.T
