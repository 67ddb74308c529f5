"""How the scores of real videos move away from those the density was fitted on, by dataset and role."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import ks_2samp

from difffake.errors import DensityError

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

SHIFTED_ABOVE = 1.0
"""Shift, in standard deviations of the scores it is measured against, above which reals carry a warning."""

HELD_OUT = "held out"
"""The role under which the density's own reals stand when their scores come from a fit without their person."""

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RealScores:
    """Scores of the pairs, or faces, of the real videos of one dataset and role; higher is more anomalous.

    Attributes:
        dataset: its name.
        role: what its videos are for.
        scores: (N,), N ≥ 1.
        videos: how many they come from.
        people: how many they show.
    """

    dataset: str
    role: str
    scores: Scores
    videos: int
    people: int


@dataclass(frozen=True)
class DriftRow:
    """How one group's scores lie against the density's own reals.

    Attributes:
        count: of pairs, or faces.
        quantiles: those of `QUANTILES`.
        shift: difference of the means in standard deviations of the density's own reals; None where these do not vary.
        shift_from_held_out: the same against the density's own reals when held out, without what the density remembers
            of them; None where they were not held out or do not vary.
        ks_statistic: two-sample Kolmogorov–Smirnov: the largest distance of the two distribution functions, in [0, 1].
            Without a p-value, which would take pairs of one video for independent.
    """

    dataset: str
    role: str
    videos: int
    people: int
    count: int
    mean: float
    standard_deviation: float
    quantiles: tuple[float, ...]
    shift: float | None
    shift_from_held_out: float | None
    ks_statistic: float


def score_drift(own: Scores, held_out: Scores, groups: Iterable[RealScores]) -> list[DriftRow]:
    """Compare the scores of real videos with those of the density's own.

    Args:
        own: (M,) scores of the vectors the density was fitted on.
        held_out: (M,) scores of the same vectors from fits without their people, or (0,).
        groups: the others.

    Raises:
        DensityError: there is no score, or one is not finite.
    """
    _require_scores(own, "the density's own reals")
    return [_row(own, held_out, group) for group in groups]


def drift_warnings(rows: Sequence[DriftRow], fit_on: Collection[str]) -> Iterator[str]:
    """What to know about reals that look unlike those the density was fitted on; one sentence for each cause.

    Where people were held out, others are measured against them: that the density remembers its own is another cause.

    Args:
        rows: the groups.
        fit_on: the roles the density was fitted on.
    """
    held_out = [row for row in rows if row.role == HELD_OUT]
    if remembered := _moved(held_out, [row.shift for row in held_out]):
        yield (
            f"people score otherwise under a density fitted without them ({remembered} standard deviations of what "
            "those score that it knows): it remembers its own pairs; give pairs of more people, or choose a simpler "
            "model"
        )
    others = [row for row in rows if row.role != HELD_OUT and row.role not in fit_on]
    shifts = [row.shift_from_held_out if held_out else row.shift for row in others]
    if moved := _moved(others, shifts):
        against = "people held out of the density" if held_out else "those the density was fitted on"
        yield (
            f"real videos score unlike {against} ({moved} standard deviations of these): fit it on videos like them "
            "(density.fit_on), and on people the network was not trained on"
        )


def _moved(rows: Sequence[DriftRow], shifts: Sequence[float | None]) -> str:
    return ", ".join(
        f"{row.dataset} {row.role} {shift:+.1f}".replace("-", "−")
        for row, shift in zip(rows, shifts, strict=True)
        if shift is not None and abs(shift) > SHIFTED_ABOVE
    )


def _row(own: Scores, held_out: Scores, group: RealScores) -> DriftRow:
    _require_scores(group.scores, f"{group.dataset}, role {group.role}")
    mean = float(group.scores.mean())
    return DriftRow(
        dataset=group.dataset,
        role=group.role,
        videos=group.videos,
        people=group.people,
        count=len(group.scores),
        mean=mean,
        standard_deviation=float(group.scores.std()),
        quantiles=tuple(float(value) for value in np.quantile(group.scores, QUANTILES)),
        shift=_shift(mean, own),
        shift_from_held_out=_shift(mean, held_out),
        ks_statistic=float(ks_2samp(group.scores, own, method="asymp").statistic),
    )


def _shift(mean: float, others: Scores) -> float | None:
    spread = float(others.std()) if others.size else 0.0
    return (mean - float(others.mean())) / spread if spread > 0 else None


def _require_scores(scores: Scores, what: str) -> None:
    if scores.ndim != 1 or not scores.size or not np.isfinite(scores).all():
        raise DensityError(
            f"the scores of {what} must be a list of finite numbers, at least one; embed their faces again, and check "
            "the backbone's weights if it happens again"
        )
