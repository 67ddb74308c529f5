"""Optimisers by name: one step by hand, and a training that was interrupted."""

from pathlib import Path

import numpy as np
import pytest
import torch

from difffake.backbone.optimiser import build_optimiser
from difffake.backbone.training import train_backbone
from difffake.backbone.training_folder import EpochRecord
from difffake.config import BackboneConfig
from tests.difffake.backbone.test_backbone_training import (
    FAKES,
    SEED,
    assert_same_outcome,
    run,
    tiny_config,
    training_faces,
    validation_set,
)


def stepped(config: BackboneConfig, gradients: list[float]) -> float:
    weight = torch.nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
    optimiser = build_optimiser([weight], config)
    for gradient in gradients:
        weight.grad = torch.tensor([gradient], dtype=torch.float64)
        optimiser.step()
    return float(weight.detach())


def test_adamw_is_the_published_rule_with_the_momentum_as_first_decay() -> None:
    config = BackboneConfig(optimiser="adamw", learning_rate=0.1, momentum=0.8, weight_decay=0.5)
    weight, first, second = 2.0, 0.0, 0.0
    for step, gradient in enumerate([3.0, -1.0, 0.5], start=1):
        first = 0.8 * first + 0.2 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        # Loshchilov & Hutter 2019, Algorithm 2: the decay does not go through the moments.
        weight -= 0.1 * 0.5 * weight
        weight -= 0.1 * (first / (1 - 0.8**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
    assert stepped(config, [3.0, -1.0, 0.5]) == pytest.approx(weight)


def test_sgd_is_momentum_on_the_decayed_gradient() -> None:
    config = BackboneConfig(learning_rate=0.1, momentum=0.5, weight_decay=0.25)
    # v = 3 + 0.5 = 3.5, w = 1.65; then v = 1.75 + (-1 + 0.4125) = 1.1625.
    assert stepped(config, [3.0, -1.0]) == pytest.approx(2 - 0.35 - 0.11625)


def test_an_interrupted_training_with_adamw_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    changes = {"optimiser": "adamw", "learning_rate": 0.002}
    whole = run(tmp_path / "whole", **changes)

    class StoppedError(Exception):
        pass

    def stop(record: EpochRecord) -> None:
        if record.epoch == 2:
            raise StoppedError

    folder = tmp_path / "stopped"
    with pytest.raises(StoppedError):
        train_backbone(tiny_config(**changes), FAKES, training_faces(), validation_set(), folder, SEED, on_epoch=stop)
    assert_same_outcome(run(folder, **changes), whole)
