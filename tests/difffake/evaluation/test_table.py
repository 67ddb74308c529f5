"""The evaluation's rows by hand, and that nothing undefined is silent."""

import json
import math
from typing import Any

import numpy as np
import pytest

from difffake.config import EvaluationConfig
from difffake.errors import EvaluationError
from difffake.evaluation.metrics import auc
from difffake.evaluation.table import EvaluationRow, VideoResult, VideoStatus, evaluate_videos

CONFIG = EvaluationConfig(bootstrap_resamples=200)


def _real(
    identity: str, score: float | None, p_value: float | None = None, status: VideoStatus = "scored"
) -> VideoResult:
    return VideoResult(0, None, identity, score, p_value, status)


def _fake(
    manipulation: str | None,
    identity: str,
    score: float | None,
    p_value: float | None = None,
    status: VideoStatus = "scored",
) -> VideoResult:
    return VideoResult(1, manipulation, identity, score, p_value, status)


SIX_VIDEOS = [
    _real("ann", 1.0, 0.8),
    _real("bob", 4.0, 0.2),
    _real("cid", None, status="abstained"),
    _fake("FaceSwap", "ann", 3.0, 0.4),
    _fake("FaceSwap", "bob", 5.0, 0.1),
    _fake("Deepfakes", "cid", 6.0, 0.1),
    _fake("Deepfakes", "dan", None, status="failed"),
    _fake(None, "eve", 0.0, 1.0),
]


def _large(people: int = 60) -> list[VideoResult]:
    rng = np.random.default_rng(0)
    videos = [_real(f"person_{index}", rng.normal()) for index in range(people)]
    for strength, name in ((2.0, "Deepfakes"), (0.5, "NeuralTextures")):
        videos += [_fake(name, f"person_{index}", rng.normal() + strength) for index in range(people)]
    return videos


def test_rows_by_hand() -> None:
    overall, deepfakes, faceswap = evaluate_videos(SIX_VIDEOS, CONFIG, seed=0, threshold=4.5)

    assert [row.group for row in (overall, deepfakes, faceswap)] == ["overall", "Deepfakes", "FaceSwap"]
    assert (overall.n_real, overall.n_fake, overall.n_identities) == (2, 4, 4)
    assert (overall.n_scored, overall.n_abstained, overall.n_failed) == (6, 1, 1)
    assert (overall.coverage_real, overall.coverage_fake) == (2 / 3, 4 / 5)
    assert overall.metrics is not None
    # Of 2 × 4 pairs: fake 3 beats one real, 5 and 6 two each, 0 none.
    assert overall.metrics.auc == 5 / 8
    assert overall.false_positive_rate_at_threshold == 0
    assert overall.true_positive_rate_at_threshold == 0.5
    assert overall.balanced_accuracy_at_threshold == 0.75
    assert overall.median_p_value_real == 0.5
    assert overall.median_p_value_fake == 0.25
    assert (deepfakes.n_real, deepfakes.n_fake, deepfakes.n_failed, deepfakes.n_abstained) == (2, 1, 1, 1)
    assert deepfakes.coverage_fake == 0.5
    assert faceswap.metrics is not None
    assert faceswap.metrics.auc == 0.75


def test_a_score_on_the_threshold_is_called_fake() -> None:
    row = evaluate_videos(SIX_VIDEOS, CONFIG, seed=0, threshold=4.0)[0]

    assert row.false_positive_rate_at_threshold == 0.5


def test_every_manipulation_meets_all_reals() -> None:
    videos = _large()
    rows = {row.group: row for row in evaluate_videos(videos, CONFIG, seed=0)}
    reals = [video.score for video in videos if video.label == 0]
    for name in ("Deepfakes", "NeuralTextures"):
        fakes = [video.score for video in videos if video.manipulation == name]
        metrics, interval = rows[name].metrics, rows[name].intervals["auc"]
        assert metrics is not None
        assert metrics.auc == auc([0] * len(reals) + [1] * len(fakes), np.array([*reals, *fakes], dtype=float))
        assert interval.low is not None
        assert interval.high is not None
        assert interval.low < metrics.auc < interval.high


def test_a_groups_figures_do_not_depend_on_the_other_groups_or_the_order() -> None:
    videos = _large()
    alone = [video for video in videos if video.manipulation != "NeuralTextures"]

    assert evaluate_videos(videos, CONFIG, seed=4)[1] == evaluate_videos(alone[::-1], CONFIG, seed=4)[1]


def _assert_nothing_is_silent(row: EvaluationRow) -> None:
    columns = json.loads(json.dumps(row.to_dict(), allow_nan=False))
    reasons = columns.pop("reasons")
    assert reasons.keys() == {name for name, value in columns.items() if value is None}
    assert all(reason for reason in reasons.values())


@pytest.mark.parametrize("threshold", [None, 2.0])
@pytest.mark.parametrize(
    "videos",
    [
        SIX_VIDEOS,
        SIX_VIDEOS[:3],  # reals only
        SIX_VIDEOS[3:],  # fakes only
        SIX_VIDEOS[2:3],  # nothing scored
        SIX_VIDEOS[6:7],
        [_real("ann", 1.0), _fake("FaceSwap", "ann", 2.0)],  # one person
        _large(3),
        _large(),
    ],
)
def test_every_missing_figure_has_its_reason(videos: list[VideoResult], threshold: float | None) -> None:
    for row in evaluate_videos(videos, CONFIG, seed=0, threshold=threshold):
        _assert_nothing_is_silent(row)


def test_reasons_by_hand() -> None:
    (reals_only,) = evaluate_videos(SIX_VIDEOS[:3], CONFIG, seed=0, threshold=4.5)
    assert reals_only.false_positive_rate_at_threshold == 0
    assert reals_only.median_p_value_real == 0.5
    assert reals_only.reasons["auc"] == reals_only.reasons["auc_low"] == "no fake video was scored"
    assert reals_only.reasons["coverage_fake"] == "there is no fake video"
    fakes_only = evaluate_videos(SIX_VIDEOS[3:], CONFIG, seed=0)[0]
    assert fakes_only.reasons["auc"] == "no real video was scored"
    assert fakes_only.reasons["true_positive_rate_at_threshold"] == "no threshold was given"
    uncalibrated = evaluate_videos(_large(), CONFIG, seed=0)[0]
    assert uncalibrated.reasons["median_p_value_real"] == "not every scored video has a p-value"
    assert "auc_low" not in uncalibrated.reasons


def test_columns_are_the_same_for_every_group() -> None:
    rows = [*evaluate_videos(SIX_VIDEOS, CONFIG, 0), *evaluate_videos(SIX_VIDEOS[:1], CONFIG, 0)]

    assert len({tuple(row.to_dict()) for row in rows}) == 1


def test_no_video_is_an_error() -> None:
    with pytest.raises(EvaluationError, match="no test video"):
        evaluate_videos([], CONFIG, seed=0)


@pytest.mark.parametrize(
    ("score", "status", "message"),
    [
        (None, "scored", "status scored cannot have the score None"),
        (1.0, "abstained", "status abstained cannot have the score 1"),
        (math.nan, "scored", "must be finite, not nan"),
        (math.inf, "scored", "must be finite, not inf"),
    ],
)
def test_videos_that_contradict_themselves_are_refused(score: float | None, status: VideoStatus, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        VideoResult(1, "Deepfakes", "ann", score, None, status)


def test_overall_is_no_manipulation() -> None:
    with pytest.raises(EvaluationError, match="group of all fakes"):
        _fake("overall", "ann", 1.0)


@pytest.mark.parametrize("label", [2, -1, None, "fake"])
def test_a_label_is_real_or_fake(label: Any) -> None:
    with pytest.raises(EvaluationError, match=r"0 \(real\) or 1 \(fake\), not"):
        VideoResult(label, None, "ann", 1.0)
