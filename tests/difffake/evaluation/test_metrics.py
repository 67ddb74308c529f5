"""Metrics by hand, by independent rank implementations, and their refusals."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from difffake.errors import EvaluationError
from difffake.evaluation.metrics import (
    auc,
    average_precision,
    balanced_accuracy_at_best_threshold,
    balanced_accuracy_at_threshold,
    compute_metrics,
    equal_error_rate,
    true_positive_rate_at,
    with_unscored_at_worst,
)

# Descending: fake 9, real 8, fake 7 and real 7 tied, fake 5, real 1.
LABELS = [1, 0, 1, 0, 1, 0]
SCORES = [9.0, 8.0, 7.0, 7.0, 5.0, 1.0]

few_levels = st.lists(st.tuples(st.integers(0, 1), st.integers(-3, 3)), min_size=2, max_size=40).filter(
    lambda rows: len({label for label, _ in rows}) == 2
)


def _auc_by_ranks(labels: npt.NDArray[np.int64], scores: npt.NDArray[np.float64]) -> float:
    """Mann–Whitney's U over the number of pairs."""
    fakes, reals = (labels == 1).sum(), (labels == 0).sum()
    rank_sum = rankdata(scores)[labels == 1].sum()
    return float((rank_sum - fakes * (fakes + 1) / 2) / (fakes * reals))


def test_by_hand() -> None:
    # Pairs won by the fakes: 9 beats 3, 7 beats 1 and ties 1, 5 beats 1: 5.5 of 9.
    assert auc(LABELS, SCORES) == pytest.approx(5.5 / 9)
    # Precision 1/1 at the first fake, 2/4 at the tied one, 3/5 at the last; a third of the recall each.
    assert average_precision(LABELS, SCORES) == pytest.approx((1 + 2 / 4 + 3 / 5) / 3)
    # ROC points (fpr, tpr): (0,0) (0,1/3) (1/3,1/3) (2/3,2/3) …: fnr − fpr falls from 1/3 to −1/3 on the last segment,
    # so they meet halfway, at 1/2.
    assert equal_error_rate(LABELS, SCORES) == pytest.approx(0.5)
    assert [true_positive_rate_at(LABELS, SCORES, rate) for rate in (0.0, 0.3, 1 / 3, 0.7, 1.0)] == pytest.approx(
        [1 / 3, 1 / 3, 1 / 3, 1.0, 1.0]
    )
    # At 7: fakes 9 and 7 of three found, real 1 of three acquitted.
    assert balanced_accuracy_at_threshold(LABELS, SCORES, 7.0) == pytest.approx((2 / 3 + 1 / 3) / 2)
    # At 9 or at 5: Youden's index 1/3.
    assert balanced_accuracy_at_best_threshold(LABELS, SCORES) == pytest.approx(2 / 3)


def test_equal_error_rate_where_the_curve_passes_through_the_diagonal() -> None:
    # (0,0) (0,1/2) (1/2,1/2) (1/2,1) (1,1): fnr = fpr = 1/2 at a point of the curve.
    assert equal_error_rate([1, 0, 1, 0], [4, 3, 2, 1]) == 0.5
    assert equal_error_rate([1, 1, 0, 0], [4, 3, 2, 1]) == 0
    assert equal_error_rate([0, 0, 1, 1], [4, 3, 2, 1]) == 1
    assert equal_error_rate([0, 1], [1, 1]) == 0.5
    # 4 fakes, 2 reals: (0,0) (0,3/4) (1/2,3/4) …: fnr 1/4 meets fpr on the flat segment.
    assert equal_error_rate([1, 1, 1, 0, 1, 0], [6, 5, 4, 3, 2, 1]) == pytest.approx(0.25)


@settings(deadline=None, max_examples=40)
@given(few_levels)
def test_auc_with_ties_equals_the_rank_statistic(rows: list[tuple[int, int]]) -> None:
    labels, scores = np.array(rows).T

    assert auc(labels, scores) == pytest.approx(_auc_by_ranks(labels, scores.astype(float)))


@settings(deadline=None, max_examples=40)
@given(few_levels)
def test_exchanging_the_classes_or_the_direction_mirrors(rows: list[tuple[int, int]]) -> None:
    labels, scores = np.array(rows).T

    for mirrored in (auc(1 - labels, scores), auc(labels, -scores)):
        assert mirrored == pytest.approx(1 - auc(labels, scores))
    assert equal_error_rate(labels, -scores) == pytest.approx(1 - equal_error_rate(labels, scores))
    assert equal_error_rate(1 - labels, -scores) == pytest.approx(equal_error_rate(labels, scores))


@settings(deadline=None, max_examples=40)
@given(few_levels)
def test_only_the_order_of_scores_matters(rows: list[tuple[int, int]]) -> None:
    labels, scores = np.array(rows).T

    assert compute_metrics(labels, scores) == compute_metrics(labels, np.exp(scores * 3.0) - 50)


@settings(deadline=None, max_examples=40)
@given(few_levels, st.floats(0, 1))
def test_rates_against_every_threshold(rows: list[tuple[int, int]], rate: float) -> None:
    labels, scores = np.array(rows).T
    thresholds = [*sorted(set(scores)), np.inf]
    found = {
        threshold: ((scores[labels == 0] >= threshold).mean(), (scores[labels == 1] >= threshold).mean())
        for threshold in thresholds
    }

    assert true_positive_rate_at(labels, scores, rate) == max(tpr for fpr, tpr in found.values() if fpr <= rate)
    accuracies = [(tpr + 1 - fpr) / 2 for fpr, tpr in found.values()]
    assert [balanced_accuracy_at_threshold(labels, scores, at) for at in thresholds] == pytest.approx(accuracies)
    assert balanced_accuracy_at_best_threshold(labels, scores) == pytest.approx(max(accuracies))


def test_metric_set_by_hand() -> None:
    # 20 reals at 0 … 19 and fakes above 0, 1, 2, 5 and 21 of them, none tied.
    reals = list(range(20))
    fakes = [19.5, 18.5, 17.5, 14.5, -0.5]
    metrics = compute_metrics([0] * 20 + [1] * 5, [*reals, *fakes])

    # 1 % of 20 reals is none of them, 5 % is one, 10 % is two.
    assert metrics.true_positive_rate_at_1_percent == 1 / 5
    assert metrics.true_positive_rate_at_5_percent == 2 / 5
    assert metrics.true_positive_rate_at_10_percent == 3 / 5
    assert metrics.auc == pytest.approx((20 + 19 + 18 + 15 + 0) / 100)
    # Four of five found, five of twenty accused.
    assert metrics.balanced_accuracy_at_best_threshold == pytest.approx((4 / 5 + 15 / 20) / 2)


few_or_no_scores = st.lists(
    st.tuples(st.integers(0, 1), st.one_of(st.none(), st.integers(-3, 3))), min_size=2, max_size=30
).filter(lambda rows: len({label for label, _ in rows}) == 2)


@settings(deadline=None, max_examples=60)
@given(few_or_no_scores)
def test_unscored_videos_at_worst_equal_a_count_of_pairs(rows: list[tuple[int, int | None]]) -> None:
    labels = [label for label, _ in rows]
    wins = 0.0
    reals = [score for label, score in rows if label == 0]
    fakes = [score for label, score in rows if label == 1]
    for fake in fakes:
        for real in reals:
            if fake is not None and real is not None:
                wins += 1.0 if fake > real else 0.5 if fake == real else 0.0

    worst = auc(labels, with_unscored_at_worst(labels, [score for _, score in rows]))
    assert worst == pytest.approx(wins / (len(fakes) * len(reals)))


def test_without_missing_scores_the_worst_is_what_it_was() -> None:
    for metric in (auc, average_precision, equal_error_rate):
        assert metric(LABELS, with_unscored_at_worst(LABELS, SCORES)) == metric(LABELS, SCORES)
    huge = [1e300, -1e300, None, None]
    assert with_unscored_at_worst([1, 0, 1, 0], huge).tolist() == [1, 0, -1, 4]


def test_the_published_figure_is_not_the_auc() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 2000)
    scores = rng.normal(size=4000) + 1.5 * labels

    # Two unit Gaussians 1.5 apart: AUC Φ(1.5/√2) = 0.856, best balanced accuracy Φ(0.75) = 0.773, EER Φ(−0.75).
    assert auc(labels, scores) == pytest.approx(0.856, abs=0.015)
    assert balanced_accuracy_at_best_threshold(labels, scores) == pytest.approx(0.773, abs=0.015)
    assert equal_error_rate(labels, scores) == pytest.approx(0.227, abs=0.015)


@pytest.mark.parametrize(
    "metric",
    [
        compute_metrics,
        auc,
        average_precision,
        equal_error_rate,
        balanced_accuracy_at_best_threshold,
        lambda labels, scores: true_positive_rate_at(labels, scores, 0.1),
        lambda labels, scores: balanced_accuracy_at_threshold(labels, scores, 0.1),
    ],
)
def test_every_metric_refuses_what_it_is_not_defined_on(
    metric: Callable[[npt.ArrayLike, npt.ArrayLike], object],
) -> None:
    with pytest.raises(EvaluationError, match="2 real and 0 fake videos"):
        metric([0, 0], [1.0, 2.0])
    with pytest.raises(EvaluationError, match="0 real and 2 fake videos"):
        metric([1, 1], [1.0, 2.0])
    with pytest.raises(EvaluationError, match="0 real and 0 fake videos"):
        metric([], [])
    for fault in (np.nan, np.inf, -np.inf):
        with pytest.raises(EvaluationError, match="1 of 2 scores are not finite"):
            metric([0, 1], [1.0, fault])
    with pytest.raises(EvaluationError, match=r"0 \(real\) or 1 \(fake\), not \[2\]"):
        metric([0, 1, 2], [1.0, 2.0, 3.0])
    with pytest.raises(EvaluationError, match=r"one length N, not \(2,\) and \(3,\)"):
        metric([0, 1], [1.0, 2.0, 3.0])
