"""What a detector says of one file: a verdict in words and numbers, by person, with what to be careful about."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from html import escape
from typing import Any

from difffake.config import ScoreName
from difffake.faces.records import FaceRecord, FloatArray
from difffake.scores import Examination, ScoreStatus, VideoScore
from difffake.video import VideoInfo

COLUMNS = (
    "path", "person", "status", "verdict", "score", "p_value", "false_positive_rate", "score_name", "differential",
    "fake_probability", "fusion", "faces_used", "pairs_used", "first_s", "last_s", "share_of_frames",
    "reference_score", "reference_p_value", "reference_distance", "references", "reason", "cautions", "sha256",
)  # fmt: skip
"""Of the rows of `Judgement.rows`, in their order."""


@dataclass(frozen=True)
class Person:
    """One person of a video.

    Attributes:
        score: of this person alone.
        first_s: presentation time of their first face, in seconds.
        last_s: of their last.
        share_of_frames: in which they are seen, of those sampled, in (0, 1].
    """

    score: VideoScore
    first_s: float
    last_s: float
    share_of_frames: float


@dataclass(frozen=True)
class ReferenceComparison:
    """A person of a video against trusted footage of that person.

    Attributes:
        score: minus the mean log-likelihood of pairs of a judged face and a reference face; higher is more anomalous.
        p_value: share of files, the judged one among them, that are at least as far from all the other files; in
            [1/(references + 1), 1]. None with a single reference, and where the detector is calibrated for references.
        references: usable files.
        pairs: that were compared.
        person: the track that was compared.
        distance: largest distance between the descriptors of that person and of a reference; below 0.6 for one person
            (`difffake.faces.identity`). None where no recogniser is installed.
    """

    score: float
    p_value: float | None
    references: int
    pairs: int
    person: int = 0
    distance: float | None = None


@dataclass(frozen=True)
class Judgement:
    """What a detector says of one file; `str` gives the verdict in words, a notebook shows a table.

    Attributes:
        path: the file as it was named.
        outcome: of the video, by its most anomalous person.
        people: everybody tracked, by track; the first is the main person. Empty where no face was judged.
        score_name: which of the scores decides.
        false_positive_rate: the share of real videos that the verdict accuses at most, by its calibration.
        sha256: of the content; empty where there is no file.
        video: what the file holds; None for photos, and where it could not be read.
        frames_sampled: that were looked at.
        comparison: with references, where some were given and usable.
        cautions: why the verdict may not hold for this file, a sentence each.
    """

    path: str
    outcome: VideoScore
    score_name: ScoreName
    people: tuple[Person, ...] = ()
    false_positive_rate: float | None = None
    sha256: str = ""
    video: VideoInfo | None = None
    frames_sampled: int = 0
    comparison: ReferenceComparison | None = None
    cautions: tuple[str, ...] = ()

    @property
    def status(self) -> ScoreStatus:
        """scored, abstained or failed."""
        return self.outcome.status

    @property
    def reason(self) -> str:
        """Why it was not scored."""
        return self.outcome.reason

    @property
    def score(self) -> float | None:
        """The score that decides; higher is more anomalous."""
        return self.outcome.score

    @property
    def p_value(self) -> float | None:
        """Share of real videos that score at least as high."""
        return self.outcome.p_value

    @property
    def is_anomalous(self) -> bool | None:
        """The verdict; None without one."""
        return self.outcome.is_anomalous

    @property
    def faces_used(self) -> int:
        """Faces of the person whose score it is."""
        return self.outcome.faces_used

    @property
    def pairs_used(self) -> int:
        """Pairs of that person."""
        return self.outcome.pairs_used

    @property
    def verdict(self) -> str:
        """anomalous, not anomalous, or not judged."""
        return verdict_of(self.outcome)

    def renamed(self, path: str) -> "Judgement":
        """The same judgement of a file that is called otherwise."""
        return replace(self, path=path)

    def __str__(self) -> str:
        return f"{self.path}: {self.sentence}"

    @property
    def sentence(self) -> str:
        """The verdict in words, with what it means."""
        if self.status != "scored":
            return f"not judged: {self.reason}"
        if self.p_value is None or self.false_positive_rate is None:
            return f"score {self.score:.4g}; the detector is not calibrated, so there is no verdict"
        share = f"{self.p_value:.1%} of real videos score as high or higher"
        if self.is_anomalous:
            return f"anomalous: {share} (a verdict that accuses {self.false_positive_rate:.1%} of real videos)"
        return f"not anomalous: {share}; it takes {self.false_positive_rate:.1%} or less to be called anomalous"

    def rows(self) -> list[dict[str, Any]]:
        """One row a person, with the columns `COLUMNS`; one of the file where nobody was judged."""
        if not self.people:
            return [self._row(self.outcome, None)]
        return [self._row(person.score, person) for person in self.people]

    def _row(self, score: VideoScore, person: Person | None) -> dict[str, Any]:
        is_compared = self.comparison is not None and person is not None and score.track_id == self.comparison.person
        compared = self.comparison if is_compared else None
        values = {
            "path": self.path,
            "person": score.track_id,
            "status": score.status,
            "verdict": verdict_of(score),
            "score": score.score,
            "p_value": score.p_value,
            "false_positive_rate": self.false_positive_rate,
            "score_name": self.score_name,
            "differential": score.differential,
            "fake_probability": score.fake_probability,
            "fusion": score.fusion,
            "faces_used": score.faces_used,
            "pairs_used": score.pairs_used,
            "first_s": person and person.first_s,
            "last_s": person and person.last_s,
            "share_of_frames": person and person.share_of_frames,
            "reference_score": compared and compared.score,
            "reference_p_value": compared and compared.p_value,
            "reference_distance": compared and compared.distance,
            "references": compared.references if compared else 0,
            "reason": score.reason,
            "cautions": "; ".join(self.cautions),
            "sha256": self.sha256,
        }
        return {name: values[name] for name in COLUMNS}

    def _repr_html_(self) -> str:
        shown = ("person", "status", "verdict", "score", "p_value", "faces_used", "pairs_used", "reason")
        head = "".join(f"<th>{name.replace('_', ' ')}</th>" for name in shown)
        lines = ["".join(f"<td>{_cell(row[name])}</td>" for name in shown) for row in self.rows()]
        body = "".join(f"<tr>{line}</tr>" for line in lines)
        cautions = "".join(f"<li>{escape(caution)}</li>" for caution in self.cautions)
        return (
            f"<p><b>{escape(self.path)}</b>: {escape(self.sentence)}</p>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><ul>{cautions}</ul>"
        )


@dataclass(frozen=True, eq=False)
class PersonExamination:
    """A person of a video, and what their score comes from; row i of `faces` and `features` is the same face.

    Attributes:
        examination: the score with the pairs and faces behind it.
        faces: N faces by time.
        features: (N, D) float32 embeddings.
    """

    examination: Examination
    faces: Sequence[FaceRecord]
    features: FloatArray = field(repr=False)


@dataclass(frozen=True, eq=False)
class VideoExamination:
    """A judgement with the evidence it rests on: one entry for everybody who was judged."""

    judgement: Judgement
    people: tuple[PersonExamination, ...]


def verdict_of(score: VideoScore) -> str:
    """anomalous, not anomalous, or not judged."""
    if score.is_anomalous is None:
        return "not judged"
    return "anomalous" if score.is_anomalous else "not anomalous"


def _cell(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else escape(str(value))
