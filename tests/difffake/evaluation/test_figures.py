"""What the figures draw: the curves are the metrics, the legends carry n and intervals, nothing fails on few videos."""

import io
import warnings

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from difffake.differential.calibration import fit_calibration
from difffake.evaluation.figures import (
    calibration_figure,
    training_curves_figure,
)
from difffake.evaluation.plot_style import new_figure, number, png, score_limits


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


@pytest.mark.parametrize("is_laid_out", [True, False])
def test_a_picture_has_the_pixels_of_savefig(is_laid_out: bool) -> None:
    def drawn() -> Figure:
        figure = new_figure(4, 3)
        if not is_laid_out:
            figure.set_layout_engine("none")
        axes = figure.subplots(1, 2)
        axes[0].plot([1, 2], [3, 1], label="a curve")
        axes[0].legend()
        axes[1].imshow(np.arange(16).reshape(4, 4))
        axes[1].set_title("one\ntwo\nthree")
        figure.colorbar(axes[1].images[0], ax=axes[1])
        return figure

    for dpi in (150, 80):
        saved = io.BytesIO()
        drawn().savefig(saved, format="png", dpi=dpi)
        expected = np.asarray(Image.open(saved))
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png(drawn(), dpi)))), expected)


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
