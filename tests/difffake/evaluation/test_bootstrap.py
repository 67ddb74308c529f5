"""The identity bootstrap against a naive reference, its coverage, and what it declines to estimate."""

import re
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from difffake.errors import EvaluationError
from difffake.evaluation.bootstrap import CurveMetric, bootstrap_interval, bootstrap_intervals, bootstrap_roc_band
from difffake.evaluation.curves import (
    RankedVideos,
    area_under_curve,
    average_precision_of_curve,
    balanced_accuracy_of_curve,
    equal_error_rate_of_curve,
    true_positive_rate_of_curve,
)
from difffake.evaluation.metrics import balanced_accuracy_at_threshold, equal_error_rate

Arrays = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], list[str]]


def _true_positive_rate_by_force(labels: npt.NDArray[np.int64], scores: npt.NDArray[np.float64]) -> float:
    """Of every threshold that accuses at most a fifth of the reals, the largest share of fakes found."""
    thresholds = [*np.unique(scores), np.inf]
    found = [
        np.mean(scores[labels == 1] >= threshold)
        for threshold in thresholds
        if np.mean(scores[labels == 0] >= threshold) <= 0.2
    ]
    return float(max(found))


METRICS: dict[str, tuple[CurveMetric, Callable[..., float]]] = {
    "auc": (area_under_curve, roc_auc_score),
    "average_precision": (average_precision_of_curve, average_precision_score),
    "equal_error_rate": (equal_error_rate_of_curve, equal_error_rate),
    "true_positive_rate": (lambda counts: true_positive_rate_of_curve(counts, 0.2), _true_positive_rate_by_force),
    "balanced_accuracy": (
        lambda counts: balanced_accuracy_of_curve(counts, 1.0),
        lambda labels, scores: balanced_accuracy_at_threshold(labels, scores, 1.0),
    ),
}


def _videos(identities: int, per_class: int, separation: float, rng: np.random.Generator) -> Arrays:
    """`per_class` reals and as many fakes of each identity, whose scores share an offset of the person."""
    offsets = np.repeat(rng.normal(size=identities), 2 * per_class)
    labels = np.tile(np.repeat([0, 1], per_class), identities)
    scores = offsets + rng.normal(size=len(labels)) + separation * labels
    return labels, scores, [f"person_{index // (2 * per_class)}" for index in range(len(labels))]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(-3, 3), st.integers(0, 4)), min_size=2, max_size=25).filter(
        lambda rows: {label for label, _, weight in rows if weight} == {0, 1}
    )
)
def test_weighted_curves_equal_metrics_of_repeated_videos(rows: list[tuple[int, int, int]]) -> None:
    labels, scores, weights = np.array(rows).T
    counts = RankedVideos(labels, scores.astype(float)).count(weights[np.newaxis])
    repeated_labels, repeated_scores = np.repeat(labels, weights), np.repeat(scores, weights)

    for of_curve, reference in METRICS.values():
        assert of_curve(counts)[0] == pytest.approx(reference(repeated_labels, repeated_scores), abs=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_interval_equals_a_naive_resampling_of_people(name: str) -> None:
    labels, scores, identities = _videos(12, 2, 0.7, np.random.default_rng(3))
    scores = np.round(scores, 1)  # ties
    of_curve, reference = METRICS[name]
    interval = bootstrap_interval(labels, scores, identities, of_curve, 300, 0.9, np.random.default_rng(8))

    people = sorted(set(identities))
    rows_of = {person: [row for row, other in enumerate(identities) if other == person] for person in people}
    rng, values = np.random.default_rng(8), []
    for times in rng.multinomial(len(people), [1 / len(people)] * len(people), size=300):
        rows = [row for person, count in zip(people, times, strict=True) for row in rows_of[person] * count]
        values.append(reference(labels[rows], scores[rows]))

    assert interval.resamples_used == 300
    assert (interval.low, interval.high) == pytest.approx(tuple(np.quantile(values, [0.05, 0.95])))


def test_a_case_with_a_known_answer() -> None:
    # Person a has a real at 1 and a fake at 2, person b a real at 3 and a fake at 4. A draw of two of them is aa or bb
    # (probability 1/4 each, AUC 1) or one of each (1/2, AUC 3/4): the 40 % quantile is 3/4 and the 60 % quantile 1.
    labels, scores, identities = [0, 1, 0, 1], [1.0, 2.0, 3.0, 4.0], ["a", "a", "b", "b"]
    rng = np.random.default_rng(0)
    interval = bootstrap_interval(labels, scores, identities, area_under_curve, 2000, 0.2, rng)

    assert (interval.low, interval.high) == (0.75, 1.0)
    assert interval.resamples_undefined == 0


def test_resamples_with_one_class_are_counted() -> None:
    # Two people have reals only, two fakes only: four draws miss one of the classes with probability 2 (1/2)⁴.
    labels, scores, identities = [0, 0, 0, 1, 1], [1, 3, 2, 2.5, 4], ["a", "a", "b", "c", "d"]
    rng = np.random.default_rng(0)
    interval = bootstrap_interval(labels, scores, identities, area_under_curve, 3000, 0.95, rng)

    assert interval.resamples_used + interval.resamples_undefined == 3000
    assert interval.resamples_undefined / 3000 == pytest.approx(1 / 8, abs=0.03)
    assert interval.low is not None


@pytest.mark.parametrize(
    ("labels", "scores", "identities", "resamples", "reason"),
    [
        ([0, 1], [1, 2], ["a", "a"], 100, "the reals show a single person"),
        ([0, 0, 1, 1], [1, 2, 3, 4], ["a", "b", "b", "b"], 100, "the fakes show a single person"),
        ([0, 1], [1, 2], ["a", "b"], 0, "no resamples were asked for"),
        ([0, 1, 0, 1], [1, 2, 1, 2], ["a", "a", "b", "b"], 100, "every resample gives 1:"),
        ([0, 1, 0, 1], [1, 2, 2, 2], ["a", "a", "b", "b"], 39, "only 39 of 39 .* 40 are needed"),
    ],
)
def test_not_estimable_says_why(
    labels: list[int], scores: list[float], identities: list[str], resamples: int, reason: str
) -> None:
    rng = np.random.default_rng(0)
    interval = bootstrap_interval(labels, scores, identities, area_under_curve, resamples, 0.95, rng)

    assert (interval.low, interval.high) == (None, None)
    assert interval.reason is not None
    assert re.match(reason, interval.reason)


def test_one_class_is_an_error_and_not_an_interval() -> None:
    with pytest.raises(EvaluationError, match="2 real and 0 fake"):
        bootstrap_interval([0, 0], [1, 2], ["a", "b"], area_under_curve, 10, 0.95, np.random.default_rng(0))


def test_block_size_does_not_change_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, scores, identities = _videos(10, 1, 1.0, np.random.default_rng(0))
    whole = bootstrap_interval(labels, scores, identities, area_under_curve, 100, 0.9, np.random.default_rng(1))
    monkeypatch.setattr("difffake.evaluation.bootstrap._BLOCK_ELEMENTS", 7 * len(labels))

    assert whole == bootstrap_interval(labels, scores, identities, area_under_curve, 100, 0.9, np.random.default_rng(1))


def test_order_of_videos_does_not_change_the_interval() -> None:
    labels, scores, identities = _videos(10, 2, 1.0, np.random.default_rng(0))
    order = np.random.default_rng(5).permutation(len(labels))
    shuffled = [identities[row] for row in order]

    assert bootstrap_interval(
        labels, scores, identities, area_under_curve, 100, 0.9, np.random.default_rng(1)
    ) == bootstrap_interval(
        labels[order], scores[order], shuffled, area_under_curve, 100, 0.9, np.random.default_rng(1)
    )


def test_nominal_ninety_percent_interval_covers_the_true_auc() -> None:
    rng, trials, covered = np.random.default_rng(11), 200, 0
    # Reals and fakes of other people differ by 1 with variance 4, so the population AUC is Φ(1/2) = 0.6915, but for
    # the share 1/40 of pairs within one person, with variance 2: Φ(1/√2) = 0.7602.
    truth = 39 / 40 * 0.6915 + 1 / 40 * 0.7602
    for _ in range(trials):
        labels, scores, identities = _videos(40, 2, 1.0, rng)
        interval = bootstrap_interval(labels, scores, identities, area_under_curve, 200, 0.9, rng)
        assert interval.low is not None
        assert interval.high is not None
        covered += interval.low <= truth <= interval.high

    assert 0.82 <= covered / trials <= 0.97


def test_videos_of_one_person_widen_the_interval_as_independent_ones_do_not() -> None:
    rng = np.random.default_rng(2)
    people, videos_each = 20, 10
    is_fake = np.repeat(np.arange(people) % 2, videos_each)
    scores = np.repeat(rng.normal(size=people), videos_each) + 0.1 * rng.normal(size=people * videos_each) + is_fake
    by_person = [f"person_{index // videos_each}" for index in range(len(scores))]
    by_video = [f"video_{index}" for index in range(len(scores))]
    widths = []
    for identities in (by_person, by_video):
        interval = bootstrap_interval(is_fake, scores, identities, area_under_curve, 500, 0.95, rng)
        assert interval.low is not None
        assert interval.high is not None
        widths.append(interval.high - interval.low)

    assert widths[0] > 2 * widths[1]


def test_roc_band_contains_the_curve_and_rises() -> None:
    labels, scores, identities = _videos(60, 2, 1.2, np.random.default_rng(0))
    grid = np.linspace(0, 1, 51)
    band = bootstrap_roc_band(labels, scores, identities, grid, 400, 0.95, np.random.default_rng(1))
    assert band is not None
    curve = np.interp(grid, *roc_curve(labels, scores, drop_intermediate=False)[:2])

    assert ((band.low - 1e-9 <= curve) & (curve <= band.high + 1e-9)).mean() > 0.97
    assert (np.diff(band.low) >= 0).all()
    assert band.low[-1] == band.high[-1] == 1
    assert bootstrap_roc_band([0, 1], [1, 2], ["a", "a"], grid, 400, 0.95, np.random.default_rng(1)) is None


@settings(max_examples=20, deadline=None)
@given(st.floats(0.55, 0.99), st.integers(0, 2**32))
def test_a_wider_confidence_contains_a_narrower_one(confidence: float, seed: int) -> None:
    labels, scores, identities = _videos(15, 1, 1.0, np.random.default_rng(seed))
    narrow, wide = (
        bootstrap_interval(labels, scores, identities, area_under_curve, 400, c, np.random.default_rng(seed))
        for c in (confidence - 0.04, confidence)
    )
    assert wide.low is not None
    assert wide.high is not None
    assert narrow.low is not None
    assert narrow.high is not None
    assert wide.low <= narrow.low <= narrow.high <= wide.high


def test_a_thousand_resamples_of_a_thousand_videos_take_seconds() -> None:
    labels, scores, identities = _videos(250, 2, 1.0, np.random.default_rng(0))
    metrics = {name: of_curve for name, (of_curve, _) in METRICS.items()}
    started_s = time.perf_counter()
    for group in range(5):
        bootstrap_intervals(labels, scores, identities, metrics, 1000, 0.95, np.random.default_rng(group))

    # 2 s on one quiet core.
    assert time.perf_counter() - started_s < 30
