"""What a score means: a conformal p-value among real videos, and a threshold at a stated false-positive rate."""

import bisect
import math
from collections.abc import Iterable
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from difffake.errors import ArtefactError, CalibrationError

STAGE_VERSION = 1
"""Enters the fingerprint of the calibration: bump it when output changes."""


class Calibration(BaseModel):
    """The scores of held-out real videos, against which a new score is read; higher is more anomalous.

    A new real video, exchangeable with the n calibration videos, gets a p-value ≤ α with probability at most α,
    whatever the distribution of scores (split conformal prediction: Vovk, Gammerman & Shafer 2005).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    requested_false_positive_rate: float = Field(gt=0, lt=1, description="Share of real videos a verdict may accuse.")
    scores: tuple[FiniteFloat, ...] = Field(min_length=1, description="Of held-out real videos, ascending.")

    @model_validator(mode="after")
    def _scores_ascend(self) -> Self:
        if list(self.scores) != sorted(self.scores):
            raise ValueError("calibration scores must ascend")
        return self

    @property
    def stated_false_positive_rate(self) -> float:
        """The rate a verdict keeps: the requested one, or 1/(n+1) where n videos cannot resolve it."""
        return max(self.requested_false_positive_rate, 1 / (len(self.scores) + 1))

    @property
    def warning(self) -> str | None:
        """Why the stated rate is wider than the requested one, or None if it is not."""
        if self.stated_false_positive_rate <= self.requested_false_positive_rate:
            return None
        count, requested = len(self.scores), self.requested_false_positive_rate
        return (
            f"calibrated on {count} real {'video' if count == 1 else 'videos'}, which cannot keep a false-positive "
            f"rate below {self.stated_false_positive_rate:.1%}: that is stated instead of the requested "
            f"{requested:.1%}, which needs at least {videos_needed(requested)} videos"
        )

    @property
    def threshold(self) -> float:
        """The smallest float that is called anomalous: scores at or above it are, scores below it are not."""
        return math.nextafter(self.scores[-self._largest_anomalous_rank], math.inf)

    def p_value(self, score: float) -> float:
        """(1 + number of calibration scores at or above `score`) / (n + 1), in [1/(n+1), 1].

        Raises:
            CalibrationError: the score is not finite.
        """
        return self._rank(score) / (len(self.scores) + 1)

    def is_anomalous(self, score: float) -> bool:
        """The verdict: the p-value of `score` is at most the stated false-positive rate.

        Raises:
            CalibrationError: the score is not finite.
        """
        return self.p_value(score) <= self.stated_false_positive_rate

    def to_json(self) -> str:
        """Every field; `from_json` gives back an equal calibration, to the last bit."""
        return self.model_dump_json(indent=2)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Raises:
            ArtefactError: the text is no calibration, or one of another version.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise ArtefactError(f"not a usable calibration: {error}; calibrate the detector again") from error

    def _rank(self, score: float) -> int:
        """1 for a score above all n calibration scores, n + 1 for one at or below all of them."""
        if not math.isfinite(score):
            raise CalibrationError(f"a score must be a finite number to be calibrated, not {score}")
        return 1 + len(self.scores) - bisect.bisect_left(self.scores, score)

    @property
    def _largest_anomalous_rank(self) -> int:
        """The largest rank whose p-value is at most the stated rate, found by the verdict's own division."""
        count, rate = len(self.scores), self.stated_false_positive_rate
        return bisect.bisect_right(range(1, count + 1), rate, key=lambda rank: rank / (count + 1))


def fit_calibration(scores: Iterable[float], false_positive_rate: float) -> Calibration:
    """Calibrate on the scores of real videos that neither network nor density was fitted on, one a video.

    Raises:
        CalibrationError: there is no score, a score is not finite, or the rate is not inside (0, 1).
    """
    if not 0 < false_positive_rate < 1:
        raise CalibrationError(f"a false-positive rate must lie inside (0, 1), not {false_positive_rate}")
    ascending = sorted(float(score) for score in scores)
    if not ascending:
        raise CalibrationError(
            "calibration needs the score of at least one held-out real video and got none; "
            f"{videos_needed(false_positive_rate)} attain a false-positive rate of {false_positive_rate:.1%}"
        )
    try:
        return Calibration(scores=tuple(ascending), requested_false_positive_rate=false_positive_rate)
    except ValidationError as error:
        raise CalibrationError(f"these scores cannot calibrate a detector: {error}") from error


def videos_needed(false_positive_rate: float) -> int:
    """The fewest calibration videos n, at least one, with 1/(n+1) at most the rate: ⌈1/rate⌉ − 1."""
    count = max(math.ceil(1 / false_positive_rate) - 1, 1)
    # 1 / (1 / 49) rounds to just above 49.
    return count - 1 if count > 1 and 1 / count <= false_positive_rate else count
