"""How well scores separate fakes from reals: label 1 is fake, a higher score is more anomalous."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from difffake.errors import EvaluationError
from difffake.evaluation.curves import RankedVideos, equal_error_rate_of_curve

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class MetricSet:
    """The figures that need no threshold of the detector, each in [0, 1]; see the functions of the same names."""

    auc: float
    average_precision: float
    equal_error_rate: float
    true_positive_rate_at_1_percent: float
    true_positive_rate_at_5_percent: float
    true_positive_rate_at_10_percent: float
    balanced_accuracy_at_best_threshold: float


def compute_metrics(labels: npt.ArrayLike, scores: npt.ArrayLike) -> MetricSet:
    """Every figure of (N,) labels and (N,) scores; raises as `checked_scores` does."""
    return MetricSet(
        auc=auc(labels, scores),
        average_precision=average_precision(labels, scores),
        equal_error_rate=equal_error_rate(labels, scores),
        true_positive_rate_at_1_percent=true_positive_rate_at(labels, scores, 0.01),
        true_positive_rate_at_5_percent=true_positive_rate_at(labels, scores, 0.05),
        true_positive_rate_at_10_percent=true_positive_rate_at(labels, scores, 0.1),
        balanced_accuracy_at_best_threshold=balanced_accuracy_at_best_threshold(labels, scores),
    )


def auc(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Area under the ROC curve: the chance that a fake scores above a real, a tie counting one half."""
    # Here and below: scikit-learn takes a second to import, and the names of the figures are asked for by all.
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(*checked_scores(labels, scores)))


def average_precision(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Mean precision over the fakes, in order of score; its chance level is the share of fakes."""
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(*checked_scores(labels, scores)))


def equal_error_rate(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """The rate at which false positives equal false negatives, interpolated linearly on the ROC curve."""
    checked_labels, checked = checked_scores(labels, scores)
    once = np.ones((1, len(checked)), dtype=np.int64)
    return float(equal_error_rate_of_curve(RankedVideos(checked_labels, checked).count(once))[0])


def true_positive_rate_at(labels: npt.ArrayLike, scores: npt.ArrayLike, false_positive_rate: float) -> float:
    """The largest share of fakes that a threshold finds while it accuses at most this share of reals.

    Fewer reals than 1/rate cannot resolve the rate: not one of them may be accused then.
    """
    from sklearn.metrics import roc_curve

    false_positive, true_positive, _ = roc_curve(*checked_scores(labels, scores), drop_intermediate=False)
    return float(true_positive[false_positive <= false_positive_rate].max())


def balanced_accuracy_at_threshold(labels: npt.ArrayLike, scores: npt.ArrayLike, threshold: float) -> float:
    """Mean of the shares of fakes at or above the threshold and of reals below it."""
    checked_labels, checked = checked_scores(labels, scores)
    accused = checked >= threshold
    return float((accused[checked_labels == 1].mean() + (~accused[checked_labels == 0]).mean()) / 2)


def balanced_accuracy_at_best_threshold(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """The largest balanced accuracy of any threshold, chosen on these very labels: optimistic, and no AUC.

    The paper's published script thresholds the scores this way before it calls an AUC function, so this, not `auc`,
    is the figure to hold against its printed numbers.
    """
    from sklearn.metrics import roc_curve

    false_positive, true_positive, _ = roc_curve(*checked_scores(labels, scores), drop_intermediate=False)
    return float((1 + np.max(true_positive - false_positive)) / 2)


def with_unscored_at_worst(labels: npt.ArrayLike, scores: Sequence[float | None]) -> Floats:
    """(N,) ranks of the scores, in which a video without one counts as judged as wrongly as can be.

    Such a fake ranks below every score, as least anomalous, and such a real above every score: metrics of these ranks
    are those of a user for whom "no answer" is an error. No metric but those of a threshold needs more than ranks.
    """
    is_missing = np.array([score is None for score in scores], dtype=np.bool_)
    _, ranks = np.unique([score for score in scores if score is not None], return_inverse=True)
    worst = np.where(np.asarray(labels) == 1, -1.0, float(len(scores)))
    worst[~is_missing] = ranks
    return worst


def checked_scores(labels: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[Integers, Floats]:
    """(N,) labels and (N,) scores as int64 and float64.

    Raises:
        EvaluationError: lengths differ, a label is neither 0 nor 1, one of them is absent, or a score is not finite.
    """
    raw_labels, checked = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if raw_labels.ndim != 1 or raw_labels.shape != checked.shape:
        raise EvaluationError(f"labels and scores must have one length N, not {raw_labels.shape} and {checked.shape}")
    if not np.isin(raw_labels, (0, 1)).all():
        raise EvaluationError(f"labels must be 0 (real) or 1 (fake), not {sorted(set(raw_labels.tolist()) - {0, 1})}")
    fakes = int(np.count_nonzero(raw_labels))
    if fakes in (0, len(raw_labels)):
        raise EvaluationError(
            f"{len(raw_labels) - fakes} real and {fakes} fake videos: telling them apart is undefined without both"
        )
    if not np.isfinite(checked).all():
        raise EvaluationError(
            f"{np.count_nonzero(~np.isfinite(checked))} of {len(checked)} scores are not finite; "
            "leave out videos without a score and count them as abstained or failed"
        )
    return raw_labels.astype(np.int64), checked
