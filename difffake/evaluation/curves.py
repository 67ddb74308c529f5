"""The ROC curve as counts, for many weightings of the same videos at once; what the bootstrap is made of."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class RocCounts:
    """Videos called fake at each distinct score, the highest first, under R weightings.

    Attributes:
        scores: (T,) distinct scores, descending.
        true_positives: (R, T + 1) weighted fakes at or above the t-th highest of T distinct scores; column 0 is 0.
        false_positives: (R, T + 1) weighted reals, likewise.
    """

    scores: Floats
    true_positives: Integers
    false_positives: Integers

    @property
    def fakes(self) -> Integers:
        """(R, 1) weighted number of fakes."""
        return self.true_positives[:, -1:]

    @property
    def reals(self) -> Integers:
        """(R, 1) weighted number of reals."""
        return self.false_positives[:, -1:]

    def where_defined(self) -> "RocCounts":
        """Only the weightings with both a real and a fake; every metric needs them."""
        defined = (self.fakes > 0).ravel() & (self.reals > 0).ravel()
        return RocCounts(self.scores, self.true_positives[defined], self.false_positives[defined])


class RankedVideos:
    """Videos sorted once by descending score, ready to be counted under any weights.

    Args:
        labels: (N,) 1 for fake, 0 for real.
        scores: (N,) higher is more anomalous.
    """

    def __init__(self, labels: Integers, scores: Floats) -> None:
        self._order = np.argsort(-scores, kind="stable")
        descending = scores[self._order]
        # Tied videos enter together: the curve has one point a distinct score.
        self._last_of_ties = np.flatnonzero(np.append(descending[:-1] != descending[1:], True))
        self._scores = descending[self._last_of_ties]
        self._is_fake = labels[self._order]

    def count(self, weights: Integers) -> RocCounts:
        """(R, N) weights, how often each video counts, to R curves."""
        sorted_weights = weights[:, self._order]
        fakes = sorted_weights * self._is_fake
        return RocCounts(self._scores, self._accumulate(fakes), self._accumulate(sorted_weights - fakes))

    def _accumulate(self, counts: Integers) -> Integers:
        at_scores = np.cumsum(counts, axis=1)[:, self._last_of_ties]
        return np.pad(at_scores, ((0, 0), (1, 0)))


def area_under_curve(counts: RocCounts) -> Floats:
    """(R,) areas under the ROC curve by trapezoids: ties count one half."""
    heights = counts.true_positives[:, 1:] + counts.true_positives[:, :-1]
    doubled = np.sum(np.diff(counts.false_positives, axis=1) * heights, axis=1)
    areas: Floats = doubled / (2 * counts.fakes * counts.reals).ravel()
    return areas


def average_precision_of_curve(counts: RocCounts) -> Floats:
    """(R,) average precisions: the precision at each score, weighted by the recall it adds."""
    called_fake = counts.true_positives[:, 1:] + counts.false_positives[:, 1:]
    precision = counts.true_positives[:, 1:] / np.maximum(called_fake, 1)
    added = np.sum(np.diff(counts.true_positives, axis=1) * precision, axis=1)
    precisions: Floats = added / counts.fakes.ravel()
    return precisions


def equal_error_rate_of_curve(counts: RocCounts) -> Floats:
    """(R,) rates at which false positives equal false negatives, linearly between the curve's two nearest points."""
    false_positive = counts.false_positives / counts.reals
    # Falls from 1 at the curve's start to −1 at its end.
    excess = 1 - counts.true_positives / counts.fakes - false_positive
    after = np.argmax(excess <= 0, axis=1)[:, np.newaxis]
    excess_before, excess_after = (np.take_along_axis(excess, at, axis=1) for at in (after - 1, after))
    rate_before, rate_after = (np.take_along_axis(false_positive, at, axis=1) for at in (after - 1, after))
    share = excess_before / (excess_before - excess_after)
    return np.asarray(rate_before + share * (rate_after - rate_before)).ravel()


def true_positive_rate_of_curve(counts: RocCounts, false_positive_rate: float) -> Floats:
    """(R,) largest shares of fakes that a threshold finds while it accuses at most this share of reals."""
    is_allowed = counts.false_positives / counts.reals <= false_positive_rate
    rates: Floats = np.max(np.where(is_allowed, counts.true_positives, 0), axis=1) / counts.fakes.ravel()
    return rates


def balanced_accuracy_of_curve(counts: RocCounts, threshold: float) -> Floats:
    """(R,) means of the shares of fakes at or above the threshold and of reals below it."""
    above = int(np.count_nonzero(counts.scores >= threshold))
    found = counts.true_positives[:, above] / counts.fakes.ravel()
    accused = counts.false_positives[:, above] / counts.reals.ravel()
    return np.asarray((found + 1 - accused) / 2)


def true_positive_rates_on_grid(counts: RocCounts, false_positive_rates: Floats) -> Floats:
    """(R, G) true-positive rates at G false-positive rates, linearly between the curve's points."""
    return np.stack(
        [
            np.interp(false_positive_rates, false_positives / false_positives[-1], true_positives / true_positives[-1])
            for true_positives, false_positives in zip(counts.true_positives, counts.false_positives, strict=True)
        ]
    )
