"""The evaluation's rows by hand, and that nothing undefined is silent."""

import json
import math
from typing import Any

import numpy as np
import pytest

from difffake.config import EvaluationConfig
from difffake.errors import EvaluationError
from difffake.evaluation import table as table_module
from difffake.evaluation.metrics import auc
from difffake.evaluation.results import DIFFERENTIAL, FAKE_PROBABILITY, SampleScores, VideoResult, VideoStatus
from difffake.evaluation.rows import EvaluationRow
from difffake.evaluation.table import evaluate_videos
from tests.helpers.results import many, video

CONFIG = EvaluationConfig(bootstrap_resamples=200)
SIX_SCORED = [
    video("ann", 1.0, p_value=0.8, others={FAKE_PROBABILITY: 0.1}),
    video("bob", 4.0, p_value=0.2, others={FAKE_PROBABILITY: 0.9}),
    video("cid", None, status="abstained"),
    video("ann", 3.0, "FaceSwap", p_value=0.4, others={FAKE_PROBABILITY: 0.8}),
    video("bob", 5.0, "FaceSwap", p_value=0.1, others={FAKE_PROBABILITY: None}),
    video("cid", 6.0, "Deepfakes", p_value=0.1, others={FAKE_PROBABILITY: 0.7}),
    video("dan", None, "Deepfakes", status="failed"),
    video("eve", 0.0, label=1, p_value=1.0, others={FAKE_PROBABILITY: 0.2}),
]


def rows_of(
    videos: list[VideoResult], threshold: float | None = None, seed: int = 0, **more: Any
) -> tuple[EvaluationRow, ...]:
    thresholds = {} if threshold is None else {DIFFERENTIAL: threshold}
    return evaluate_videos(videos, [DIFFERENTIAL], CONFIG, seed, thresholds=thresholds, **more)


def test_rows_by_hand() -> None:
    overall, deepfakes, faceswap = rows_of(SIX_SCORED, 4.5)

    assert [row.group for row in (overall, deepfakes, faceswap)] == ["overall", "Deepfakes", "FaceSwap"]
    assert {(row.domain, row.dataset, row.compression, row.reals_from) for row in (overall, deepfakes, faceswap)} == {
        ("ff/c23", "ff", "c23", "ff/c23")
    }
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


def test_over_all_videos_one_without_a_score_is_judged_as_wrongly_as_can_be() -> None:
    overall, deepfakes, faceswap = rows_of(SIX_SCORED, 4.5)

    for row in (overall, deepfakes, faceswap):
        assert row.metrics_all_videos is not None
    assert overall.metrics_all_videos is not None
    assert deepfakes.metrics_all_videos is not None
    assert faceswap.metrics_all_videos is not None
    # 3 × 5 pairs; nobody beats the real without a score, and the fake without one beats nobody: still 5.
    assert overall.metrics_all_videos.auc == pytest.approx(5 / 15)
    # 3 × 2: fake 6 beats two reals.
    assert deepfakes.metrics_all_videos.auc == pytest.approx(2 / 6)
    # 3 × 2: 3 beats one, 5 beats two.
    assert faceswap.metrics_all_videos.auc == pytest.approx(3 / 6)
    # The unscored real is accused with every fake: at no accused real nothing is found.
    assert overall.metrics_all_videos.true_positive_rate_at_10_percent == 0
    # Acquitted 2 of 3; found 2 of 5.
    assert overall.balanced_accuracy_at_threshold_all_videos == pytest.approx((2 / 3 + 2 / 5) / 2)


def test_where_nothing_is_scored_all_videos_are_judged_wrongly() -> None:
    (row, _) = rows_of([video("ann", None, status="failed"), video("bob", None, "FaceSwap", status="abstained")], 1.0)

    assert row.metrics is None
    assert row.metrics_all_videos is not None
    assert (row.metrics_all_videos.auc, row.metrics_all_videos.equal_error_rate) == (0, 1)
    assert row.balanced_accuracy_at_threshold_all_videos == 0


def test_scores_stand_side_by_side_and_each_has_its_own_coverage() -> None:
    rows = evaluate_videos(SIX_SCORED, [DIFFERENTIAL, FAKE_PROBABILITY], CONFIG, 0, thresholds={FAKE_PROBABILITY: 0.75})
    assert [(row.group, row.score) for row in rows[:4]] == [
        ("overall", DIFFERENTIAL),
        ("overall", FAKE_PROBABILITY),
        ("Deepfakes", DIFFERENTIAL),
        ("Deepfakes", FAKE_PROBABILITY),
    ]
    row = rows[1]
    assert row.metrics is not None
    # Fakes 0.8, 0.7 and 0.2 beat the real 0.1; none beats 0.9.
    assert row.metrics.auc == pytest.approx(3 / 6)
    assert (row.n_real, row.n_fake, row.n_scored, row.n_abstained, row.n_failed) == (2, 3, 5, 2, 1)
    assert (row.threshold, row.balanced_accuracy_at_threshold) == (0.75, pytest.approx((1 / 2 + 1 / 3) / 2))
    assert row.coverage_fake == 3 / 5
    assert row.median_p_value_real is None
    assert rows[0].threshold is None


def test_a_score_on_the_threshold_is_called_fake() -> None:
    assert rows_of(SIX_SCORED, 4.0)[0].false_positive_rate_at_threshold == 0.5


def test_every_manipulation_meets_all_reals() -> None:
    videos = many({"Deepfakes": 2.0, "NeuralTextures": 0.5})
    rows = {row.group: row for row in rows_of(videos, 0.7)}
    reals = [one.scores[DIFFERENTIAL] for one in videos if one.label == 0]
    for name in ("Deepfakes", "NeuralTextures"):
        row = rows[name]
        fakes = [one.scores[DIFFERENTIAL] for one in videos if one.manipulation == name]
        assert row.metrics is not None
        assert row.metrics.auc == auc([0] * len(reals) + [1] * len(fakes), np.array([*reals, *fakes], dtype=float))
        estimates = vars(row.metrics) | {"balanced_accuracy_at_threshold": row.balanced_accuracy_at_threshold}
        for metric, interval in row.intervals.items():
            assert interval.low is not None, metric
            assert interval.high is not None
            assert interval.low < interval.high
            assert interval.low <= estimates[metric] <= interval.high


def test_a_groups_figures_do_not_depend_on_the_other_groups_or_the_order() -> None:
    videos = many({"Deepfakes": 2.0, "NeuralTextures": 0.5})
    alone = [one for one in videos if one.manipulation != "NeuralTextures"]

    assert rows_of(videos, seed=4)[1] == rows_of(alone[::-1], seed=4)[1]
    assert rows_of(alone, seed=4)[0].intervals == rows_of(alone, seed=4)[1].intervals


def test_the_headline_is_the_first_score_on_all_fakes_of_the_first_domain_learnt_from() -> None:
    elsewhere = [video("x:1", 1.0, dataset="celeb"), video("x:1", 2.0, "swap", dataset="celeb")]
    headline = rows_of([*elsewhere, *SIX_SCORED], learnt_from={"ff"})[0]

    assert (headline.domain, headline.in_domain, headline.group, headline.level, headline.score) == (
        "ff/c23", True, "overall", "video", DIFFERENTIAL,
    )  # fmt: skip
    rows = rows_of([*elsewhere, *SIX_SCORED], learnt_from={"ff"})
    assert [row.in_domain for row in rows] == [row.dataset == "ff" for row in rows]
    # Each domain has the figures it has alone: nothing is averaged over domains.
    assert rows == (*rows_of(SIX_SCORED, learnt_from={"ff"}), *rows_of(elsewhere))


def _samples(videos: list[VideoResult], count: int) -> SampleScores:
    rng = np.random.default_rng(1)
    return SampleScores(
        "pair",
        DIFFERENTIAL,
        {one.video_key: score + rng.normal(size=count) for one in videos if (score := one.scores.get(DIFFERENTIAL))},
    )


def test_pairs_carry_the_label_and_the_person_of_their_video() -> None:
    values = {
        SIX_SCORED[0].video_key: np.array([1.0, 4.0]),
        SIX_SCORED[1].video_key: np.array([2.0]),
        SIX_SCORED[3].video_key: np.array([3.0, 5.0, 1.0]),
        SIX_SCORED[5].video_key: np.array([0.0]),
    }
    rows = rows_of(SIX_SCORED, 4.5, samples=[SampleScores("pair", DIFFERENTIAL, values)])
    assert [(row.group, row.level) for row in rows[:3]] == [
        ("overall", "video"),
        ("overall", "pair"),
        ("Deepfakes", "video"),
    ]
    overall, faceswap = rows[1], rows[5]
    assert (overall.n_real, overall.n_fake, overall.n_identities, overall.n_scored) == (3, 4, 3, 6)
    assert overall.metrics is not None
    # Reals 1, 2, 4; fake 3 beats two, 5 three, 1 ties one, 0 none: 5.5 of 12.
    assert overall.metrics.auc == pytest.approx(5.5 / 12)
    assert faceswap.metrics is not None
    assert faceswap.metrics.auc == pytest.approx(5.5 / 9)
    assert overall.threshold is None
    assert overall.metrics_all_videos is None


def test_pairs_are_resampled_by_person() -> None:
    # With equal pairs a video's pairs say what the video says, however many there are: so does the interval.
    videos = many({"swap": 1.0}, 20)
    copied = {one.video_key: np.full(16, one.scores[DIFFERENTIAL], dtype=float) for one in videos}
    of_videos, of_pairs = rows_of(videos, samples=[SampleScores("pair", DIFFERENTIAL, copied)])[:2]

    assert of_pairs.n_real == 16 * of_videos.n_real
    for metric in ("auc", "average_precision", "equal_error_rate"):
        pairs, whole = of_pairs.intervals[metric], of_videos.intervals[metric]
        assert (pairs.low, pairs.high) == pytest.approx((whole.low, whole.high))


def test_very_many_pairs_get_fewer_resamples_and_the_row_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    videos = many({"swap": 1.0}, 20)
    monkeypatch.setattr(table_module, "_MOST_RESAMPLED", 50 * 40 * 10)
    of_videos, of_pairs = rows_of(videos, samples=[_samples(videos, 10)])[:2]

    assert of_videos.to_dict()["bootstrap_resamples_used"] == 200
    assert of_pairs.to_dict()["bootstrap_resamples_used"] == 50


def _assert_nothing_is_silent(row: EvaluationRow) -> None:
    columns = json.loads(json.dumps(row.to_dict(), allow_nan=False))
    reasons = columns.pop("reasons")
    assert reasons.keys() == {name for name, value in columns.items() if value is None}
    assert all(reason for reason in reasons.values())


@pytest.mark.parametrize("threshold", [None, 2.0])
@pytest.mark.parametrize(
    "videos",
    [
        SIX_SCORED,
        SIX_SCORED[:3],  # reals only
        SIX_SCORED[3:],  # fakes only
        SIX_SCORED[2:3],  # nothing scored
        SIX_SCORED[6:7],
        [video("ann", 1.0), video("ann", 2.0, "FaceSwap")],  # one person
        [video("ann", 1.0, compression=None), video("ann", 2.0, "FaceSwap", compression=None)],
        many({"swap": 1.0}, 3),
        many({"swap": 1.0}),
    ],
)
def test_every_missing_figure_has_its_reason(videos: list[VideoResult], threshold: float | None) -> None:
    thresholds = {} if threshold is None else {DIFFERENTIAL: threshold}
    scores = [DIFFERENTIAL, FAKE_PROBABILITY, "fusion"]
    rows = evaluate_videos(videos, scores, CONFIG, 0, thresholds=thresholds, samples=[_samples(videos, 3)])
    for row in rows:
        _assert_nothing_is_silent(row)
    assert len({tuple(row.to_dict()) for row in rows}) == 1


def test_reasons_by_hand() -> None:
    (reals_only,) = rows_of(SIX_SCORED[:3], 4.5)
    assert reals_only.false_positive_rate_at_threshold == 0
    assert reals_only.median_p_value_real == 0.5
    assert reals_only.reasons["auc"] == reals_only.reasons["auc_low"] == "no fake video was scored"
    assert reals_only.reasons["auc_all_videos"] == reals_only.reasons["coverage_fake"] == "there is no fake video"
    fakes_only = rows_of(SIX_SCORED[3:])[0]
    assert fakes_only.reasons["auc"] == fakes_only.reasons["reals_from"]
    assert fakes_only.reasons["auc"] == "the domain has no real video, and there is none its fakes were made of"
    assert fakes_only.reasons["true_positive_rate_at_threshold"] == "the score has no threshold"
    assert fakes_only.reasons["balanced_accuracy_at_threshold_low"] == "the score has no threshold"
    unscored_reals = rows_of(SIX_SCORED[2:])[0]
    assert unscored_reals.reasons["auc"] == "no real video was scored"
    uncalibrated = rows_of(many({"swap": 1.0}))[0]
    assert uncalibrated.reasons["median_p_value_real"] == "not every scored video has a p-value"
    assert "auc_low" not in uncalibrated.reasons
    pairs = rows_of(SIX_SCORED, 4.5, samples=[_samples(SIX_SCORED, 2)])[1]
    assert pairs.reasons["auc_all_videos"] == pairs.reasons["threshold"] == "a figure of videos, not of pairs"


def test_no_video_and_no_score_are_errors() -> None:
    with pytest.raises(EvaluationError, match="no test video"):
        rows_of([])
    with pytest.raises(EvaluationError, match="at least one score"):
        evaluate_videos(SIX_SCORED, [], CONFIG, 0)


@pytest.mark.parametrize(
    ("score", "status", "message"),
    [
        (None, "scored", r"status scored cannot have the scores \{\}"),
        (math.nan, "scored", "differential of .* must be finite, not nan"),
        (math.inf, "scored", "must be finite, not inf"),
    ],
)
def test_videos_that_contradict_themselves_are_refused(score: float | None, status: VideoStatus, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        video("ann", score, "Deepfakes", status=status)
    with pytest.raises(EvaluationError, match="status abstained cannot have the scores"):
        VideoResult("v", "ff", None, 1, None, "ann", {DIFFERENTIAL: 1.0}, status="abstained")


def test_overall_is_no_manipulation() -> None:
    with pytest.raises(EvaluationError, match="group of all fakes"):
        video("ann", 1.0, "overall")


@pytest.mark.parametrize("label", [2, -1, None, "fake"])
def test_a_label_is_real_or_fake(label: Any) -> None:
    with pytest.raises(EvaluationError, match=r"0 \(real\) or 1 \(fake\), not"):
        VideoResult("v", "ff", None, label, None, "ann", {DIFFERENTIAL: 1.0})
