"""What perturbations do to a detector: the AUC of each score under each condition, beside that of the clean videos."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from difffake.errors import EvaluationError
from difffake.evaluation.bootstrap import Interval, bootstrap_auc_change, bootstrap_interval
from difffake.evaluation.curves import area_under_curve
from difffake.evaluation.metrics import auc
from difffake.perturbations.perturbation import Perturbation
from difffake.randomness import derive_rng

STAGE_VERSION = 1
"""Enters the fingerprint of the robustness table: bump it when a figure of it changes."""

CLEAN = "clean"
"""The condition of videos as they are."""

VideoScores = Sequence[float | None]
"""One score a video, None where it was not scored."""


@dataclass(frozen=True)
class RobustnessRow:
    """One score under one condition; what is undefined is None, and the reasons say why.

    Attributes:
        perturbation: its name, or `clean`.
        level: severity, or constant rate factor; 0 for clean.
        value: the parameter the level stands for, None for clean.
        score: which score.
        n_real: reals that have it.
        n_fake: fakes that have it.
        n_unscored: videos that do not have it.
        coverage_real: scored share of the reals.
        coverage_fake: scored share of the fakes.
        auc: over the videos that have it.
        auc_low: lower end of its interval over identities.
        auc_high: upper end.
        auc_reason: why there is no AUC, or no interval.
        auc_change: AUC less the clean one, both over the videos scored in both; None for clean.
        auc_change_low: lower end of its interval, from paired resamples.
        auc_change_high: upper end.
        auc_change_reason: why there is no change, or no interval.
    """

    perturbation: str
    level: int
    value: float | None
    score: str
    n_real: int
    n_fake: int
    n_unscored: int
    coverage_real: float | None
    coverage_fake: float | None
    auc: float | None
    auc_low: float | None
    auc_high: float | None
    auc_reason: str | None
    auc_change: float | None
    auc_change_low: float | None
    auc_change_high: float | None
    auc_change_reason: str | None

    def to_dict(self) -> dict[str, str | int | float | None]:
        """Flat columns of JSON's types."""
        return asdict(self)


@dataclass(frozen=True)
class JudgedVideos:
    """The videos that were judged under every condition.

    Attributes:
        labels: N labels, 1 for fake, 0 for real.
        identities: N names of the people seen; a name of the video's own where unknown.
    """

    labels: Sequence[int]
    identities: Sequence[str]


@dataclass(frozen=True)
class Resampling:
    """How intervals are made: number of resamples, confidence and seed."""

    resamples: int
    confidence: float
    seed: int


def evaluate_robustness(
    videos: JudgedVideos,
    clean: Mapping[str, VideoScores],
    perturbed: Mapping[Perturbation, Mapping[str, VideoScores]],
    resampling: Resampling,
) -> tuple[RobustnessRow, ...]:
    """The clean row of each score, then the rows of each condition in the order given.

    All conditions are resampled alike, so that a curve over them wavers by their effects alone.

    Args:
        videos: N videos.
        clean: N scores of each kind, by its name.
        perturbed: likewise, by condition.
        resampling: of the intervals.

    Raises:
        EvaluationError: there is no video, or lengths differ.
    """
    conditions: list[tuple[Perturbation | None, Mapping[str, VideoScores]]] = [(None, clean), *perturbed.items()]
    if not videos.labels:
        raise EvaluationError("there is no test video to perturb; check the test split and the compression asked for")
    lengths = {len(scores) for _, by_name in conditions for scores in by_name.values()}
    if lengths != {len(videos.labels)} or len(videos.identities) != len(videos.labels):
        raise EvaluationError(f"{len(videos.labels)} videos want as many scores, not {sorted(lengths)}")
    return tuple(
        _row(videos, condition, name, scores, clean[name], resampling)
        for condition, by_name in conditions
        for name, scores in by_name.items()
    )


def _row(
    videos: JudgedVideos,
    condition: Perturbation | None,
    name: str,
    scores: VideoScores,
    clean: VideoScores,
    resampling: Resampling,
) -> RobustnessRow:
    scored = [index for index, score in enumerate(scores) if score is not None]
    n_fake = sum(videos.labels[index] for index in scored)
    area, interval = _area(videos, scores, scored, name, resampling)
    change, change_interval = None, Interval(None, None, 0, 0, "it is what others are held against")
    if condition is not None:
        in_both = [index for index in scored if clean[index] is not None]
        change, change_interval = _change(videos, scores, clean, in_both, name, resampling)
    return RobustnessRow(
        perturbation=CLEAN if condition is None else condition.name,
        level=0 if condition is None else condition.level,
        value=None if condition is None else condition.value,
        score=name,
        n_real=len(scored) - n_fake,
        n_fake=n_fake,
        n_unscored=len(scores) - len(scored),
        coverage_real=_share(len(scored) - n_fake, len(videos.labels) - sum(videos.labels)),
        coverage_fake=_share(n_fake, sum(videos.labels)),
        auc=area,
        auc_low=interval.low,
        auc_high=interval.high,
        auc_reason=interval.reason,
        auc_change=change,
        auc_change_low=change_interval.low,
        auc_change_high=change_interval.high,
        auc_change_reason=change_interval.reason,
    )


def _area(
    videos: JudgedVideos, scores: VideoScores, chosen: Sequence[int], name: str, resampling: Resampling
) -> tuple[float | None, Interval]:
    labels, values, identities = _of(videos, scores, chosen)
    if reason := _one_class(labels):
        return None, Interval(None, None, 0, 0, reason)
    interval = bootstrap_interval(
        labels,
        values,
        identities,
        area_under_curve,
        resampling.resamples,
        resampling.confidence,
        _rng(name, resampling),
    )
    return auc(labels, values), interval


def _change(
    videos: JudgedVideos,
    scores: VideoScores,
    clean: VideoScores,
    chosen: Sequence[int],
    name: str,
    resampling: Resampling,
) -> tuple[float | None, Interval]:
    labels, values, identities = _of(videos, scores, chosen)
    _, clean_values, _ = _of(videos, clean, chosen)
    if reason := _one_class(labels):
        return None, Interval(None, None, 0, 0, f"{reason} in both conditions")
    draws = (resampling.resamples, resampling.confidence, _rng(name, resampling))
    interval = bootstrap_auc_change(labels, values, clean_values, identities, *draws)
    return auc(labels, values) - auc(labels, clean_values), interval


def _of(videos: JudgedVideos, scores: VideoScores, chosen: Sequence[int]) -> tuple[list[int], list[float], list[str]]:
    values = [score for index in chosen if (score := scores[index]) is not None]
    return [videos.labels[index] for index in chosen], values, [videos.identities[index] for index in chosen]


def _rng(name: str, resampling: Resampling) -> np.random.Generator:
    return derive_rng(resampling.seed, "robustness", "bootstrap", name)


def _one_class(labels: Sequence[int]) -> str | None:
    if 0 not in labels:
        return "no real video was scored"
    return None if 1 in labels else "no fake video was scored"


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
