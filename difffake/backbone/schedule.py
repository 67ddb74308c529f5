"""The learning rate over a training (Sec. 4.1: constant, then linear decay to zero), and when training ends."""

import math
from collections.abc import Sequence


def learning_rate_at(step: int, steps: int, learning_rate: float, decay_fraction: float) -> float:
    """The rate of 0-based `step` of `steps`: constant, then falling linearly over the last share of the steps.

    It would reach zero one step after the last.
    """
    remaining = 1 - step / steps
    return learning_rate * min(1.0, remaining / decay_fraction) if decay_fraction > 0 else learning_rate


def epochs_to_run(
    validation_aucs: Sequence[float], epochs: int, decay_fraction: float, early_stop_epochs: int | None
) -> int:
    """The length of a training, in epochs, as it stands after those with the given validation AUCs.

    It is `epochs` until `early_stop_epochs` in a row brought no better AUC. From there the decay takes its share of the
    shorter training, so the last epochs see a falling rate whenever training ends; a decay under way is not cut.
    """
    best, without_better = -math.inf, 0
    for epoch, auc in enumerate(validation_aucs, start=1):
        best, without_better = (auc, 0) if auc > best else (best, without_better + 1)
        if without_better == early_stop_epochs:
            # The tolerance keeps 9 / (1 - 0.9) at 90.
            return epochs if decay_fraction == 1 else min(epochs, math.ceil(epoch / (1 - decay_fraction) - 1e-6))
    return epochs
