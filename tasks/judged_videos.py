"""The videos a detector is judged by: which they are, and what became of each."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from data_catalog.schemas import TableName
from difffake.config import ScoreName
from difffake.differential.calibration import Calibration
from difffake.evaluation.results import VideoResult
from difffake.scores import SCORE_NAMES, VideoScore
from tasks.experiment import Experiment

Videos = dict[str, dict[str, Any]]

_NEVER = {"status": "unreadable", "reason": "was not extracted"}


def by_weight(verdict: ScoreName) -> list[ScoreName]:
    """The names of the scores, the one that decides first: it gives the headline, which promotion goes by."""
    return sorted(SCORE_NAMES, key=lambda name: name != verdict)


def judged_videos(experiment: Experiment, extraction: str) -> tuple[Videos, list[str]]:
    """The test videos with their extraction's outcome, by dataset and quality; and the datasets learnt from."""
    roles = experiment.roles()
    log = _outcomes(experiment, extraction)
    test = roles.filter(pa.compute.equal(roles["role"], "test")).to_pylist()
    names, qualities = experiment.names, (None, *experiment.config.data.test_compressions)
    test.sort(key=lambda row: (names.index(row["dataset"]), qualities.index(row["compression"]), row["video_key"]))
    learning = roles.filter(pa.compute.is_in(roles["role"], pa.array(["train", "density"])))
    videos = {row["video_key"]: row | log.get(row["sha256"], _NEVER) for row in test}
    return videos, sorted(set(learning["dataset"].to_pylist()))


def _outcomes(experiment: Experiment, extraction: str) -> dict[str, dict[str, str]]:
    columns = ["video_sha256", "status", "reason"]
    rows = experiment.lake.read(TableName.EXTRACTION_LOG, columns, {"extraction": [extraction]}).to_pylist()
    return {row["video_sha256"]: {"status": row["status"], "reason": row["reason"]} for row in rows}


def result_of(
    row: Mapping[str, Any], outcome: VideoScore, calibrations: Mapping[ScoreName, Calibration]
) -> VideoResult:
    """A test video and what a detector said of it, as evaluations take it."""
    return VideoResult(
        video_key=row["video_key"],
        dataset=row["dataset"],
        compression=row["compression"],
        label=1 if row["label"] == "fake" else 0,
        manipulation=row["manipulation"],
        identity=row["identity"],
        scores={name: outcome.value_of(name) for name in SCORE_NAMES},
        p_values={
            name: calibration.p_value(value)
            for name, calibration in calibrations.items()
            if (value := outcome.value_of(name)) is not None
        },
        status=outcome.status,
        original_key=row["original_key"],
    )
