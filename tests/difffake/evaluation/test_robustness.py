"""Curves over perturbations: hand-counted areas, paired changes, gaps named, and a figure that shows the table."""

import io
import warnings
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pytest
from matplotlib.figure import Figure

from difffake.errors import EvaluationError
from difffake.evaluation.bootstrap import bootstrap_auc_change, bootstrap_interval
from difffake.evaluation.curves import area_under_curve
from difffake.evaluation.results import VideoResult
from difffake.evaluation.robustness import CLEAN, Resampling, RobustnessRow, evaluate_robustness
from difffake.evaluation.robustness_figure import robustness_figure
from difffake.perturbations.perturbation import Perturbation

BLUR = Perturbation("gaussian_blur", 2)
CRF = Perturbation("h264_crf", 35)
RESAMPLING = Resampling(200, 0.95, 3)
SCORES = ("differential", "fake_probability")
Column = Sequence[float | None]


def results(
    differential: Column,
    fake_probability: Column | None = None,
    people: Sequence[str] = ("ann", "bob", "cid", "ann", "bob", "dee"),
    dataset: str = "ff",
) -> list[VideoResult]:
    """Videos of which the first half is real."""
    half = len(differential) // 2
    other = fake_probability or [None] * len(differential)
    return [
        VideoResult(
            video_key=f"{dataset}/{index}",
            dataset=dataset,
            compression="c23",
            label=1 if index >= half else 0,
            manipulation="Deepfakes" if index >= half else None,
            identity=people[index],
            scores={"differential": score, "fake_probability": other[index]},
            status="abstained" if score is None and other[index] is None else "scored",
        )
        for index, score in enumerate(differential)
    ]


def evaluate(
    clean: Sequence[VideoResult],
    perturbed: Mapping[Perturbation, Sequence[VideoResult]],
    scores: Sequence[str] = ("differential",),
    learnt_from: Collection[str] = ("ff",),
) -> tuple[RobustnessRow, ...]:
    return evaluate_robustness(clean, perturbed, scores, learnt_from, RESAMPLING)


def many(strength: float, noise: float = 0.0, count: int = 120) -> tuple[list[VideoResult], np.ndarray, list[str]]:
    """Fakes above reals by so much, over a difficulty that stays, with as much noise of their own."""
    difficulty = np.random.default_rng(0).normal(size=count)
    labels = np.arange(count) // (count // 2)
    scores = difficulty + strength * labels + noise * np.random.default_rng(1).normal(size=count)
    people = [f"person {index % (count // 2)}" for index in range(count)]
    return results(scores.tolist(), people=people), scores, people


def by_name(rows: tuple[RobustnessRow, ...]) -> dict[tuple[str, int, str], RobustnessRow]:
    return {(row.perturbation, row.level, row.score): row for row in rows}


def test_areas_changes_and_coverage_counted_by_hand() -> None:
    clean = results([1.0, 2.0, 3.0, 2.5, 4.0, 5.0], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    blurred = results([1.0, 2.0, 3.0, 2.5, None, 1.5], [0.1, 0.2, 0.3, 0.2, None, 0.6])
    rows = by_name(evaluate(clean, {BLUR: blurred}, SCORES))
    # Of nine pairs the clean score wins all but 2.5 against 3.
    assert rows[CLEAN, 0, "differential"].auc == pytest.approx(8 / 9)
    assert rows[CLEAN, 0, "fake_probability"].auc == 1
    assert rows[CLEAN, 0, "differential"].auc_change is None
    assert rows[CLEAN, 0, "differential"].value is None
    assert (rows[CLEAN, 0, "differential"].n_real, rows[CLEAN, 0, "differential"].n_fake) == (3, 3)
    assert rows[CLEAN, 0, "differential"].domain == "ff/c23"
    assert rows[CLEAN, 0, "differential"].in_domain
    # Of six pairs: 2.5 beats 1 and 2, 1.5 beats 1. On the same five videos the clean one won five.
    blur = rows["gaussian_blur", 2, "differential"]
    assert blur.auc == pytest.approx(3 / 6)
    assert blur.auc_change == pytest.approx(3 / 6 - 5 / 6)
    assert (blur.n_real, blur.n_fake, blur.n_unscored) == (3, 2, 1)
    assert (blur.coverage_real, blur.coverage_fake) == (1, pytest.approx(2 / 3))
    assert blur.value == 9
    # A tie counts one half.
    assert rows["gaussian_blur", 2, "fake_probability"].auc == pytest.approx((1.5 + 3) / 6)


def test_rows_come_clean_first_then_in_the_order_of_the_conditions() -> None:
    videos, _, _ = many(1.5)
    rows = evaluate(videos, {CRF: videos, BLUR: videos})
    assert [(row.perturbation, row.level) for row in rows] == [(CLEAN, 0), ("h264_crf", 35), ("gaussian_blur", 2)]


def test_domains_are_never_mixed_and_one_does_not_change_the_other() -> None:
    near = results([1.0, 2.0, 3.0, 2.5, 4.0, 5.0])
    far = results([11.0, 12.0, 13.0, 9.0, 14.0, 15.0], dataset="other")
    rows = evaluate([*far, *near], {BLUR: [*far, *near]})
    assert [(row.domain, row.in_domain) for row in rows] == [("ff/c23", True)] * 2 + [("other/c23", False)] * 2
    assert rows[:2] == evaluate(near, {BLUR: near})
    assert rows[2].auc == pytest.approx(6 / 9)


def test_nothing_changed_is_a_change_of_nothing_and_the_same_interval() -> None:
    videos, _, _ = many(1.5)
    clean, blur = evaluate(videos, {BLUR: videos})
    assert (blur.auc, blur.auc_low, blur.auc_high) == (clean.auc, clean.auc_low, clean.auc_high)
    assert clean.auc_low is not None
    assert blur.auc_change == 0
    assert blur.auc_change_low is None
    assert "every resample gives 0" in blur.reasons["auc_change_low"]


def test_the_paired_interval_is_that_of_resampled_identities_drawn_once_for_both() -> None:
    _, before, people = many(1.5)
    _, after, _ = many(0.9, noise=0.2)
    names, labels = np.array(people), np.arange(120) // 60
    interval = bootstrap_auc_change(labels, after, before, people, 2000, 0.9, np.random.default_rng(5))

    rng = np.random.default_rng(77)
    distinct = np.unique(names)
    of_person = {person: np.flatnonzero(names == person) for person in distinct}
    # Of a fake (row) and a real (column): by how much more they are in the right order after than before.
    order = [np.sign(np.subtract.outer(scores, scores)) / 2 for scores in (np.asarray(after), np.asarray(before))]
    gain = order[0] - order[1]
    changes = []
    for _ in range(2000):
        drawn = np.concatenate([of_person[person] for person in rng.choice(distinct, len(distinct))])
        changes.append(gain[np.ix_(drawn[labels[drawn] == 1], drawn[labels[drawn] == 0])].mean())
    expected = np.quantile(changes, (0.05, 0.95))
    assert (interval.low, interval.high) == pytest.approx(tuple(expected), abs=0.01)
    alone = bootstrap_interval(labels, after, people, area_under_curve, 2000, 0.9, np.random.default_rng(5))
    assert interval.low is not None
    assert interval.high is not None
    assert alone.low is not None
    assert alone.high is not None
    assert interval.high - interval.low < 0.9 * (alone.high - alone.low)


def test_where_no_video_of_a_class_is_left_the_row_says_so() -> None:
    clean = results([1.0, 2.0, 3.0, 2.5, 4.0, 5.0])
    lost = results([1.0, 2.0, 3.0, None, None, None])
    _, row = evaluate(clean, {BLUR: lost})
    assert row.auc is row.auc_low is row.auc_change is None
    assert row.reasons["auc"] == "no fake video was scored"
    assert row.reasons["auc_change"] == "no fake video was scored in both conditions"
    assert (row.coverage_real, row.coverage_fake, row.n_unscored) == (1, 0, 3)
    assert row.to_dict()["reasons"] == row.reasons


def test_no_video_and_other_videos_are_errors() -> None:
    videos = results([1.0, 2.0, 3.0, 2.5, 4.0, 5.0])
    with pytest.raises(EvaluationError, match="no test video"):
        evaluate([], {})
    with pytest.raises(EvaluationError, match="was not measured on the 6 videos"):
        evaluate(videos, {BLUR: videos[1:]})


def render(figure: Figure) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(io.BytesIO(), format="png")


def test_each_perturbation_has_a_panel_that_starts_at_the_clean_area() -> None:
    videos, _, _ = many(1.5)
    perturbed = {
        Perturbation(name, level): many(1.5 - 0.25 * level)[0]
        for name in ("gaussian_blur", "video_compression")
        for level in (1, 3, 5)
    } | {CRF: videos}
    rows = evaluate(videos, perturbed)
    figure = robustness_figure(rows, 0.95)
    render(figure)
    panels = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title(loc="left") for axes in panels] == [
        "Gaussian blur", "Video compression", "H.264 re-encoding",
    ]  # fmt: skip
    curve = next(line for line in panels[0].lines if line.get_label() == "differential")
    wanted = [row.auc for row in rows if row.perturbation in (CLEAN, "gaussian_blur")]
    np.testing.assert_allclose(curve.get_ydata(), wanted)
    assert [label.get_text() for label in panels[0].get_xticklabels()] == ["clean", "1\n7", "3\n13", "5\n21"]
    assert [label.get_text() for label in panels[2].get_xticklabels()] == ["clean", "35"]


def test_losses_are_written_beside_the_curve_and_nothing_measured_is_said() -> None:
    clean = results([1.0, 2.0, 3.0, 2.5, 4.0, 5.0])
    some = results([1.0, 2.0, 3.0, 2.5, None, 1.5])
    none = results([1.0, 2.0, 3.0, None, None, None])
    figure = robustness_figure(evaluate(clean, {BLUR: some, Perturbation("gaussian_blur", 5): none}), 0.95)
    render(figure)
    assert [text.get_text() for text in figure.axes[0].texts] == ["×", "1 lost", "3 lost"]
    empty = robustness_figure(evaluate(clean, {}), 0.95)
    render(empty)
    assert "No perturbation" in empty.axes[0].texts[0].get_text()
