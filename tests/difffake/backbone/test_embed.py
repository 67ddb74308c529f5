"""Embedding of stored crops."""

import threading

import numpy as np
import pytest
import torch

from difffake.backbone.decoding import decoded_batches
from difffake.backbone.device import crops_in_memory
from difffake.backbone.embed import embed_crops
from difffake.backbone.embedder import Backbone, build_backbone
from difffake.backbone.images import resize_to_input
from difffake.config import BackboneConfig
from difffake.errors import ArtefactError
from difffake.faces.crop_jpeg import decode_crop
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


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("batch_size", [1, 40, 64, 200])
def test_batches_that_threads_decode_are_those_decoded_one_by_one(threads: int, batch_size: int) -> None:
    crops = synthetic_faces(videos=10, faces_per_video=10, size_px=48).crops_jpeg
    expected = list(decoded_batches(crops, batch_size, 32))
    found = list(decoded_batches(crops, batch_size, 32, threads))
    assert [start for start, _ in found] == list(range(0, 100, batch_size))
    for (_, ours), (_, theirs) in zip(found, expected, strict=True):
        assert torch.equal(ours, theirs)
    by_hand = np.stack([resize_to_input(decode_crop(crop, ""), 32) for crop in crops])
    assert np.array_equal(torch.cat([pixels for _, pixels in found]).numpy(), by_hand)


def test_threads_name_a_broken_crop_after_the_batches_before_it_and_end() -> None:
    crops = [*synthetic_faces(videos=1, faces_per_video=8, size_px=48).crops_jpeg, b"broken"]
    batches = decoded_batches(crops, 2, 32, threads=2)
    seen = []
    with pytest.raises(ArtefactError, match="face in row 8"):
        seen.extend(start for start, _ in batches)
    assert seen == [0, 2, 4, 6]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode")]


def test_batches_nobody_asks_for_any_more_leave_no_thread() -> None:
    crops = synthetic_faces(videos=2, faces_per_video=20, size_px=48).crops_jpeg
    batches = decoded_batches(crops, 4, 32, threads=2)
    next(batches)
    batches.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode")]


@pytest.mark.parametrize(
    ("gigabytes", "input_size_px", "crops"),
    [(80, 224, 256), (80, 112, 256), (80, 448, 64), (80, 1024, 12), (16, 224, 64), (16, 448, 16), (4, 2048, 1)],
)
def test_a_gpu_takes_as_many_crops_as_its_memory_holds(gigabytes: int, input_size_px: int, crops: int) -> None:
    assert crops_in_memory(gigabytes * 2**30, input_size_px) == crops
