import numpy as np
import pytest
from scipy.stats import beta

from difffake.differential.calibration import fit_calibration
from difffake.evaluation.false_positive_figure import accused_share, false_positive_figure


def test_the_interval_is_clopper_and_pearsons() -> None:
    share, low, high = accused_share([0.01, 0.05, 0.2, 0.9, 1.0], 0.05, 0.95)
    assert share == 2 / 5
    assert low == pytest.approx(beta.ppf(0.025, 2, 4))
    assert high == pytest.approx(beta.ppf(0.975, 3, 3))


def test_fresh_reals_like_the_calibrations_are_accused_as_stated() -> None:
    rng = np.random.default_rng(0)
    kept = 0
    for _ in range(200):
        calibration = fit_calibration(rng.gamma(2.0, size=99), 0.1)
        p_values = [calibration.p_value(score) for score in rng.gamma(2.0, size=60)]
        _, low, high = accused_share(p_values, calibration.stated_false_positive_rate, 0.95)
        kept += low <= calibration.stated_false_positive_rate <= high
    # The calibration is drawn as well, which widens the spread a little beyond the binomial's.
    assert kept >= 170


def test_domains_without_p_values_are_left_out_and_an_empty_figure_says_so() -> None:
    figure = false_positive_figure({"a/c23": [0.2, 0.6], "b": []}, 0.05, 0.95)
    (legend,) = [axes.get_legend() for axes in figure.axes]
    labels = [text.get_text() for text in legend.get_texts()]
    assert [label for label in labels if label.startswith("a/c23")] == ["a/c23: 0% of 2 at 5.0% [0%, 84%]"]
    assert not any(label.startswith("b") for label in labels)
    empty = false_positive_figure({"b": []}, 0.05, 0.95)
    assert "No real test video" in empty.axes[0].texts[0].get_text()
