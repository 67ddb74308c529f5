"""What is evaluated: test videos with their scores by name, and the pairs or frames those scores were made of."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from difffake.errors import EvaluationError

OVERALL = "overall"
"""The group of all fakes."""

DIFFERENTIAL = "differential"
"""Minus the mean log-likelihood of a video's pairs."""

FAKE_PROBABILITY = "fake_probability"
"""The backbone's own mean fake probability: what a detector without the differential step would say."""

VideoStatus = Literal["scored", "abstained", "failed"]
Level = Literal["video", "pair", "frame"]


@dataclass(frozen=True)
class VideoResult:
    """One test video and what the detector said of it.

    Attributes:
        video_key: names it.
        dataset: it is of.
        compression: its quality, None in a dataset without qualities.
        label: 1 for fake, 0 for real.
        manipulation: how a fake was made, None if unknown; of no account for a real.
        identity: the person seen; a name of the video's own where unknown.
        scores: by name, higher is more anomalous; a score may be missing or None.
        p_values: of the calibration, by the same names; missing without one.
        status: scored, abstained (too few faces or pairs) or failed (unreadable).
        original_key: of the real video a fake was made from, where known.
    """

    video_key: str
    dataset: str
    compression: str | None
    label: Literal[0, 1]
    manipulation: str | None
    identity: str
    scores: Mapping[str, float | None]
    p_values: Mapping[str, float | None] = field(default_factory=dict)
    status: VideoStatus = "scored"
    original_key: str | None = None

    def __post_init__(self) -> None:
        if self.label not in (0, 1):
            raise EvaluationError(f"the label of {self.video_key} must be 0 (real) or 1 (fake), not {self.label!r}")
        given = {name: score for name, score in self.scores.items() if score is not None}
        if bool(given) != (self.status == "scored"):
            raise EvaluationError(f"{self.video_key} with status {self.status} cannot have the scores {given}")
        for name, score in given.items():
            if not math.isfinite(score):
                raise EvaluationError(
                    f"the score {name} of {self.video_key} must be finite, not {score}; leave it out, or count the "
                    "video as failed"
                )
        if self.manipulation == OVERALL:
            raise EvaluationError(
                f"{OVERALL!r} names the group of all fakes and cannot be the manipulation of {self.video_key}"
            )

    def status_under(self, score: str) -> VideoStatus:
        """The status as far as one score goes: a scored video that lacks it counts as abstained."""
        return "abstained" if self.status == "scored" and self.scores.get(score) is None else self.status


@dataclass(frozen=True, eq=False)
class SampleScores:
    """The pairs or frames a score of videos was made of.

    Attributes:
        level: pair or frame.
        score: the video score they make up.
        values: (n,) by video_key, higher is more anomalous; of videos that were scored.
    """

    level: Literal["pair", "frame"]
    score: str
    values: Mapping[str, npt.NDArray[np.float64]]
