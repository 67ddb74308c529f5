"""How the scores of real videos move away from those the density was fitted on, by dataset and role."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import ks_2samp

from difffake.errors import DensityError

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

SHIFTED_ABOVE = 1.0
"""Shift, in standard deviations of the density's own reals, above which reals carry a warning."""

HELD_OUT = "density, held out"
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
    ks_statistic: float


def score_drift(own: Scores, groups: Iterable[RealScores]) -> list[DriftRow]:
    """Compare the scores of real videos with those of the density's own.

    Args:
        own: (M,) scores of the vectors the density was fitted on.
        groups: the others.

    Raises:
        DensityError: there is no score, or one is not finite.
    """
    _require_scores(own, "the density's own reals")
    return [_row(own, group) for group in groups]


def drift_warnings(rows: Iterable[DriftRow]) -> Iterator[str]:
    """What to know about reals that look unlike those the density was fitted on."""
    for row in rows:
        if row.shift is None or abs(row.shift) <= SHIFTED_ABOVE:
            continue
        far = f"{abs(row.shift):.1f} standard deviations {'more' if row.shift > 0 else 'less'} anomalous"
        if row.role == HELD_OUT:
            yield (
                f"people of {row.dataset} score {far} under a density fitted without them: it remembers its own pairs; "
                "give pairs of more people, or choose a simpler model"
            )
        else:
            yield (
                f"real videos of {row.dataset} for the role {row.role} score {far} than those the density was fitted "
                "on; fit it on videos like these (role density), and on people the network was not trained on"
            )


def _row(own: Scores, group: RealScores) -> DriftRow:
    _require_scores(group.scores, f"{group.dataset}, role {group.role}")
    spread = float(own.std())
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
        shift=(mean - float(own.mean())) / spread if spread > 0 else None,
        ks_statistic=float(ks_2samp(group.scores, own, method="asymp").statistic),
    )


def _require_scores(scores: Scores, what: str) -> None:
    if scores.ndim != 1 or not scores.size or not np.isfinite(scores).all():
        raise DensityError(
            f"the scores of {what} must be a list of finite numbers, at least one; embed their faces again, and check "
            "the backbone's weights if it happens again"
        )
