import pytest
import torch
from torch import nn

from difffake.backbone.averaging import WeightAverage


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def test_an_average_forgets_its_start_and_then_decays() -> None:
    model, decay = network(), 0.5
    average = WeightAverage(model, decay)
    weight = model[0].weight
    expected = weight.detach().clone()
    for step in range(12):
        with torch.no_grad():
            weight.add_(1.0)
        average.update()
        kept = min(decay, (1 + step) / (10 + step))
        expected = kept * expected + (1 - kept) * weight.detach()
    with average.applied():
        torch.testing.assert_close(model[0].weight, expected)


def test_the_networks_own_weights_come_back_to_the_bit() -> None:
    model = network()
    average = WeightAverage(model, 0.9)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.7)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    average.update()

    def fail_inside() -> None:
        with average.applied():
            assert not torch.equal(model[0].weight, before["0.weight"])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_inside()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_batch_statistics_are_averaged_and_counters_are_not() -> None:
    model = network()
    average = WeightAverage(model, 0.99)
    model.train()
    for _ in range(3):
        model(torch.randn(8, 3) + 5)
        average.update()
    newest = model[1].running_mean.clone()
    with average.applied():
        assert int(model[1].num_batches_tracked) == 3
        assert not torch.equal(model[1].running_mean, newest)


def test_a_state_goes_on_where_it_was() -> None:
    model = network()
    first = WeightAverage(model, 0.9)
    with torch.no_grad():
        model[0].weight.add_(2.0)
    first.update()
    again = WeightAverage(model, 0.9)
    again.load({name: tensor.clone() for name, tensor in first.state().items()})
    for average in (first, again):
        average.update()
    assert all(torch.equal(tensor, again.state()[name]) for name, tensor in first.state().items())


def test_decay_nought_is_the_network_itself() -> None:
    model = network()
    average = WeightAverage(model, 0.0)
    average.update()
    assert average.state() == {}
    average.load({})
    weight = model[0].weight.detach().clone()
    with average.applied():
        assert torch.equal(model[0].weight, weight)
