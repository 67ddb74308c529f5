"""Embedding of stored crops."""

import numpy as np
import pytest
import torch

from difffake.backbone.embed import embed_crops
from difffake.backbone.embedder import Backbone, build_backbone
from difffake.backbone.images import decode_crop
from difffake.config import BackboneConfig
from difffake.errors import ArtefactError
from tests.helpers.synthetic_faces import synthetic_faces

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    config = BackboneConfig(model="test_efficientnet.r160_in1k", pretrained="none", input_size_px=64)
    backbone = build_backbone(config, seed=0)
    backbone.is_trained = True
    return backbone


def test_features_and_probabilities_are_the_networks(backbone: Backbone) -> None:
    crops = synthetic_faces(videos=2, faces_per_video=2).crops_jpeg
    embeddings = embed_crops(backbone, crops, batch_size=3, device=CPU)

    pixels = np.stack([decode_crop(crop, "") for crop in crops])
    normalised = torch.from_numpy((pixels / 255 - 0.5) / 0.5).permute(0, 3, 1, 2).float()
    with torch.no_grad():
        features = backbone.eval().features(normalised)
        logits = backbone(normalised).numpy()
    assert embeddings.features.dtype == embeddings.fake_probability.dtype == np.float32
    np.testing.assert_allclose(embeddings.features, features.numpy(), atol=1e-5)
    by_hand = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
    np.testing.assert_allclose(embeddings.fake_probability, by_hand, atol=1e-5)


def test_the_batch_size_changes_nothing(backbone: Backbone) -> None:
    crops = synthetic_faces(videos=1, faces_per_video=7, size_px=80).crops_jpeg
    whole = embed_crops(backbone, crops, batch_size=7, device=CPU)
    for batch_size in (1, 2, 5, 100):
        parts = embed_crops(backbone, crops, batch_size, CPU)
        np.testing.assert_allclose(parts.features, whole.features, atol=1e-5)
        np.testing.assert_allclose(parts.fake_probability, whole.fake_probability, atol=1e-5)


def test_the_mode_and_the_statistics_are_left_as_they_were(backbone: Backbone) -> None:
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    backbone.train()
    embed_crops(backbone, synthetic_faces(1, 2).crops_jpeg, 2, CPU)
    assert backbone.training
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
    assert all(parameter.requires_grad for parameter in backbone.parameters())


def test_no_crops_give_no_rows(backbone: Backbone) -> None:
    embeddings = embed_crops(backbone, [], 8, CPU)
    assert embeddings.features.shape == (0, 256)
    assert embeddings.fake_probability.shape == (0,)


def test_a_network_that_was_not_trained_gives_no_verdict() -> None:
    config = BackboneConfig(model="test_efficientnet.r160_in1k", pretrained="none", input_size_px=64)
    untrained = build_backbone(config, seed=0)
    embeddings = embed_crops(untrained, synthetic_faces(1, 3).crops_jpeg, 2, CPU)
    assert embeddings.fake_probability is None
    assert embeddings.features.shape == (3, 256)


def test_a_broken_crop_is_named_by_its_row(backbone: Backbone) -> None:
    crops = [*synthetic_faces(1, 2).crops_jpeg, b"broken"]
    with pytest.raises(ArtefactError, match="face in row 2"):
        embed_crops(backbone, crops, 2, CPU)
