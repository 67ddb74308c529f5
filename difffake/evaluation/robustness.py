"""What perturbations do to a detector: the AUC of each score under each condition, beside that of the clean videos."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from difffake.errors import EvaluationError
from difffake.evaluation.bootstrap import Interval, bootstrap_auc_change, bootstrap_interval
from difffake.evaluation.curves import area_under_curve
from difffake.evaluation.groups import Group, group_videos
from difffake.evaluation.metrics import Integers, auc
from difffake.evaluation.results import OVERALL, VideoResult
from difffake.perturbations.perturbation import Perturbation
from difffake.randomness import derive_rng

STAGE_VERSION = 1
"""Enters the fingerprint of the robustness table: bump it when a figure of it changes."""

Chosen = npt.NDArray[np.bool_]

CLEAN = "clean"
"""The condition of videos as they are."""


@dataclass(frozen=True)
class RobustnessRow:
    """One score under one condition in one domain; what is undefined is None, and `reasons` says why.

    Attributes:
        domain: dataset/compression; fakes and reals of two are never held against each other.
        in_domain: whether something was learnt from reals of the domain's dataset.
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
        auc_change: AUC less the clean one, both over the videos scored in both; None for clean.
        auc_change_low: lower end of its interval, from paired resamples.
        auc_change_high: upper end.
        reasons: why a column is None, by its name.
    """

    domain: str
    in_domain: bool
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
    auc_change: float | None
    auc_change_low: float | None
    auc_change_high: float | None
    reasons: dict[str, str]

    def to_dict(self) -> dict[str, str | int | float | dict[str, str] | None]:
        """Flat columns of JSON's types, and `reasons`."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True)
class Resampling:
    """How intervals are made: number of resamples, confidence and seed."""

    resamples: int
    confidence: float
    seed: int


def evaluate_robustness(
    clean: Sequence[VideoResult],
    perturbed: Mapping[Perturbation, Sequence[VideoResult]],
    scores: Sequence[str],
    learnt_from: Collection[str],
    resampling: Resampling,
) -> tuple[RobustnessRow, ...]:
    """For each domain: the clean row of each score, then the rows of each condition in the order given.

    All conditions are resampled alike, so that a curve over them wavers by their effects alone.

    Args:
        clean: every video, whatever its status.
        perturbed: the same videos under each condition.
        scores: names of the scores.
        learnt_from: datasets whose reals trained the backbone or were fitted by the density.
        resampling: of the intervals.

    Raises:
        EvaluationError: there is no video, or a condition has others.
    """
    by_condition: list[tuple[Perturbation | None, dict[str, VideoResult]]] = [(None, _by_key(clean))]
    by_condition += [(condition, _by_key(videos)) for condition, videos in perturbed.items()]
    for condition, videos in by_condition:
        if videos.keys() != by_condition[0][1].keys():
            raise EvaluationError(f"{condition} was not measured on the {len(clean)} videos of the clean evaluation")
    groups = [group for group in group_videos(clean, learnt_from) if group.name == OVERALL]
    return tuple(
        _Comparison(group, name, videos, resampling).row(condition)
        for group in groups
        for condition, videos in by_condition
        for name in scores
    )


class _Comparison:
    """One score of a domain's videos under a condition, beside the clean score."""

    def __init__(self, group: Group, score: str, perturbed: Mapping[str, VideoResult], resampling: Resampling) -> None:
        videos = (*group.reals, *group.fakes)
        self._group, self._score, self._resampling = group, score, resampling
        self._labels = np.array([video.label for video in videos], dtype=np.int64)
        self._identities = np.array([video.identity for video in videos], dtype=np.str_)
        self._clean = np.array([video.scores.get(score) for video in videos], dtype=np.float64)
        self._scores = np.array([perturbed[video.video_key].scores.get(score) for video in videos], dtype=np.float64)

    def row(self, condition: Perturbation | None) -> RobustnessRow:
        scored = np.isfinite(self._scores)
        n_fake = int(self._labels[scored].sum())
        n_real = int(scored.sum()) - n_fake
        area, interval = self._area(scored)
        change, change_interval = None, Interval(None, None, 0, 0, "the others are held against it")
        if condition is not None:
            change, change_interval = self._change(scored & np.isfinite(self._clean))
        columns: dict[str, Any] = {
            "domain": self._group.domain.name,
            "in_domain": self._group.is_in_domain,
            "perturbation": CLEAN if condition is None else condition.name,
            "level": 0 if condition is None else condition.level,
            "value": None if condition is None else condition.value,
            "score": self._score,
            "n_real": n_real,
            "n_fake": n_fake,
            "n_unscored": int((~scored).sum()),
            "coverage_real": n_real / len(self._group.reals) if self._group.reals else None,
            "coverage_fake": n_fake / len(self._group.fakes) if self._group.fakes else None,
            "auc": area,
            "auc_low": interval.low,
            "auc_high": interval.high,
            "auc_change": change,
            "auc_change_low": change_interval.low,
            "auc_change_high": change_interval.high,
        }
        why = {
            "value": "the videos are as they are",
            "coverage_real": "the domain has no real video",
            "coverage_fake": "the domain has no fake video",
            **dict.fromkeys(("auc", "auc_low", "auc_high"), interval.reason),
            **dict.fromkeys(("auc_change", "auc_change_low", "auc_change_high"), change_interval.reason),
        }
        reasons = {name: str(why[name]) for name, value in columns.items() if value is None}
        return RobustnessRow(**columns, reasons=reasons)

    def _area(self, chosen: Chosen) -> tuple[float | None, Interval]:
        labels, scores = self._labels[chosen], self._scores[chosen]
        if reason := _one_class(labels):
            return None, Interval(None, None, 0, 0, reason)
        interval = bootstrap_interval(labels, scores, self._names(chosen), area_under_curve, *self._draws())
        return auc(labels, scores), interval

    def _change(self, chosen: Chosen) -> tuple[float | None, Interval]:
        labels, scores, clean = self._labels[chosen], self._scores[chosen], self._clean[chosen]
        if reason := _one_class(labels):
            return None, Interval(None, None, 0, 0, f"{reason} in both conditions")
        interval = bootstrap_auc_change(labels, scores, clean, self._names(chosen), *self._draws())
        return auc(labels, scores) - auc(labels, clean), interval

    def _names(self, chosen: Chosen) -> list[str]:
        names: list[str] = self._identities[chosen].tolist()
        return names

    def _draws(self) -> tuple[int, float, np.random.Generator]:
        rng = derive_rng(self._resampling.seed, "robustness", "bootstrap", self._group.domain.name, self._score)
        return self._resampling.resamples, self._resampling.confidence, rng


def _by_key(videos: Sequence[VideoResult]) -> dict[str, VideoResult]:
    return {video.video_key: video for video in videos}


def _one_class(labels: Integers) -> str | None:
    if 0 not in labels:
        return "no real video was scored"
    return None if 1 in labels else "no fake video was scored"
