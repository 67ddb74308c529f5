"""Fusion: differential score and the backbone's fake probability weighed into one score (not in the paper).

A logistic regression on two numbers of a video, learnt from held-out reals and pseudo-fake copies of them, so that no
fake is seen. Neither weight may be negative: more evidence never makes a video more natural.
"""

from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError
from sklearn.linear_model import LogisticRegression

from difffake.errors import ArtefactError, DensityError

STAGE_VERSION = 1
"""Enters the fingerprint of the fusion: bump it when output changes."""

FEW_VIDEOS = 10
"""Fewer real videos than this give a warning."""

_SMALLEST_PROBABILITY = 1e-6

Evidence = npt.NDArray[np.float64]


class Fusion(BaseModel):
    """The fitted weights; a fused score is in log-odds, up to a constant, higher for more anomalous videos.

    Attributes:
        centres: of differential score and mean log-odds.
        scales: by which both are divided after centring.
        weights: of the scaled evidence, not negative.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    centres: tuple[FiniteFloat, FiniteFloat]
    scales: tuple[FiniteFloat, FiniteFloat]
    weights: tuple[FiniteFloat, FiniteFloat]
    reals: int = Field(ge=1, description="Real videos it was learnt from.")
    pseudo_fakes: int = Field(ge=1, description="Pseudo-fake copies it was learnt from.")

    def score(self, differential: float, fake_log_odds: float) -> float:
        """The fused score of one video."""
        scaled = (np.array([differential, fake_log_odds]) - self.centres) / self.scales
        return float(scaled @ np.array(self.weights))

    @property
    def warning(self) -> str | None:
        """Why the weights are not to be relied on, or None."""
        if self.reals < FEW_VIDEOS:
            return (
                f"the fusion was learnt from {self.reals} real validation video(s) and {self.pseudo_fakes} pseudo-fake "
                f"copies: its weights are rough below {FEW_VIDEOS}; give more validation videos"
            )
        return None

    def to_json(self) -> str:
        """Every field; `from_json` gives back an equal fusion."""
        return self.model_dump_json(indent=2)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Raises:
            ArtefactError: the text is no fusion, or one of another version.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise ArtefactError(f"not a usable fusion: {error}; fit the fusion again") from error


def mean_log_odds(fake_probability: npt.ArrayLike) -> float:
    """The mean over a video's (N,) faces of log p / (1 − p); probabilities are held off 0 and 1 by 1e-6."""
    values = np.asarray(fake_probability, dtype=np.float64)
    held = np.clip(values, _SMALLEST_PROBABILITY, 1 - _SMALLEST_PROBABILITY)
    return float(np.mean(np.log(held) - np.log1p(-held)))


def fit_fusion(
    reals: npt.ArrayLike, pseudo_fakes: npt.ArrayLike, regularisation: float, most_differential: float = 1.0
) -> Fusion:
    """Learn the weights by penalised logistic regression in which both classes weigh the same.

    Evidence whose weight would come out negative is left out and the other's weight is learnt alone; where neither
    tells the pseudo-fakes from the reals, both weigh the same.

    Args:
        reals: (N, 2) differential score and mean log-odds of real videos, N ≥ 1.
        pseudo_fakes: (M, 2) of pseudo-fake copies, M ≥ 1.
        regularisation: scikit-learn's C.
        most_differential: largest share of the two weights, on scaled evidence, that the differential score gets, in
            [0, 1]. Where more would be learnt, its share is this, and the sum of both is learnt.

    Raises:
        DensityError: a class is missing, a shape is wrong, or a value is not finite.
    """
    checked = [_checked(reals, "real videos"), _checked(pseudo_fakes, "pseudo-fake copies")]
    # Both classes weigh the same in centre and scale, too, however many copies there are.
    centres = np.mean([part.mean(axis=0) for part in checked], axis=0)
    scales = np.sqrt(np.mean([np.square(part - centres).mean(axis=0) for part in checked], axis=0))
    scales[scales == 0] = 1.0
    evidence = (np.concatenate(checked) - centres) / scales
    labels = np.repeat([0, 1], [len(part) for part in checked])
    weights = _non_negative_weights(evidence, labels, regularisation)
    if weights[0] > most_differential * weights.sum():
        shares = np.array([most_differential, 1 - most_differential])
        weights = shares * _non_negative_weight(evidence @ shares, labels, regularisation)
    return Fusion(
        centres=(float(centres[0]), float(centres[1])),
        scales=(float(scales[0]), float(scales[1])),
        weights=(float(weights[0]), float(weights[1])),
        reals=len(checked[0]),
        pseudo_fakes=len(checked[1]),
    )


def _non_negative_weights(evidence: Evidence, labels: npt.NDArray[np.int_], regularisation: float) -> Evidence:
    used = [0, 1]
    while used:
        model = LogisticRegression(C=regularisation, class_weight="balanced").fit(evidence[:, used], labels)
        weights = np.zeros(2)
        weights[used] = model.coef_[0]
        if (weights >= 0).all() and weights.any():
            return weights
        used = [column for column in used if weights[column] > 0]
    return np.ones(2)


def _non_negative_weight(evidence: Evidence, labels: npt.NDArray[np.int_], regularisation: float) -> float:
    """Of one kind of evidence; 1 where it does not tell pseudo-fakes from reals."""
    model = LogisticRegression(C=regularisation, class_weight="balanced").fit(evidence[:, np.newaxis], labels)
    weight = float(model.coef_[0, 0])
    return weight if weight > 0 else 1.0


def _checked(evidence: npt.ArrayLike, name: str) -> Evidence:
    values = np.asarray(evidence, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != 2 or len(values) == 0:
        raise DensityError(
            f"the fusion needs at least one of the {name} with two numbers each, not shape {values.shape}: give the "
            "dataset videos with the role validation"
        )
    if not np.isfinite(values).all():
        raise DensityError(f"{np.count_nonzero(~np.isfinite(values))} numbers of the {name} are not finite")
    return values
