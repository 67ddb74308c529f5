"""The evaluation's table: a row for each group of fakes, each score, at the level of videos and of pairs or frames."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from statistics import median

import numpy as np

from difffake.config import EvaluationConfig
from difffake.errors import EvaluationError
from difffake.evaluation.bootstrap import CurveMetric, Interval, bootstrap_intervals
from difffake.evaluation.curves import (
    area_under_curve,
    average_precision_of_curve,
    balanced_accuracy_of_curve,
    equal_error_rate_of_curve,
    true_positive_rate_of_curve,
)
from difffake.evaluation.groups import Group, Videos, group_videos
from difffake.evaluation.metrics import (
    balanced_accuracy_at_threshold,
    compute_metrics,
    with_unscored_at_worst,
)
from difffake.evaluation.results import Level, SampleScores, VideoResult
from difffake.evaluation.rows import AT_THRESHOLD, EvaluationRow
from difffake.randomness import derive_rng

STAGE_VERSION = 3
"""Enters the fingerprint of the evaluation: bump it when a figure changes, here or in what this module imports."""

INTERVAL_METRICS: Mapping[str, CurveMetric] = {
    "auc": area_under_curve,
    "average_precision": average_precision_of_curve,
    "equal_error_rate": equal_error_rate_of_curve,
    "true_positive_rate_at_1_percent": lambda counts: true_positive_rate_of_curve(counts, 0.01),
    "true_positive_rate_at_5_percent": lambda counts: true_positive_rate_of_curve(counts, 0.05),
    "true_positive_rate_at_10_percent": lambda counts: true_positive_rate_of_curve(counts, 0.1),
}

_MOST_RESAMPLED = 200_000_000
"""Resamples times pairs or frames: a million frames get 200 resamples, as the row says."""


def evaluate_videos(
    videos: Sequence[VideoResult],
    scores: Sequence[str],
    config: EvaluationConfig,
    seed: int,
    *,
    learnt_from: Collection[str] = (),
    thresholds: Mapping[str, float] | None = None,
    samples: Sequence[SampleScores] = (),
) -> tuple[EvaluationRow, ...]:
    """A row for each group of `group_videos`, each score, and each kind of sample.

    The first row is the headline: all fakes of the first domain under the first score. A row's intervals depend on its
    own videos and the seed, not on which other rows there are.

    Args:
        videos: every test video, whatever its status.
        scores: names of the scores of `videos` to evaluate, the detector's own first.
        config: resamples and confidence.
        seed: the experiment's.
        learnt_from: datasets whose reals trained the backbone or were fitted by the density.
        thresholds: of the calibration, by score.
        samples: the pairs or frames of the scored videos.

    Raises:
        EvaluationError: there is no video, two have one key, or no score is named.
    """
    if not scores:
        raise EvaluationError("name at least one score to evaluate")
    return tuple(
        row
        for group in group_videos(videos, learnt_from)
        for row in (
            *(_video_row(group, name, config, seed, (thresholds or {}).get(name)) for name in scores),
            *(_sample_row(group, sample, config, seed) for sample in samples),
        )
    )


def _video_row(group: Group, score: str, config: EvaluationConfig, seed: int, threshold: float | None) -> EvaluationRow:
    everyone = (*group.reals, *group.fakes)
    labels = [video.label for video in everyone]
    identities = [video.identity for video in everyone if video.scores.get(score) is not None]
    at_worst = with_unscored_at_worst(labels, [video.scores.get(score) for video in everyone])
    row = _row(
        group,
        "video",
        score,
        _scores(group.reals, score),
        _scores(group.fakes, score),
        identities,
        config,
        seed,
        threshold,
    )
    return replace(
        row,
        metrics_all_videos=compute_metrics(labels, at_worst) if group.reals and group.fakes else None,
        balanced_accuracy_at_threshold_all_videos=_balanced_accuracy_of_all(group, score, threshold),
        median_p_value_real=_median_p_value(group.reals, score),
        median_p_value_fake=_median_p_value(group.fakes, score),
    )


def _sample_row(group: Group, samples: SampleScores, config: EvaluationConfig, seed: int) -> EvaluationRow:
    def values(videos: Videos) -> list[float]:
        return [float(value) for video in videos for value in samples.values.get(video.video_key, ())]

    identities = [
        video.identity
        for video in (*group.reals, *group.fakes)
        for _ in range(len(samples.values.get(video.video_key, ())))
    ]
    fewer = min(config.bootstrap_resamples, _MOST_RESAMPLED // max(len(identities), 1))
    capped = config.model_copy(update={"bootstrap_resamples": fewer})
    return _row(
        group, samples.level, samples.score, values(group.reals), values(group.fakes), identities, capped, seed, None
    )


def _row(
    group: Group,
    level: Level,
    score: str,
    reals: Sequence[float],
    fakes: Sequence[float],
    identities: Sequence[str],
    config: EvaluationConfig,
    seed: int,
    threshold: float | None,
) -> EvaluationRow:
    status = Counter(video.status_under(score) for video in (*group.reals, *group.fakes))
    labels, values = np.repeat([0, 1], [len(reals), len(fakes)]), np.array([*reals, *fakes])
    has_both = bool(len(reals) and len(fakes))
    # Alike for every row: two scores of the same videos are resampled alike, and equal rows have equal intervals.
    rng = derive_rng(seed, "evaluation", "bootstrap")
    wanted = dict(INTERVAL_METRICS)
    if threshold is not None:
        wanted[AT_THRESHOLD] = lambda counts: balanced_accuracy_of_curve(counts, threshold)
    intervals = dict.fromkeys((*INTERVAL_METRICS, AT_THRESHOLD), Interval(None, None, 0, 0))
    if has_both:
        intervals |= bootstrap_intervals(
            labels, values, identities, wanted, config.bootstrap_resamples, config.confidence, rng
        )
    return EvaluationRow(
        domain=group.domain.name,
        in_domain=group.is_in_domain,
        group=group.name,
        level=level,
        score=score,
        n_real=len(reals),
        n_fake=len(fakes),
        n_identities=len(set(identities)),
        metrics=compute_metrics(labels, values) if has_both else None,
        intervals=intervals,
        threshold=threshold,
        false_positive_rate_at_threshold=_accused_share(reals, threshold),
        true_positive_rate_at_threshold=_accused_share(fakes, threshold),
        balanced_accuracy_at_threshold=(
            balanced_accuracy_at_threshold(labels, values, threshold) if has_both and threshold is not None else None
        ),
        n_scored=status["scored"],
        n_abstained=status["abstained"],
        n_failed=status["failed"],
        coverage_real=len(_scores(group.reals, score)) / len(group.reals) if group.reals else None,
        coverage_fake=len(_scores(group.fakes, score)) / len(group.fakes) if group.fakes else None,
        reals_from=None if group.reals_from is None else group.reals_from.name,
        dataset=group.domain.dataset,
        compression=group.domain.compression,
    )


def _scores(videos: Videos, score: str) -> list[float]:
    found = (video.scores.get(score) for video in videos)
    return [value for value in found if value is not None]


def _accused_share(scores: Sequence[float], threshold: float | None) -> float | None:
    if threshold is None or not scores:
        return None
    return sum(score >= threshold for score in scores) / len(scores)


def _balanced_accuracy_of_all(group: Group, score: str, threshold: float | None) -> float | None:
    if threshold is None or not group.reals or not group.fakes:
        return None
    acquitted = sum(value < threshold for value in _scores(group.reals, score)) / len(group.reals)
    found = sum(value >= threshold for value in _scores(group.fakes, score)) / len(group.fakes)
    return (acquitted + found) / 2


def _median_p_value(videos: Videos, score: str) -> float | None:
    scored = [video for video in videos if video.scores.get(score) is not None]
    p_values = [value for video in scored if (value := video.p_values.get(score)) is not None]
    return median(p_values) if p_values and len(p_values) == len(scored) else None
