"""The learning rate, by hand."""

import pytest

from difffake.backbone.schedule import learning_rate_at


def test_constant_then_linear_to_zero_by_hand() -> None:
    rates = [learning_rate_at(step, 8, learning_rate=1.0, decay_fraction=0.5) for step in range(8)]
    assert rates == [1, 1, 1, 1, 1, 0.75, 0.5, 0.25]
    assert learning_rate_at(8, 8, 1.0, 0.5) == 0


def test_the_papers_hundred_epochs() -> None:
    rates = [learning_rate_at(step, 36_000, 1e-3, 0.25) for step in (0, 26_999, 27_000, 31_500, 35_999)]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-3, 5e-4, 1e-3 / 9000])


def test_no_decay_and_nothing_but_decay() -> None:
    assert [learning_rate_at(step, 4, 2.0, decay_fraction=0.0) for step in range(4)] == [2, 2, 2, 2]
    assert [learning_rate_at(step, 4, 2.0, decay_fraction=1.0) for step in range(4)] == [2, 1.5, 1, 0.5]
