"""The learning rate, by hand."""

import pytest

from difffake.backbone.schedule import epochs_to_run, learning_rate_at


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


def test_without_early_stopping_every_epoch_is_run() -> None:
    assert epochs_to_run([0.9, 0.5, 0.4, 0.3], 10, 0.25, None) == 10


def test_early_stopping_by_hand() -> None:
    # The best is epoch 2; epochs 3 to 5 are no better, so after epoch 5 the last quarter begins: 5 / 0.75 = 6.67.
    aucs = [0.6, 0.8, 0.7, 0.8, 0.79]
    assert [epochs_to_run(aucs[:done], 40, 0.25, 3) for done in range(6)] == [40, 40, 40, 40, 40, 7]
    # What comes after that changes nothing: a better AUC in the decay is what the decay is for.
    assert epochs_to_run([*aucs, 0.9, 0.95], 40, 0.25, 3) == 7
    assert epochs_to_run([0.6, 0.5, 0.7, 0.6, 0.8], 40, 0.25, 2) == 40


def test_the_rate_of_a_training_cut_short_falls_from_where_it_stopped_getting_better() -> None:
    epochs = epochs_to_run([0.9, 0.8, 0.8], 1000, 0.25, 2)
    assert epochs == 4
    rates = [learning_rate_at(step, 10 * epochs, 1.0, 0.25) for step in range(30, 40)]
    assert rates == pytest.approx([1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])


def test_early_stopping_at_the_edges() -> None:
    # No decay: it ends at once. A decay under way is not cut. 9 / (1 - 0.9) is 90, whatever floats say.
    assert epochs_to_run([0.9, 0.8], 40, 0.0, 1) == 2
    assert epochs_to_run([0.1 * epoch for epoch in range(8)] + [0.1], 10, 0.25, 1) == 10
    assert epochs_to_run([0.9] * 9, 1000, 0.9, 8) == 90
    assert epochs_to_run([0.9, 0.8], 40, 1.0, 1) == 40
