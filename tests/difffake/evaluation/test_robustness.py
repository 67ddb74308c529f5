"""Curves over perturbations: hand-counted areas, paired changes, gaps named, and a figure that shows the table."""

import io
import warnings

import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.metrics import roc_auc_score

from difffake.errors import EvaluationError
from difffake.evaluation.bootstrap import bootstrap_auc_change, bootstrap_interval
from difffake.evaluation.curves import area_under_curve
from difffake.evaluation.robustness import CLEAN, JudgedVideos, Resampling, RobustnessRow, evaluate_robustness
from difffake.evaluation.robustness_figure import robustness_figure
from difffake.perturbations.perturbation import Perturbation

BLUR = Perturbation("gaussian_blur", 2)
CRF = Perturbation("h264_crf", 35)
RESAMPLING = Resampling(200, 0.95, 3)
SIX = JudgedVideos([0, 0, 0, 1, 1, 1], ["ann", "bob", "cid", "ann", "bob", "dee"])


def many(count: int = 120) -> tuple[JudgedVideos, dict[str, list[float | None]], np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 2
    difficulty = rng.normal(size=count)
    videos = JudgedVideos(labels.tolist(), [f"person {index // 2}" for index in range(count)])
    return videos, {"anomaly": (difficulty + 1.5 * labels).tolist()}, difficulty


def by_name(rows: tuple[RobustnessRow, ...]) -> dict[tuple[str, int, str], RobustnessRow]:
    return {(row.perturbation, row.level, row.score): row for row in rows}


def test_areas_changes_and_coverage_counted_by_hand() -> None:
    clean = {"anomaly": [1.0, 2.0, 3.0, 2.5, 4.0, 5.0], "backbone": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]}
    blurred = {"anomaly": [1.0, 2.0, 3.0, 2.5, None, 1.5], "backbone": [0.1, 0.2, 0.3, 0.2, None, 0.6]}
    rows = by_name(evaluate_robustness(SIX, clean, {BLUR: blurred}, RESAMPLING))
    # Of nine pairs clean anomaly wins all but 2.5 against 3.
    assert rows[CLEAN, 0, "anomaly"].auc == pytest.approx(8 / 9)
    assert rows[CLEAN, 0, "backbone"].auc == 1
    assert rows[CLEAN, 0, "anomaly"].auc_change is None
    assert (rows[CLEAN, 0, "anomaly"].n_real, rows[CLEAN, 0, "anomaly"].n_fake) == (3, 3)
    # Of six pairs: 2.5 beats 1 and 2, 1.5 beats 1. On the same five videos the clean one won five.
    blur = rows["gaussian_blur", 2, "anomaly"]
    assert blur.auc == pytest.approx(3 / 6)
    assert blur.auc_change == pytest.approx(3 / 6 - 5 / 6)
    assert (blur.n_real, blur.n_fake, blur.n_unscored) == (3, 2, 1)
    assert (blur.coverage_real, blur.coverage_fake) == (1, pytest.approx(2 / 3))
    assert blur.value == 9
    # A tie counts one half.
    assert rows["gaussian_blur", 2, "backbone"].auc == pytest.approx((1.5 + 3) / 6)


def test_rows_come_clean_first_then_in_the_order_of_the_conditions() -> None:
    videos, scores, _ = many()
    rows = evaluate_robustness(videos, scores, {CRF: scores, BLUR: scores}, RESAMPLING)
    assert [(row.perturbation, row.level) for row in rows] == [(CLEAN, 0), ("h264_crf", 35), ("gaussian_blur", 2)]


def test_nothing_changed_is_a_change_of_nothing_and_the_same_interval() -> None:
    videos, scores, _ = many()
    clean, blur = evaluate_robustness(videos, scores, {BLUR: scores}, RESAMPLING)
    assert (blur.auc, blur.auc_low, blur.auc_high) == (clean.auc, clean.auc_low, clean.auc_high)
    assert blur.auc_change == 0
    assert blur.auc_change_low is None
    assert "every resample gives 0" in str(blur.auc_change_reason)


def test_the_paired_interval_is_that_of_resampled_identities_drawn_once_for_both() -> None:
    videos, scores, difficulty = many()
    labels, names = np.array(videos.labels), np.array(videos.identities)
    before = np.array(scores["anomaly"], dtype=float)
    after = difficulty + 0.9 * labels + 0.2 * np.random.default_rng(1).normal(size=len(labels))
    interval = bootstrap_auc_change(labels, after, before, names.tolist(), 2000, 0.9, np.random.default_rng(5))

    rng = np.random.default_rng(77)
    people = np.unique(names)
    of_person = {person: np.flatnonzero(names == person) for person in people}
    changes = []
    for _ in range(2000):
        drawn = np.concatenate([of_person[person] for person in rng.choice(people, len(people))])
        changes.append(roc_auc_score(labels[drawn], after[drawn]) - roc_auc_score(labels[drawn], before[drawn]))
    expected = np.quantile(changes, (0.05, 0.95))
    assert (interval.low, interval.high) == pytest.approx(tuple(expected), abs=0.01)
    alone = bootstrap_interval(labels, after, names.tolist(), area_under_curve, 2000, 0.9, np.random.default_rng(5))
    assert interval.low is not None
    assert interval.high is not None
    assert alone.low is not None
    assert alone.high is not None
    assert interval.high - interval.low < 0.9 * (alone.high - alone.low)


def test_where_no_video_of_a_class_is_left_the_row_says_so() -> None:
    clean: dict[str, list[float | None]] = {"anomaly": [1.0, 2.0, 3.0, 2.5, 4.0, 5.0]}
    lost: dict[str, list[float | None]] = {"anomaly": [1.0, 2.0, 3.0, None, None, None]}
    _, row = evaluate_robustness(SIX, clean, {BLUR: lost}, RESAMPLING)
    assert row.auc is row.auc_low is row.auc_change is None
    assert row.auc_reason == "no fake video was scored"
    assert row.auc_change_reason == "no fake video was scored in both conditions"
    assert (row.coverage_real, row.coverage_fake, row.n_unscored) == (1, 0, 3)


def test_no_video_and_lengths_that_differ_are_errors() -> None:
    with pytest.raises(EvaluationError, match="no test video to perturb"):
        evaluate_robustness(JudgedVideos([], []), {"anomaly": []}, {}, RESAMPLING)
    with pytest.raises(EvaluationError, match="6 videos want as many scores"):
        evaluate_robustness(SIX, {"anomaly": [1.0] * 6}, {BLUR: {"anomaly": [1.0] * 5}}, RESAMPLING)


def render(figure: Figure) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(io.BytesIO(), format="png")


def test_each_perturbation_has_a_panel_that_starts_at_the_clean_area() -> None:
    videos, scores, difficulty = many()
    labels = np.array(videos.labels)
    perturbed = {
        Perturbation(name, level): {"anomaly": (difficulty + (1.5 - 0.25 * level) * labels).tolist()}
        for name in ("gaussian_blur", "video_compression")
        for level in (1, 3, 5)
    } | {CRF: scores}
    rows = evaluate_robustness(videos, scores, perturbed, RESAMPLING)
    figure = robustness_figure(rows, 0.95)
    render(figure)
    panels = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title(loc="left") for axes in panels] == [
        "Gaussian blur", "Video compression", "H.264 re-encoding",
    ]  # fmt: skip
    curve = next(line for line in panels[0].lines if line.get_label() == "anomaly")
    wanted = [row.auc for row in rows if row.perturbation in (CLEAN, "gaussian_blur")]
    np.testing.assert_allclose(curve.get_ydata(), wanted)
    assert [label.get_text() for label in panels[0].get_xticklabels()] == ["clean", "1\n7", "3\n13", "5\n21"]
    assert [label.get_text() for label in panels[2].get_xticklabels()] == ["clean", "35"]


def test_losses_are_written_beside_the_curve_and_nothing_measured_is_said() -> None:
    clean = {"anomaly": [1.0, 2.0, 3.0, 2.5, 4.0, 5.0]}
    some = {"anomaly": [1.0, 2.0, 3.0, 2.5, None, 1.5]}
    none = {"anomaly": [1.0, 2.0, 3.0, None, None, None]}
    rows = evaluate_robustness(SIX, clean, {BLUR: some, Perturbation("gaussian_blur", 5): none}, RESAMPLING)
    figure = robustness_figure(rows, 0.95)
    render(figure)
    assert [text.get_text() for text in figure.axes[0].texts] == ["1 lost", "×"]
    empty = robustness_figure(evaluate_robustness(SIX, clean, {}, RESAMPLING), 0.95)
    render(empty)
    assert "No perturbation" in empty.axes[0].texts[0].get_text()
