"""Embeddings and fake probabilities of stored crops, in one forward pass each."""

import os
from collections.abc import Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from difffake.backbone.arrival import Arrival
from difffake.backbone.classes import FAKE_CLASS
from difffake.backbone.data import Images
from difffake.backbone.decoding import decoded_batches
from difffake.backbone.embedder import Backbone, evaluating
from difffake.faces.records import FloatArray
from difffake.memory import keeping_freed_memory

_MOST_DECODING_THREADS = 8
"""Beside a GPU; each decodes about 2,000 crops of 224 px a second, an H200 embeds 5,300 with EfficientNet-B4."""


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

    A GPU has its next batch before the results of the last are read; threads decode the crops of those to come.

    Args:
        backbone: moved to `device`; its mode (training or evaluation) is as before afterwards.

    Raises:
        ArtefactError: a crop cannot be decoded.
    """
    backbone.to(device).to(memory_format=torch.channels_last)
    features = np.zeros((len(crops_jpeg), backbone.embedding_dim), np.float32)
    fake_probability = np.zeros(len(crops_jpeg), np.float32)

    def read(start: int, arriving: Arrival) -> None:
        rows = slice(start, start + batch_size)
        features[rows], fake_probability[rows] = (tensor.numpy() for tensor in arriving.wait())

    on_gpu = device.type == "cuda"
    batches = decoded_batches(
        crops_jpeg,
        batch_size,
        backbone.preprocessing.input_size_px,
        # Of a CPU the network uses all cores.
        threads=max(1, min(_MOST_DECODING_THREADS, len(os.sched_getaffinity(0)) - 1)) if on_gpu else 0,
        pin_memory=on_gpu,
    )
    running: tuple[int, Arrival] | None = None
    kept = nullcontext() if on_gpu else keeping_freed_memory()
    with kept, closing(batches), evaluating(backbone), torch.inference_mode():
        for start, pixels in batches:
            begun = start, Arrival(*_forward(backbone, pixels))
            if running is not None:
                read(*running)
            running = begun
        if running is not None:
            read(*running)
    return Embeddings(features, fake_probability if backbone.is_trained else None)


def embed_images(backbone: Backbone, images: Images) -> Embeddings:
    """Embed one batch of (N, S, S, 3) uint8 RGB pictures of the network's input size, on the network's device."""
    features, fake_probability = features_and_fake_probability(backbone, images)
    return Embeddings(features, fake_probability if backbone.is_trained else None)


def features_and_fake_probability(backbone: Backbone, images: Images) -> tuple[FloatArray, FloatArray]:
    """The (N, D) embeddings and (N,) softmax outputs for fake, whether or not the network was trained."""
    kept = nullcontext() if backbone.device.type == "cuda" else keeping_freed_memory()
    with kept, evaluating(backbone), torch.inference_mode():
        features, fake_probability = _forward(backbone, torch.from_numpy(images))
    return features.cpu().numpy(), fake_probability.cpu().numpy()


def _forward(backbone: Backbone, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """(N, D) embeddings and (N,) fake probabilities, float32, which the device may still be working on."""
    normalised = backbone.preprocessing.normalise(pixels.to(backbone.device, non_blocking=True))
    features, logits = backbone.features_and_logits(normalised)
    return features.float(), logits.float().softmax(dim=1)[:, FAKE_CLASS]
