"""How far a figure would move with other people: a bootstrap over identities, whose videos are not independent."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from difffake.evaluation.curves import RankedVideos, RocCounts, area_under_curve, true_positive_rates_on_grid
from difffake.evaluation.metrics import checked_scores

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

CurveMetric = Callable[[RocCounts], Floats]
"""R curves to (R,) values, e.g. `difffake.evaluation.curves.area_under_curve`."""

_BLOCK_ELEMENTS = 2_000_000
"""Resamples times videos counted at once: some 100 MB."""


@dataclass(frozen=True)
class Interval:
    """A percentile interval, or the reason why there is none.

    Attributes:
        low: lower end, None if not estimable.
        high: upper end, None if not estimable.
        resamples_used: those with both reals and fakes.
        resamples_undefined: those with one class only, on which no metric is defined.
        reason: why it is not estimable, or None.
    """

    low: float | None
    high: float | None
    resamples_used: int
    resamples_undefined: int
    reason: str | None = None


@dataclass(frozen=True, eq=False)
class RocBand:
    """Pointwise percentile bounds of the true-positive rate, (G,) each, over G false-positive rates."""

    false_positive_rates: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, eq=False)
class _Resampled:
    values: dict[str, Floats]
    used: int
    undefined: int
    reason: str | None


def bootstrap_interval(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    identities: Sequence[str],
    metric: CurveMetric,
    resamples: int,
    confidence: float,
    rng: np.random.Generator,
) -> Interval:
    """The interval of one metric; see `bootstrap_intervals`."""
    return bootstrap_intervals(labels, scores, identities, {"metric": metric}, resamples, confidence, rng)["metric"]


def bootstrap_intervals(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    identities: Sequence[str],
    metrics: Mapping[str, CurveMetric],
    resamples: int,
    confidence: float,
    rng: np.random.Generator,
) -> dict[str, Interval]:
    """Percentile intervals of several metrics from the same resamples of identities.

    As many identities as there are are drawn with replacement; each brings all its videos, as often as it is drawn
    (cluster bootstrap: Field & Welsh 2007). An interval is not estimable if the reals or the fakes show a single
    person, if too few resamples hold both classes, or if all resamples agree: a perfect separation has no width.

    Args:
        labels: (N,) 1 for fake, 0 for real.
        scores: (N,) higher is more anomalous.
        identities: N names; give a video of unknown identity a name of its own.
        metrics: by name.
        resamples: number of draws; 0 gives no interval.
        confidence: of the interval, in (0.5, 1).
        rng: source of the draws.

    Raises:
        EvaluationError: as `difffake.evaluation.metrics.checked_scores`.
    """
    resampled = _resample(labels, scores, identities, metrics, resamples, confidence, rng)
    return {name: _interval(resampled, name, confidence) for name in metrics}


def bootstrap_auc_change(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    reference_scores: npt.ArrayLike,
    identities: Sequence[str],
    resamples: int,
    confidence: float,
    rng: np.random.Generator,
) -> Interval:
    """The interval of AUC(scores) − AUC(reference_scores) on the same videos, both counted in each resample.

    Far narrower than the intervals of the two AUC suggest where the same videos are hard under both.

    Args:
        labels: (N,) 1 for fake, 0 for real.
        scores: (N,) higher is more anomalous.
        reference_scores: (N,) likewise.
        identities: N names; give a video of unknown identity a name of its own.
        resamples: number of draws; 0 gives no interval.
        confidence: of the interval, in (0.5, 1).
        rng: source of the draws.
    """
    # Draws and what is undefined depend on labels and identities alone: equal generators give equal resamples.
    again = deepcopy(rng)
    curve: Mapping[str, CurveMetric] = {"auc": area_under_curve}
    changed = _resample(labels, scores, identities, curve, resamples, confidence, rng)
    reference = _resample(labels, reference_scores, identities, curve, resamples, confidence, again)
    if changed.reason is None and reference.reason is None:
        changed.values["auc"] -= reference.values["auc"]
    return _interval(changed, "auc", confidence)


def bootstrap_roc_band(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    identities: Sequence[str],
    false_positive_rates: Floats,
    resamples: int,
    confidence: float,
    rng: np.random.Generator,
) -> RocBand | None:
    """Pointwise bounds of the ROC curve over (G,) false-positive rates, or None if they are not estimable."""
    curves: Mapping[str, CurveMetric] = {
        "curve": lambda counts: true_positive_rates_on_grid(counts, false_positive_rates)
    }
    resampled = _resample(labels, scores, identities, curves, resamples, confidence, rng)
    if resampled.reason is not None:
        return None
    low, high = np.quantile(resampled.values["curve"], _tails(confidence), axis=0)
    return RocBand(false_positive_rates, low, high)


def _resample(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    identities: Sequence[str],
    metrics: Mapping[str, CurveMetric],
    resamples: int,
    confidence: float,
    rng: np.random.Generator,
) -> _Resampled:
    checked_labels, checked = checked_scores(labels, scores)
    names, identity_of_video = np.unique(np.asarray(identities, dtype=np.str_), return_inverse=True)
    if len(identity_of_video) != len(checked):
        raise ValueError(f"{len(identity_of_video)} identities were given for {len(checked)} videos")
    reason = _reason_not_to_start(checked_labels, identity_of_video, resamples)
    if reason is not None:
        return _Resampled({}, 0, 0, reason)
    ranked = RankedVideos(checked_labels, checked)
    blocks: dict[str, list[Floats]] = {name: [] for name in metrics}
    used = 0
    for multiplicities in _draw_multiplicities(len(names), resamples, len(checked), rng):
        counts = ranked.count(multiplicities[:, identity_of_video]).where_defined()
        if len(counts.fakes):
            used += len(counts.fakes)
            for name, metric in metrics.items():
                blocks[name].append(metric(counts))
    reason = _reason_not_to_trust(used, resamples, confidence)
    values = {} if reason else {name: np.concatenate(parts) for name, parts in blocks.items()}
    return _Resampled(values, used, resamples - used, reason)


def _draw_multiplicities(
    identity_count: int, resamples: int, video_count: int, rng: np.random.Generator
) -> Iterator[Integers]:
    """How often each identity is drawn, (block, identities), `resamples` rows in all."""
    block = max(_BLOCK_ELEMENTS // video_count, 1)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        yield rng.multinomial(identity_count, np.full(identity_count, 1 / identity_count), size=rows)


def _reason_not_to_start(labels: Integers, identity_of_video: Integers, resamples: int) -> str | None:
    if resamples == 0:
        return "no resamples were asked for"
    for label, name in ((0, "reals"), (1, "fakes")):
        if len(np.unique(identity_of_video[labels == label])) < 2:
            return f"the {name} show a single person, so nothing tells how much people differ"
    return None


def _reason_not_to_trust(used: int, resamples: int, confidence: float) -> str | None:
    # A tail quantile wants at least one resample beyond it.
    needed = math.ceil(2 / (1 - confidence))
    if used >= needed:
        return None
    return f"only {used} of {resamples} resamples of the identities hold both reals and fakes; {needed} are needed"


def _interval(resampled: _Resampled, name: str, confidence: float) -> Interval:
    counts = (resampled.used, resampled.undefined)
    if resampled.reason is not None:
        return Interval(None, None, *counts, resampled.reason)
    values = resampled.values[name]
    if np.ptp(values) == 0:
        reason = f"every resample gives {values[0]:.3g}: the videos are too few or too well separated"
        return Interval(None, None, *counts, reason)
    low, high = np.quantile(values, _tails(confidence))
    return Interval(float(low), float(high), *counts)


def _tails(confidence: float) -> tuple[float, float]:
    return (1 - confidence) / 2, (1 + confidence) / 2
