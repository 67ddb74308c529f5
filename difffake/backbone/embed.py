"""Embeddings and fake probabilities of stored crops, in one forward pass each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from difffake.backbone.classes import FAKE_CLASS
from difffake.backbone.data import Images
from difffake.backbone.embedder import Backbone, evaluating
from difffake.backbone.images import decode_crop, resize_to_input
from difffake.faces.records import FloatArray


@dataclass(frozen=True, eq=False)
class Embeddings:
    """What the network says of N faces.

    Attributes:
        features: (N, D) float32, the network's embedding.
        fake_probability: (N,) float32 in [0, 1], the softmax of the fake class; None: the network was not trained.
    """

    features: FloatArray
    fake_probability: FloatArray | None


def embed_crops(backbone: Backbone, crops_jpeg: Sequence[bytes], batch_size: int, device: torch.device) -> Embeddings:
    """Embed encoded square crops, in order; the batch size changes nothing but rounding.

    Args:
        backbone: moved to `device`; its mode (training or evaluation) is as before afterwards.

    Raises:
        ArtefactError: a crop cannot be decoded.
    """
    backbone.to(device).to(memory_format=torch.channels_last)
    size_px = backbone.preprocessing.input_size_px
    features = np.zeros((len(crops_jpeg), backbone.embedding_dim), np.float32)
    fake_probability = np.zeros(len(crops_jpeg), np.float32) if backbone.is_trained else None
    for start in range(0, len(crops_jpeg), batch_size):
        stop = min(start + batch_size, len(crops_jpeg))
        images = np.stack(
            [resize_to_input(decode_crop(crops_jpeg[row], f"in row {row}"), size_px) for row in range(start, stop)]
        )
        embedded = embed_images(backbone, images)
        features[start:stop] = embedded.features
        if fake_probability is not None:
            fake_probability[start:stop] = embedded.fake_probability
    return Embeddings(features, fake_probability)


def embed_images(backbone: Backbone, images: Images) -> Embeddings:
    """Embed one batch of (N, S, S, 3) uint8 RGB pictures of the network's input size, on the network's device."""
    features, fake_probability = features_and_fake_probability(backbone, images)
    return Embeddings(features, fake_probability if backbone.is_trained else None)


def features_and_fake_probability(backbone: Backbone, images: Images) -> tuple[FloatArray, FloatArray]:
    """The (N, D) embeddings and (N,) softmax outputs for fake, whether or not the network was trained."""
    with evaluating(backbone), torch.inference_mode():
        normalised = backbone.preprocessing.normalise(torch.from_numpy(images).to(backbone.device))
        features, logits = backbone.features_and_logits(normalised)
        fake_probability = logits.float().softmax(dim=1)[:, FAKE_CLASS]
    return features.float().cpu().numpy(), fake_probability.cpu().numpy()
