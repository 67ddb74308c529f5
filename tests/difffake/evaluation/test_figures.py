"""What the figures draw: the curves are the metrics, the legends carry n and intervals, nothing fails on few videos."""

import io
import warnings

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from difffake.config import EvaluationConfig
from difffake.differential.calibration import fit_calibration
from difffake.evaluation.figures import (
    calibration_figure,
    roc_figure,
    score_histogram_figure,
    training_curves_figure,
)
from difffake.evaluation.plot_style import number, score_limits
from difffake.evaluation.table import VideoResult, evaluate_videos

CONFIG = EvaluationConfig(bootstrap_resamples=100)
TINY = [
    VideoResult(0, None, "ann", -5210.0),
    VideoResult(0, None, "bob", -5190.0),
    VideoResult(0, None, "cid", -5300.0),
    VideoResult(1, "FaceSwap", "ann", -5100.0),
    VideoResult(1, "FaceSwap", "bob", -5195.0),
    VideoResult(1, None, "cid", -4900.0),
]
UNSCORED = [VideoResult(0, None, "ann", None, status="abstained"), VideoResult(1, "Real", "bob", None, status="failed")]


def _large() -> list[VideoResult]:
    rng = np.random.default_rng(0)
    videos = [VideoResult(0, None, f"person_{index}", rng.normal()) for index in range(80)]
    for strength, name in enumerate(["Real", "Fake", "Deepfakes", "FaceSwap", "a", "b", "c", "d", "e"]):
        videos += [VideoResult(1, name, f"person_{index}", rng.normal() + strength / 3) for index in range(40)]
    return [*videos, VideoResult(1, "Deepfakes", "person_0", 1e6), *UNSCORED]


def _render(figure: Figure) -> Axes:
    """Draw without a warning, and hand back the first axes."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(io.BytesIO(), format="png")
    return figure.axes[0]


def _texts(axes: Axes) -> str:
    legend = axes.get_legend()
    shown = [*axes.texts, *axes.get_yticklabels(), *(legend.get_texts() if legend else [])]
    return "\n".join(text.get_text() for text in shown)


@pytest.mark.parametrize("videos", [TINY, _large()], ids=["tiny", "large"])
def test_roc_curves_enclose_the_areas_of_the_table(videos: list[VideoResult]) -> None:
    rows = evaluate_videos(videos, CONFIG, seed=0)
    axes = _render(roc_figure(videos, rows, CONFIG, seed=0))
    curves = [line for line in axes.lines if not str(line.get_label()).startswith("_")]

    assert len(curves) == len(rows)
    for line, row in zip(curves, rows, strict=True):
        assert row.metrics is not None
        assert np.trapezoid(*np.asarray(line.get_data())[::-1]) == pytest.approx(row.metrics.auc)
        assert f"{row.metrics.auc:.3f} [" in str(line.get_label())
        assert f"{row.n_fake} fake, {row.n_real} real, {row.n_identities} identities" in str(line.get_label())


def test_roc_legend_says_what_is_not_estimable_or_not_defined() -> None:
    videos = [
        *TINY[:3],
        VideoResult(1, "FaceSwap", "ann", -5000.0),
        VideoResult(1, "Deepfakes", "x", None, status="failed"),
    ]
    shown = _texts(_render(roc_figure(videos, evaluate_videos(videos, CONFIG, 0), CONFIG, 0)))

    assert "FaceSwap   1.000 [not estimable]" in shown
    assert "Deepfakes: no fake video was scored" in shown


@pytest.mark.parametrize("videos", [TINY[:3], TINY[3:], UNSCORED])
def test_figures_without_a_curve_say_why(videos: list[VideoResult]) -> None:
    axes = _render(roc_figure(videos, evaluate_videos(videos, CONFIG, 0), CONFIG, 0))

    assert "No curve: no " in _texts(axes)
    assert "No video was scored" in _texts(_render(score_histogram_figure(UNSCORED, 1.0)))


def test_score_lanes_hold_every_video_and_its_verdict() -> None:
    axes = _render(score_histogram_figure(TINY, threshold=-5100.0))
    shown = _texts(axes)

    for words in ("Real\nn = 3", "FaceSwap\nn = 2", "Other fakes\nn = 1", "0% called fake", "50% called fake"):
        assert words in shown
    assert "threshold −5,100" in shown
    drawn = sorted(float(x) for dots in axes.collections for x in np.asarray(dots.get_offsets())[:, 0])
    assert drawn == sorted(video.score for video in TINY if video.score is not None)


def test_manipulations_named_like_the_classes_keep_their_own_lanes() -> None:
    ticks = [text.get_text() for text in _render(score_histogram_figure(_large())).get_yticklabels()]

    assert ticks.count("Real\nn = 80") == 1
    assert ticks.count("Real\nn = 40") == 1


def test_extreme_scores_do_not_squash_the_axis_and_are_counted() -> None:
    axes = _render(score_histogram_figure(_large(), threshold=2.0))

    assert axes.get_xlim()[1] < 100
    assert "1 beyond" in _texts(axes)


def test_limits_by_hand() -> None:
    # Quartiles 2 and 4, so scores beyond 2 − 8 and 4 + 8 are outliers; margin 5 %.
    assert score_limits([1, 2, 3, 4, 1000], []) == pytest.approx((1 - 0.15, 4 + 0.15))
    assert score_limits([1, 2, 3, 4, 1000], [21]) == pytest.approx((0, 22))
    low, high = score_limits([7.0], [])
    assert low < 7 < high


@pytest.mark.parametrize(
    ("value", "text"), [(-5210.4, "−5,210"), (0.123456, "0.1235"), (0.0, "0"), (2e12, "2e+12"), (-12.5, "−12.5")]
)
def test_numbers_in_labels(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize("epochs", [0, 1, 4, 100])
def test_training_curves_mark_the_best_epoch(epochs: int) -> None:
    aucs = [0.5, 0.9, float("nan"), 0.8, *([0.7] * 96)][:epochs]
    history = [
        {"epoch": index + 1, "train_loss": 1 / (index + 1), "validation_auc": auc, "learning_rate": 1e-3}
        for index, auc in enumerate(aucs)
    ]
    figure = training_curves_figure(history)
    _render(figure)

    assert len(figure.axes) == 3
    if epochs > 1:
        assert "best 0.900, epoch 2" in _texts(figure.axes[1])
        np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), [row["train_loss"] for row in history])


@pytest.mark.parametrize("count", [1, 4, 300])
def test_calibration_curve_is_the_p_value(count: int) -> None:
    rng = np.random.default_rng(count)
    calibration = fit_calibration(rng.standard_t(2, size=count), 0.05)
    suspects = [(f"clip_{index}.mp4", float(score)) for index, score in enumerate([-3.0, 0.0, 2.5, 1e7])]
    axes = _render(calibration_figure(calibration, suspects))
    curve = axes.lines[0]
    edges, steps = np.asarray(curve.get_xdata(), dtype=float), np.asarray(curve.get_ydata(), dtype=float)

    assert (np.diff(edges) >= 0).all()
    for score in np.linspace(*axes.get_xlim(), 50)[1:-1]:
        assert steps[np.searchsorted(edges, score) - 1] == pytest.approx(calibration.p_value(score))
    for name, score in suspects:
        assert f"{name}   score {number(score)}, p = {calibration.p_value(score):.3g}" in _texts(axes)


def test_calibration_figure_carries_the_warning_and_counts_what_it_leaves_out() -> None:
    figure = calibration_figure(fit_calibration([1.0, 2.0], 0.05), [(f"clip_{index}", index) for index in range(15)])
    axes = _render(figure)

    assert "at least 19 videos" in figure.get_supxlabel()
    assert "… and 3 more, not marked" in _texts(axes)
