"""The boundary head: its targets, that it learns, that it is not kept, and that a killed training goes on with it."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from difffake.backbone.boundary import MAP_PX, BoundaryHead, boundary_target
from difffake.backbone.checkpoints import load_weights
from difffake.backbone.data import TrainingBatches
from difffake.backbone.embedder import build_backbone
from difffake.backbone.training import check_backbone, train_backbone
from difffake.errors import ConfigError
from tests.helpers.synthetic_faces import synthetic_faces
from tests.helpers.tiny_training import (
    FAKES,
    SEED,
    assert_same_outcome,
    run,
    stop_after,
    tiny_config,
    training_faces,
    validation_set,
)

LOOKS = {"boundary_weight": 1.0}


def test_a_boundary_lies_where_source_and_target_weigh_the_same() -> None:
    ramp = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (64, 1))
    target = boundary_target(ramp)
    assert target.shape == (MAP_PX, MAP_PX)
    assert target.dtype == np.float32
    assert target.max() == pytest.approx(1, abs=0.01)
    assert target[0].argmax() in (7, 8)
    assert target[0, 0] < 0.15
    flat = np.full((64, 64), 0.25, np.float32)
    np.testing.assert_allclose(boundary_target(flat), 0.75)
    assert boundary_target(np.ones((64, 64), np.float32)).max() == 0


def test_batches_tell_boundaries_of_fakes_alone_and_only_where_asked() -> None:
    faces = synthetic_faces(2, 3)
    config = tiny_config(input_size_px=64, augmentation="robust", **LOOKS)
    (batch, *_) = TrainingBatches(faces, config, FAKES, seed=1).epoch(1)
    assert batch.boundaries is not None
    count = len(batch.labels) // 2
    assert batch.boundaries.shape == (2 * count, MAP_PX, MAP_PX)
    assert batch.boundaries[:count].max() == 0
    assert batch.boundaries[count:].max(axis=(1, 2)).min() > 0.1
    assert batch.boundaries.max() <= 1 + 1e-6
    (plain, *_) = TrainingBatches(faces, tiny_config(input_size_px=64, augmentation="robust"), FAKES, seed=1).epoch(1)
    assert plain.boundaries is None
    np.testing.assert_array_equal(plain.images, batch.images)


def test_loader_processes_bring_boundaries() -> None:
    faces = synthetic_faces(2, 3)
    here = list(TrainingBatches(faces, tiny_config(**LOOKS), FAKES, seed=1).epoch(1))
    loaded = list(TrainingBatches(faces, tiny_config(**LOOKS), FAKES, seed=1, loader_workers=1).epoch(1))
    for ours, theirs in zip(here, loaded, strict=True):
        assert ours.boundaries is not None
        assert theirs.boundaries is not None
        np.testing.assert_array_equal(ours.boundaries, theirs.boundaries)


def test_the_head_learns_a_boundary_that_the_features_show() -> None:
    torch.manual_seed(0)
    targets = (torch.rand(16, MAP_PX, MAP_PX) > 0.7).float()
    small = torch.nn.functional.interpolate(targets[:, None], size=4, mode="area")
    last = torch.cat([small, torch.randn(16, 5, 4, 4)], dim=1)
    head = BoundaryHead(6, seed=0)
    optimiser = torch.optim.Adam(head.parameters(), lr=0.3)
    losses = []
    for _ in range(200):
        optimiser.zero_grad()
        loss = head.loss(last, targets) / len(targets)
        loss.backward()
        optimiser.step()
        losses.append(float(loss))
    # The best that can be had is the entropy of the means themselves.
    entropy = torch.nn.functional.binary_cross_entropy(small, small)
    assert losses[-1] < losses[0]
    assert losses[-1] == pytest.approx(float(entropy), abs=0.03)


def test_it_changes_the_training_and_is_not_kept(tmp_path: Path) -> None:
    looking = run(tmp_path / "looking", **LOOKS)
    plain = run(tmp_path / "plain")
    assert looking.best_weights.read_bytes() != plain.best_weights.read_bytes()
    network = load_weights(looking.best_weights)
    assert network.network.state_dict().keys() == load_weights(plain.best_weights).network.state_dict().keys()


def test_a_killed_training_goes_on_with_its_head(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", average_decay=0.5, **LOOKS)
    stop_after(2, tmp_path / "killed", average_decay=0.5, **LOOKS)
    assert_same_outcome(run(tmp_path / "killed", average_decay=0.5, **LOOKS), whole)


def test_sharpness_aware_steps_see_the_boundaries(tmp_path: Path) -> None:
    looking = run(tmp_path / "looking", sam_rho=0.05, epochs=1, **LOOKS)
    plain = run(tmp_path / "plain", sam_rho=0.05, epochs=1)
    # Its loss is in the sum.
    assert looking.history[0].train_loss > plain.history[0].train_loss + 0.1


def test_a_share_without_a_picture_has_a_gradient_of_nought() -> None:
    head = BoundaryHead(6, seed=0)
    loss = head.loss(torch.zeros(0, 6, 4, 4), torch.zeros(0, MAP_PX, MAP_PX))
    loss.backward()
    assert float(loss) == 0
    assert all(parameter.grad is not None and not parameter.grad.any() for parameter in head.parameters())
    faces = synthetic_faces(1, 2)
    lost = dataclasses.replace(faces, landmarks_crop_px=np.full_like(faces.landmarks_crop_px, 1e4))
    (batch,) = TrainingBatches(lost, tiny_config(input_size_px=64, **LOOKS), FAKES, seed=1).epoch(1)
    assert batch.boundaries is not None
    assert batch.boundaries.shape == (0, MAP_PX, MAP_PX)


def test_a_network_without_a_map_is_refused(tmp_path: Path) -> None:
    config = tiny_config(model="test_vit", input_size_px=160, **LOOKS)
    with pytest.raises(ConfigError, match="no last feature map"):
        train_backbone(config, FAKES, training_faces(), validation_set(), tmp_path, SEED)
    with pytest.raises(ConfigError, match="no last feature map"):
        check_backbone(config)
    assert build_backbone(tiny_config(), 0).map_channels() > 0
