"""The learning rate over a training (Sec. 4.1: constant, then linear decay to zero)."""


def learning_rate_at(step: int, steps: int, learning_rate: float, decay_fraction: float) -> float:
    """The rate of 0-based `step` of `steps`: constant, then falling linearly over the last share of the steps.

    It would reach zero one step after the last.
    """
    remaining = 1 - step / steps
    return learning_rate * min(1.0, remaining / decay_fraction) if decay_fraction > 0 else learning_rate
