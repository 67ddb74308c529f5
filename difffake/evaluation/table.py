"""The evaluation's table: all fakes, then each manipulation's fakes, against all test reals."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from statistics import median
from typing import Literal

from difffake.config import EvaluationConfig
from difffake.errors import EvaluationError
from difffake.evaluation.bootstrap import CurveMetric, Interval, bootstrap_intervals
from difffake.evaluation.curves import area_under_curve, average_precision_of_curve, equal_error_rate_of_curve
from difffake.evaluation.metrics import MetricSet, balanced_accuracy_at_threshold, compute_metrics
from difffake.randomness import derive_rng

STAGE_VERSION = 1
"""Enters the fingerprint of the evaluation: bump it when a figure changes, here or in metrics, curves or bootstrap."""

OVERALL = "overall"
"""The group of all fakes."""

INTERVAL_METRICS: Mapping[str, CurveMetric] = {
    "auc": area_under_curve,
    "average_precision": average_precision_of_curve,
    "equal_error_rate": equal_error_rate_of_curve,
}

VideoStatus = Literal["scored", "abstained", "failed"]
Cell = float | int | str | None


@dataclass(frozen=True)
class VideoResult:
    """One test video and what the detector said of it.

    Attributes:
        label: 1 for fake, 0 for real.
        manipulation: how a fake was made, None if unknown; of no account for a real.
        identity: the person seen; a name of the video's own where unknown.
        score: higher is more anomalous; None unless scored.
        p_value: of the calibration, None unless scored by a calibrated detector.
        status: scored, abstained (too few faces or pairs) or failed (unreadable).
    """

    label: Literal[0, 1]
    manipulation: str | None
    identity: str
    score: float | None
    p_value: float | None = None
    status: VideoStatus = "scored"

    def __post_init__(self) -> None:
        if self.label not in (0, 1):
            raise EvaluationError(f"a label must be 0 (real) or 1 (fake), not {self.label!r}")
        if (self.score is not None) != (self.status == "scored"):
            raise EvaluationError(f"a video with status {self.status} cannot have the score {self.score}")
        if self.score is not None and not math.isfinite(self.score):
            raise EvaluationError(f"a score must be finite, not {self.score}; count the video as failed instead")
        if self.manipulation == OVERALL:
            raise EvaluationError(f"{OVERALL!r} names the group of all fakes and cannot be a manipulation")


@dataclass(frozen=True)
class EvaluationRow:
    """The figures of one group of fakes against all reals; what is undefined is None, and `reasons` says why.

    Attributes:
        group: overall, or a manipulation.
        n_real: scored reals.
        n_fake: scored fakes of the group.
        n_identities: people in them.
        n_scored: videos of the group, reals and fakes, that were scored.
        n_abstained: those the detector abstained on.
        n_failed: those that could not be read.
        coverage_real: scored share of the reals.
        coverage_fake: scored share of the group's fakes.
        metrics: None without both scored reals and scored fakes.
        intervals: by the names of `INTERVAL_METRICS`.
        threshold: of the detector; scores at or above it are called fake.
        false_positive_rate_at_threshold: share of reals called fake: what became of the calibration's promise.
        true_positive_rate_at_threshold: share of fakes called fake.
        balanced_accuracy_at_threshold: mean of the shares of reals and of fakes called rightly.
        median_p_value_real: near 0.5 where the calibration holds for these reals.
        median_p_value_fake: near 0 for a good detector.
    """

    group: str
    n_real: int
    n_fake: int
    n_identities: int
    n_scored: int
    n_abstained: int
    n_failed: int
    coverage_real: float | None
    coverage_fake: float | None
    metrics: MetricSet | None
    intervals: Mapping[str, Interval]
    threshold: float | None
    false_positive_rate_at_threshold: float | None
    true_positive_rate_at_threshold: float | None
    balanced_accuracy_at_threshold: float | None
    median_p_value_real: float | None
    median_p_value_fake: float | None

    @property
    def reasons(self) -> dict[str, str]:
        """Why each column of `to_dict` that is None is so."""
        possible = self._reasons_if_missing()
        return {name: possible[name] for name, value in self._columns().items() if value is None}

    def to_dict(self) -> dict[str, Cell | dict[str, str]]:
        """Flat columns of JSON's types, and `reasons`."""
        return {**self._columns(), "reasons": self.reasons}

    def _columns(self) -> dict[str, Cell]:
        columns: dict[str, Cell] = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name not in ("metrics", "intervals")
        }
        for field in fields(MetricSet):
            columns[field.name] = getattr(self.metrics, field.name) if self.metrics else None
        for name, interval in self.intervals.items():
            columns |= {f"{name}_low": interval.low, f"{name}_high": interval.high}
        any_interval = next(iter(self.intervals.values()))
        columns["bootstrap_resamples_used"] = any_interval.resamples_used
        columns["bootstrap_resamples_undefined"] = any_interval.resamples_undefined
        return columns

    def _reasons_if_missing(self) -> dict[str, str]:
        no_real, no_fake = "no real video was scored", "no fake video was scored"
        one_class = no_fake if self.n_real else no_real
        no_threshold = "no threshold was given" if self.threshold is None else None
        no_p_value = "not every scored video has a p-value"
        return {
            "coverage_real": "there is no real video",
            "coverage_fake": "there is no fake video",
            "threshold": "no threshold was given",
            "false_positive_rate_at_threshold": no_threshold or no_real,
            "true_positive_rate_at_threshold": no_threshold or no_fake,
            "balanced_accuracy_at_threshold": no_threshold or one_class,
            "median_p_value_real": no_p_value if self.n_real else no_real,
            "median_p_value_fake": no_p_value if self.n_fake else no_fake,
            **{field.name: one_class for field in fields(MetricSet)},
            **{
                f"{name}_{end}": interval.reason or ""
                for name, interval in self.intervals.items()
                for end in ("low", "high")
            },
        }


def evaluate_videos(
    videos: Sequence[VideoResult], config: EvaluationConfig, seed: int, threshold: float | None = None
) -> tuple[EvaluationRow, ...]:
    """The row of all fakes, then one for each manipulation by name, each against all the reals.

    A group's intervals depend on its own videos and the seed, not on which other groups there are.

    Args:
        videos: every test video, whatever its status.
        config: resamples and confidence.
        seed: the experiment's.
        threshold: of the calibration, None for a detector without one.

    Raises:
        EvaluationError: there is no video.
    """
    if not videos:
        raise EvaluationError("there is no test video to evaluate; check the test split and the compression asked for")
    reals = [video for video in videos if video.label == 0]
    fakes = [video for video in videos if video.label == 1]
    groups = {OVERALL: fakes}
    for name in sorted({fake.manipulation for fake in fakes if fake.manipulation is not None}):
        groups[name] = [fake for fake in fakes if fake.manipulation == name]
    return tuple(_evaluate_group(name, reals, group, config, seed, threshold) for name, group in groups.items())


def _evaluate_group(
    name: str,
    reals: Sequence[VideoResult],
    fakes: Sequence[VideoResult],
    config: EvaluationConfig,
    seed: int,
    threshold: float | None,
) -> EvaluationRow:
    scored_reals, scored_fakes = _scored(reals), _scored(fakes)
    scored = [*scored_reals, *scored_fakes]
    status = Counter(video.status for video in (*reals, *fakes))
    metrics, intervals = _measure(name, scored, config, seed)
    return EvaluationRow(
        group=name,
        n_real=len(scored_reals),
        n_fake=len(scored_fakes),
        n_identities=len({video.identity for video in scored}),
        n_scored=status["scored"],
        n_abstained=status["abstained"],
        n_failed=status["failed"],
        coverage_real=len(scored_reals) / len(reals) if reals else None,
        coverage_fake=len(scored_fakes) / len(fakes) if fakes else None,
        metrics=metrics,
        intervals=intervals,
        threshold=threshold,
        false_positive_rate_at_threshold=_accused_share(scored_reals, threshold),
        true_positive_rate_at_threshold=_accused_share(scored_fakes, threshold),
        balanced_accuracy_at_threshold=_balanced_accuracy(scored, threshold) if metrics else None,
        median_p_value_real=_median_p_value(scored_reals),
        median_p_value_fake=_median_p_value(scored_fakes),
    )


def _measure(
    name: str, scored: Sequence[VideoResult], config: EvaluationConfig, seed: int
) -> tuple[MetricSet | None, Mapping[str, Interval]]:
    labels = [video.label for video in scored]
    if len(set(labels)) < 2:
        reason = "no fake video was scored" if 0 in labels else "no real video was scored"
        return None, {metric: Interval(None, None, 0, 0, reason) for metric in INTERVAL_METRICS}
    scores = _scores(scored)
    identities = [video.identity for video in scored]
    rng = derive_rng(seed, "evaluation", "bootstrap", name)
    return compute_metrics(labels, scores), bootstrap_intervals(
        labels, scores, identities, INTERVAL_METRICS, config.bootstrap_resamples, config.confidence, rng
    )


def _scored(videos: Sequence[VideoResult]) -> list[VideoResult]:
    return [video for video in videos if video.status == "scored"]


def _scores(scored: Sequence[VideoResult]) -> list[float]:
    return [video.score for video in scored if video.score is not None]


def _accused_share(scored: Sequence[VideoResult], threshold: float | None) -> float | None:
    if threshold is None or not scored:
        return None
    return sum(score >= threshold for score in _scores(scored)) / len(scored)


def _balanced_accuracy(scored: Sequence[VideoResult], threshold: float | None) -> float | None:
    if threshold is None:
        return None
    return balanced_accuracy_at_threshold([video.label for video in scored], _scores(scored), threshold)


def _median_p_value(scored: Sequence[VideoResult]) -> float | None:
    p_values = [video.p_value for video in scored if video.p_value is not None]
    return median(p_values) if p_values and len(p_values) == len(scored) else None
