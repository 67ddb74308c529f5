"""What a detector says of a video, and of the people in it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from difffake.config import ScoreName
from difffake.faces.records import ExtractionStatus

ScoreStatus = Literal["scored", "abstained", "failed"]

SCORE_NAMES: tuple[ScoreName, ...] = get_args(ScoreName)

STATUS_WITHOUT_FACES: dict[ExtractionStatus, ScoreStatus] = {
    "no_face": "abstained",
    "few_faces": "abstained",
    "truncated": "failed",
    "unreadable": "failed",
    "refused": "failed",
}


@dataclass(frozen=True)
class VideoScore:
    """What the detector says of one video.

    Attributes:
        status: scored; abstained, when there is too little to judge; failed, when the video cannot be read.
        reason: why it was not scored.
        score: the one of the three below that decides; higher is more anomalous.
        p_value: share of real videos that score at least as high, in (0, 1].
        is_anomalous: whether the p-value is at or below the calibration's stated false-positive rate.
        differential: minus the mean log-likelihood of the video's pairs, or of its faces where the density is fitted
            on single embeddings.
        fake_probability: mean over faces of the backbone's own fake probability, in [0, 1]; None: it was not trained.
        fusion: both weighed together, in log-odds up to a constant; None in a detector without fusion.
        track_id: the person whose score it is, the most anomalous one; 0 is the main person.
        tracks_judged: people of the video that were scored.
        faces_used: faces of that person.
        pairs_used: pairs of that person that were compared; 0 where faces are judged singly.
    """

    status: ScoreStatus
    reason: str = ""
    score: float | None = None
    p_value: float | None = None
    is_anomalous: bool | None = None
    differential: float | None = None
    fake_probability: float | None = None
    fusion: float | None = None
    track_id: int | None = None
    tracks_judged: int = 0
    faces_used: int = 0
    pairs_used: int = 0

    def value_of(self, name: ScoreName) -> float | None:
        """One of the three scores; None where it is not there."""
        values: dict[ScoreName, float | None] = {
            "differential": self.differential,
            "fake_probability": self.fake_probability,
            "fusion": self.fusion,
        }
        return values[name]


@dataclass(frozen=True, eq=False)
class Examination:
    """What the detector says of one person in one video, and what it says it from.

    Attributes:
        score: the outcome.
        pairs: P pairs of face names that were compared, none unless scored.
        log_likelihood: (P,) of those pairs; (N,) of the faces where they are judged singly.
        face_ids: N faces of the person.
        fake_probability: (N,) float32, the backbone's own; None: it was not trained.
    """

    score: VideoScore
    pairs: Sequence[tuple[str, str]]
    log_likelihood: npt.NDArray[np.float64]
    face_ids: Sequence[str]
    fake_probability: npt.NDArray[np.float32] | None


def most_anomalous(scores: Sequence[VideoScore]) -> VideoScore:
    """The score of a video by those of its people: one unnatural person makes a video unnatural.

    Calibration takes the same maximum over its real videos, so p-values stay what they say.
    """
    scored = [score for score in scores if score.score is not None]
    if not scored:
        return scores[0]
    highest = max(scored, key=lambda score: score.score if score.score is not None else -np.inf)
    return replace(highest, tracks_judged=len(scored))
