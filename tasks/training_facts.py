"""What a training report tells beside its figures: the videos judged most wrongly, and those not judged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_catalog.schemas import TableName
from difffake.errors import DataError
from difffake.evaluation.pair_pictures import pair_picture
from tasks import evaluation
from tasks.evaluation_files import PAIRS
from tasks.experiment import Experiment, StageRecord

MOST_WRONG = 4
PAIRS_SHOWN = 3
_SIDE_PX = 96
_SCORE_COLUMNS = (
    "video_key", "status", "reason", "score", "p_value", "is_anomalous", "fake_probability", "pairs_used",
)  # fmt: skip

Row = dict[str, Any]


@dataclass(frozen=True)
class PairView:
    """A pair of faces as a JPEG, and how natural the density finds it."""

    jpeg: bytes
    log_likelihood: float


@dataclass(frozen=True)
class WrongVideo:
    """A test video with the pairs its score was made of, at both ends; `video` has columns of videos and scores."""

    video: Row
    least_natural: tuple[PairView, ...]
    most_natural: tuple[PairView, ...]


@dataclass(frozen=True)
class WorstErrors:
    """Reals with the highest and fakes with the lowest scores: at worst false accusations and missed fakes."""

    reals: tuple[WrongVideo, ...]
    fakes: tuple[WrongVideo, ...]


def scored_videos(experiment: Experiment, detector: StageRecord) -> list[Row]:
    """Every test video with what the detector says of it."""
    roles = experiment.roles()
    test = roles.filter(pa.compute.equal(roles["role"], "test")).to_pylist()
    rows = experiment.lake.read(TableName.SCORES, _SCORE_COLUMNS, {"detector": [detector.digest]}).to_pylist()
    scores = {row["video_key"]: row for row in rows}
    return [row | scores[row["video_key"]] for row in test if row["video_key"] in scores]


def worst_errors(experiment: Experiment, extraction: str, evaluated: StageRecord, videos: Sequence[Row]) -> WorstErrors:
    """The scored videos furthest on the wrong side, with their pairs from the stored crops."""
    scored = [video for video in videos if video["score"] is not None]
    ranked = sorted(scored, key=lambda video: (video["score"], video["video_key"]))
    reals = [video for video in reversed(ranked) if video["label"] == "real"][:MOST_WRONG]
    fakes = [video for video in ranked if video["label"] == "fake"][:MOST_WRONG]
    ends = {video["video_key"]: _ends(experiment, evaluated, video["video_key"]) for video in (*reals, *fakes)}
    crops = _crops(experiment, extraction, [pair for low, high in ends.values() for pair in (*low, *high)])
    views = {key: (_views(low, crops), _views(high, crops)) for key, (low, high) in ends.items()}
    return WorstErrors(
        tuple(WrongVideo(video, *views[video["video_key"]]) for video in reals),
        tuple(WrongVideo(video, *views[video["video_key"]]) for video in fakes),
    )


def _ends(experiment: Experiment, evaluated: StageRecord, video_key: str) -> tuple[list[Row], list[Row]]:
    """The least and the most natural pairs of a video, no pair twice, the furthest out first."""
    kept = experiment.home.artefacts.require(evaluation.STAGE, evaluated.fingerprint).path(PAIRS)
    pairs = pq.read_table(kept, filters=[("video_key", "=", video_key)]).to_pylist()
    # Faces that are judged singly have no partner: both sides show the face.
    pairs = [pair | {"partner_id": pair["partner_id"] or pair["base_id"]} for pair in pairs]
    pairs.sort(key=lambda pair: (pair["log_likelihood"], pair["base_id"], pair["partner_id"]))
    low = pairs[: min(PAIRS_SHOWN, (len(pairs) + 1) // 2)]
    return low, pairs[: len(low) - 1 : -1][:PAIRS_SHOWN]


def _crops(experiment: Experiment, extraction: str, pairs: Sequence[Row]) -> dict[str, bytes]:
    wanted = sorted({pair[side] for pair in pairs for side in ("base_id", "partner_id")})
    if not wanted:
        return {}
    usable = experiment.usable_faces(extraction)
    seen = usable.filter(pa.compute.is_in(usable["face_id"], pa.array(wanted)))
    where = {"video_sha256": sorted(set(seen["video_sha256"].to_pylist())), "face_id": wanted}
    rows = experiment.lake.read(TableName.FACES, ["face_id", "crop_jpeg"], where).to_pylist()
    crops = {row["face_id"]: row["crop_jpeg"] for row in rows}
    if missing := sorted(set(wanted) - set(crops)):
        raise DataError(f"{len(missing)} faces of test pairs are gone, first {missing[0]}: run with --force evaluation")
    return crops


def _views(pairs: Sequence[Row], crops: Mapping[str, bytes]) -> tuple[PairView, ...]:
    return tuple(
        PairView(pair_picture(crops[pair["base_id"]], crops[pair["partner_id"]], _SIDE_PX), pair["log_likelihood"])
        for pair in pairs
    )
