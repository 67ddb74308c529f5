"""Sharpness-aware minimisation against hand-computed steps and a plain numpy reference."""

import numpy as np
import pytest
import torch
from torch import nn

from difffake.backbone.sam import SharpnessAwareMinimisation, frozen_batch_statistics


class Weights(nn.Module):
    """Bare parameters, one for each value."""

    def __init__(self, *values: object) -> None:
        super().__init__()
        self.values = nn.ParameterList([nn.Parameter(torch.tensor(value, dtype=torch.float64)) for value in values])


def test_one_step_on_a_quadratic_by_hand() -> None:
    # loss = (3 x² + y²) / 2 at (1, 4): g = (3, 4), ‖g‖ = 5, ε = 0.5 · g / 5 = (0.3, 0.4).
    # At (1.3, 4.4) the gradient is (3.9, 4.4); with rate 0.1: (1 − 0.39, 4 − 0.44).
    model = Weights(1.0, 4.0)
    x, y = model.values
    sam = SharpnessAwareMinimisation(model, torch.optim.SGD(model.parameters(), lr=0.1), rho=0.5)

    loss = sam.step(lambda: (3 * x**2 + y**2) / 2)

    assert loss.item() == pytest.approx(9.5)
    assert x.item() == pytest.approx(0.61, abs=1e-12)
    assert y.item() == pytest.approx(3.56, abs=1e-12)


def test_many_steps_agree_with_a_numpy_reference_with_momentum_and_weight_decay() -> None:
    rng = np.random.default_rng(3)
    root = rng.normal(size=(5, 5))
    curvature, target = root @ root.T, rng.normal(size=5)
    start = rng.normal(size=5)
    rate, momentum, decay, rho = 0.02, 0.9, 0.01, 0.1

    w, velocity = start.copy(), np.zeros(5)
    for _ in range(20):
        gradient = curvature @ (w - target)
        climbed = w + rho * gradient / np.sqrt((gradient**2).sum())
        velocity = momentum * velocity + curvature @ (climbed - target) + decay * w
        w = w - rate * velocity

    # Two tensors: the norm must be that of both together.
    model = Weights(start[:2], start[2:])
    base = torch.optim.SGD(model.parameters(), lr=rate, momentum=momentum, weight_decay=decay)
    sam = SharpnessAwareMinimisation(model, base, rho)
    matrix, centre = torch.tensor(curvature), torch.tensor(target)

    def loss() -> torch.Tensor:
        offset = torch.cat(list(model.values)) - centre
        return offset @ matrix @ offset / 2

    for _ in range(20):
        sam.step(loss)

    np.testing.assert_allclose(torch.cat(list(model.values)).detach().numpy(), w, rtol=1e-10)


def test_rho_zero_is_the_base_optimiser_in_one_pass() -> None:
    steps = []
    for wrapped in (False, True):
        model = Weights([1.0, -2.0])
        base = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        passes = 0

        def loss(model: Weights = model) -> torch.Tensor:
            nonlocal passes
            passes += 1
            return (model.values[0] ** 4).sum()

        for _ in range(3):
            if wrapped:
                SharpnessAwareMinimisation(model, base, rho=0).step(loss)
            else:
                base.zero_grad()
                loss().backward()
                base.step()
        assert passes == 3
        steps.append(model.values[0].detach().clone())
    assert torch.equal(*steps)


def test_a_zero_gradient_moves_nothing() -> None:
    model = Weights([1.0, 2.0])
    sam = SharpnessAwareMinimisation(model, torch.optim.SGD(model.parameters(), lr=0.1), rho=0.05)
    sam.step(lambda: (model.values[0] * 0).sum())
    assert model.values[0].tolist() == [1.0, 2.0]


def test_parameters_out_of_the_loss_are_left_alone() -> None:
    model = Weights([1.0], [5.0])
    sam = SharpnessAwareMinimisation(model, torch.optim.SGD(model.parameters(), lr=0.1), rho=0.05)
    sam.step(lambda: (model.values[0] ** 2).sum())
    assert model.values[1].tolist() == [5.0]


def test_weights_are_restored_to_the_bit_when_the_second_pass_fails() -> None:
    model = Weights([1.1, 2.3])
    before = model.values[0].detach().clone()
    sam = SharpnessAwareMinimisation(model, torch.optim.SGD(model.parameters(), lr=0.1), rho=0.3)
    losses = iter([lambda: (model.values[0] ** 3).sum()])

    with pytest.raises(StopIteration):
        sam.step(lambda: next(losses)())

    assert torch.equal(model.values[0], before)


def test_batch_statistics_are_those_of_the_first_pass() -> None:
    torch.manual_seed(0)
    images = torch.randn(8, 3, 4, 4)
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(32, 1))
    with torch.no_grad():
        seen = model[0](images)
    sam = SharpnessAwareMinimisation(model, torch.optim.SGD(model.parameters(), lr=0.1), rho=1.0)

    sam.step(lambda: (model(images) ** 2).mean())

    # momentum 0.1 from a start at mean 0 and variance 1
    torch.testing.assert_close(model[1].running_mean, 0.1 * seen.mean((0, 2, 3)))
    torch.testing.assert_close(model[1].running_var, 0.9 + 0.1 * seen.var((0, 2, 3)))
    assert model[1].num_batches_tracked == 1
    assert model[1].track_running_stats


def test_frozen_statistics_still_normalise_by_the_batch() -> None:
    layer = nn.BatchNorm2d(2)
    images = 5 + 3 * torch.randn(16, 2, 4, 4, generator=torch.Generator().manual_seed(1))
    with frozen_batch_statistics(layer):
        out = layer(images)
    torch.testing.assert_close(out.mean((0, 2, 3)), torch.zeros(2), atol=1e-5, rtol=0)
    assert layer.running_mean is not None
    assert layer.running_mean.tolist() == [0, 0]
