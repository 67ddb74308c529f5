"""What a run of the detection benchmark says, read from its work folder and its tables."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from data_catalog.fingerprints import fingerprint
from data_catalog.lake import Lake
from data_catalog.schemas import TableName
from difffake.backbone.embedder import STAGE_VERSION as EMBEDDING_VERSION
from difffake.evaluation.bootstrap import bootstrap_interval
from difffake.evaluation.curves import area_under_curve
from difffake.evaluation.metrics import auc
from difffake.randomness import derive_rng
from difffake.scores import SCORE_NAMES
from tasks.embeddings import STAGE as EMBEDDINGS

_RESAMPLES, _CONFIDENCE = 1000, 0.95
_QUALITIES = ("c23", "c40")
_METHODS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")
_VIDEO_SETS = ("ff", "dfdc", "uadfv")
_FRESH = "reals"

COLUMNS = (
    "seed",
    "minutes",
    "validation_auc",
    *(f"frames_{quality}_{method}" for quality in _QUALITIES for method in _METHODS),
    *(f"frames_{quality}" for quality in _QUALITIES),
    *(f"{name}_{score}" for name in (*_VIDEO_SETS, "all") for score in SCORE_NAMES),
    "accused",
    "found",
)


@dataclass(frozen=True)
class Value:
    """A figure and the ends of its interval, where it has one; without a value, why."""

    value: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""

    def __str__(self) -> str:
        if self.value is None:
            return self.note or "–"
        interval = "" if self.low is None else f" [{self.low:.2f}, {self.high:.2f}]"
        return f"{self.value:.3f}{interval}{' ' + self.note if self.note else ''}"


@dataclass(frozen=True)
class Result:
    """The figures of one seed, by name in the order they are shown."""

    seed: int
    minutes: float
    figures: Mapping[str, Value]

    def cells(self) -> dict[str, str]:
        """The row of the table of tries."""
        values = {name: "" if figure.value is None else f"{figure.value:.4f}" for name, figure in self.figures.items()}
        return {"seed": str(self.seed), "minutes": f"{self.minutes:.1f}"} | values


def read_result(home: Path, lake_place: Path, seed: int, minutes: float) -> Result:
    """The figures of a finished run.

    - frames_…: AUC of the network's fake probability on single crops of official test ids, by method and quality.
    - ff_…, dfdc_…, uadfv_…: AUC of videos. all_…: every fake against every real, of whichever set.
    - accused, found: shares of fresh reals, and of all fakes, that the verdict calls anomalous at 5 %.
    """
    lake = Lake(lake_place)
    history = _record(home, "backbone")["facts"]["history"]
    figures = {"validation_auc": Value(max(epoch["validation_auc"] for epoch in history))}
    figures |= _frames(lake, home, seed)
    figures |= _videos(lake, home, seed)
    return Result(seed, minutes, figures)


def _frames(lake: Lake, home: Path, seed: int) -> dict[str, Value]:
    name = fingerprint(EMBEDDINGS, EMBEDDING_VERSION, None, {"backbone": _record(home, "backbone")["digest"]})
    columns = ["video_key", "sha256", "label", "manipulation", "compression", "identity"]
    crops = lake.read(TableName.VIDEOS, columns, {"dataset": ["crops"]}).to_pylist()
    where = {"backbone": [name], "video_sha256": [crop["sha256"] for crop in crops]}
    rows = lake.read(TableName.EMBEDDINGS, ["video_sha256", "fake_probability"], where)
    said = dict(zip(rows["video_sha256"].to_pylist(), rows["fake_probability"].to_pylist(), strict=True))
    figures: dict[str, Value] = {}
    for quality in _QUALITIES:
        seen = [crop for crop in crops if crop["compression"] == quality and crop["sha256"] in said]
        reals = [crop for crop in seen if crop["label"] == "real"]
        for method in _METHODS:
            fakes = [crop for crop in seen if crop["manipulation"] == method]
            scores = [said[crop["sha256"]] for crop in (*reals, *fakes)]
            figures[f"frames_{quality}_{method}"] = _auc(reals, fakes, scores, seed)
        values = [figures[f"frames_{quality}_{method}"].value for method in _METHODS]
        known = [value for value in values if value is not None]
        figures[f"frames_{quality}"] = Value(float(np.mean(known)) if known else None, note="mean over methods")
    return figures


def _videos(lake: Lake, home: Path, seed: int) -> dict[str, Value]:
    detector = _record(home, "calibration")["digest"]
    wanted = ["video_key", "is_anomalous", *SCORE_NAMES]
    rows = lake.read(TableName.SCORES, wanted, {"detector": [detector]}).to_pylist()
    judged = {row["video_key"]: row for row in rows if row["is_anomalous"] is not None}
    columns = ["video_key", "dataset", "label", "identity", "media"]
    known = lake.read(TableName.VIDEOS, columns, {"video_key": sorted(judged)}).to_pylist()
    videos = [video | judged[video["video_key"]] for video in known if video["media"] == "video"]
    figures: dict[str, Value] = {}
    for name in (*_VIDEO_SETS, "all"):
        some = [video for video in videos if name in ("all", video["dataset"])]
        for score in SCORE_NAMES:
            scored = [video for video in some if video[score] is not None]
            reals, fakes = ([one for one in scored if one["label"] == label] for label in ("real", "fake"))
            values = [one[score] for one in (*reals, *fakes)]
            figures[f"{name}_{score}"] = _auc(reals, fakes, values, seed)
    fresh = [video["is_anomalous"] for video in videos if video["dataset"] == _FRESH]
    fakes = [video["is_anomalous"] for video in videos if video["label"] == "fake"]
    figures["accused"] = Value(float(np.mean(fresh)) if fresh else None, note=f"of {len(fresh)} fresh reals")
    figures["found"] = Value(float(np.mean(fakes)) if fakes else None, note=f"of {len(fakes)} fakes")
    return figures


def _auc(
    reals: Sequence[Mapping[str, Any]], fakes: Sequence[Mapping[str, Any]], scores: Sequence[float], seed: int
) -> Value:
    if not reals or not fakes:
        return Value(None, note=f"{len(reals)} real, {len(fakes)} fake")
    labels = np.repeat([0, 1], [len(reals), len(fakes)])
    values: npt.NDArray[np.float64] = np.asarray(scores, np.float64)
    people = [row["identity"] or row["video_key"] for row in (*reals, *fakes)]
    rng = derive_rng(seed, "detection")
    interval = bootstrap_interval(labels, values, people, area_under_curve, _RESAMPLES, _CONFIDENCE, rng)
    return Value(float(auc(labels, values)), interval.low, interval.high)


def _record(home: Path, stage: str) -> dict[str, Any]:
    """The only artefact of a stage in a work folder of one run."""
    (path,) = (home / "artefacts" / stage).glob("*/record.json")
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
