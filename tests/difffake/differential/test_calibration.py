"""Conformal p-values by hand, their guarantee by simulation, and the widening with few videos."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from difffake.differential.calibration import Calibration, fit_calibration, videos_needed
from difffake.errors import ArtefactError, CalibrationError

finite = st.floats(allow_nan=False, allow_infinity=False, width=32)
rates = st.floats(0.001, 0.999)


def test_p_values_by_hand() -> None:
    calibration = fit_calibration([3.0, 1.0, 2.0, 2.0], false_positive_rate=0.4)

    assert calibration.scores == (1.0, 2.0, 2.0, 3.0)
    assert [calibration.p_value(score) for score in (0.0, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5)] == [
        1.0,  # all 4 at or above: 5/5
        1.0,
        0.8,
        0.8,  # ties count against the suspect's being unusual
        0.4,
        0.4,
        0.2,
    ]
    assert [calibration.is_anomalous(score) for score in (2.0, 2.0000001, 3.0, 3.5)] == [False, True, True, True]
    assert calibration.threshold == math.nextafter(2.0, math.inf)
    assert calibration.warning is None


def test_one_video_can_only_state_a_rate_of_one_half() -> None:
    calibration = fit_calibration([1.5], false_positive_rate=0.05)

    assert calibration.stated_false_positive_rate == 0.5
    assert calibration.is_anomalous(1.6)
    assert not calibration.is_anomalous(1.5)
    assert calibration.warning is not None
    for words in ("on 1 real video,", "below 50.0%", "requested 5.0%", "at least 19 videos"):
        assert words in calibration.warning


def test_nineteen_videos_attain_five_percent_and_eighteen_do_not() -> None:
    assert fit_calibration(range(19), 0.05).warning is None
    assert fit_calibration(range(19), 0.05).stated_false_positive_rate == 0.05
    wider = fit_calibration(range(18), 0.05)
    assert wider.stated_false_positive_rate == pytest.approx(1 / 19)
    assert "18 real videos" in str(wider.warning)
    for calibration in (fit_calibration(range(19), 0.05), wider):
        top = len(calibration.scores) - 1
        assert calibration.is_anomalous(top + 0.5)
        assert not calibration.is_anomalous(top)


@pytest.mark.parametrize(("rate", "videos"), [(0.05, 19), (0.01, 99), (0.1, 9), (0.5, 1), (0.9, 1), (0.07, 14)])
def test_videos_needed_by_hand(rate: float, videos: int) -> None:
    assert videos_needed(rate) == videos


def test_videos_needed_is_the_fewest_that_draw_no_warning() -> None:
    for count in range(1, 300):
        rate = 1 / (count + 1)
        assert videos_needed(rate) == count
        assert fit_calibration(range(count), rate).warning is None
        if count > 1:
            assert fit_calibration(range(count - 1), rate).warning is not None


@settings(deadline=None)
@given(st.lists(finite, min_size=1, max_size=60), rates, finite)
def test_p_value_verdict_and_threshold_agree(scores: list[float], rate: float, score: float) -> None:
    calibration = fit_calibration(scores, rate)
    for candidate in (score, calibration.threshold, math.nextafter(calibration.threshold, -math.inf), *scores[:3]):
        counted = (1 + sum(other >= candidate for other in scores)) / (len(scores) + 1)
        assert calibration.p_value(candidate) == counted
        assert calibration.is_anomalous(candidate) == (counted <= calibration.stated_false_positive_rate)
        assert calibration.is_anomalous(candidate) == (candidate >= calibration.threshold)


@pytest.mark.parametrize("denominator", [10, 20, 50, 97, 100])
def test_rates_written_as_decimals_are_reached_exactly(denominator: int) -> None:
    for rank in range(1, denominator):
        rate = float(repr(rank / denominator))
        calibration = fit_calibration(range(denominator - 1), rate)
        accused = sum(calibration.is_anomalous(score + 0.5) for score in range(-1, denominator - 1))
        assert accused == rank


@pytest.mark.parametrize(("videos", "rate"), [(1, 0.05), (10, 0.05), (19, 0.05), (50, 0.05), (60, 0.1), (200, 0.05)])
def test_real_videos_are_accused_at_no_more_than_the_stated_rate(videos: int, rate: float) -> None:
    draws, rng = 4000, np.random.default_rng(videos)
    accused = 0
    for _ in range(draws):
        *calibrating, new = rng.lognormal(size=videos + 1)
        calibration = fit_calibration(calibrating, rate)
        accused += calibration.is_anomalous(new)
    # Without ties the rate is exactly floor(stated (n + 1)) / (n + 1).
    ranks = math.floor(calibration.stated_false_positive_rate * (videos + 1) + 1e-9)
    low, high = binom.interval(0.9999, draws, ranks / (videos + 1))

    assert low <= accused <= high
    assert accused / draws <= calibration.stated_false_positive_rate + 4 * math.sqrt(0.25 / draws)


def test_p_values_of_real_videos_are_uniform_on_their_grid() -> None:
    rng, videos, draws = np.random.default_rng(4), 9, 5000
    p_values = []
    for _ in range(draws):
        *calibrating, new = rng.normal(size=videos + 1)
        p_values.append(fit_calibration(calibrating, 0.5).p_value(new))
    for rank in range(1, 11):
        low, high = binom.interval(0.9999, draws, 0.1)
        assert low <= np.isclose(p_values, rank / 10).sum() <= high


@settings(deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20), rates)
def test_json_keeps_every_bit(scores: list[float], rate: float) -> None:
    calibration = fit_calibration(scores, rate)

    assert Calibration.from_json(calibration.to_json()) == calibration


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{"version": 2, "requested_false_positive_rate": 0.05, "scores": [1.0]}',
        '{"version": 1, "requested_false_positive_rate": 0.05, "scores": [2.0, 1.0]}',
        '{"version": 1, "requested_false_positive_rate": 0.05, "scores": []}',
        '{"version": 1, "requested_false_positive_rate": 0.05, "scores": [NaN]}',
        '{"version": 1, "requested_false_positive_rate": 1.5, "scores": [1.0]}',
        '{"version": 1, "requested_false_positive_rate": 0.05, "scores": [1.0], "extra": 1}',
    ],
)
def test_json_that_is_no_calibration_is_refused(text: str) -> None:
    with pytest.raises(ArtefactError, match="calibrate the detector again"):
        Calibration.from_json(text)


def test_no_score_cannot_calibrate() -> None:
    with pytest.raises(CalibrationError, match=r"at least one held-out real video .* 19 attain"):
        fit_calibration([], 0.05)


@pytest.mark.parametrize("fault", [math.nan, math.inf, -math.inf])
def test_scores_that_are_not_finite_are_refused(fault: float) -> None:
    with pytest.raises(CalibrationError, match="cannot calibrate"):
        fit_calibration([1.0, fault, 2.0], 0.05)
    with pytest.raises(CalibrationError, match="finite number"):
        fit_calibration([1.0], 0.05).is_anomalous(fault)


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, math.nan])
def test_rates_outside_the_open_unit_interval_are_refused(rate: float) -> None:
    with pytest.raises(CalibrationError, match=r"inside \(0, 1\)"):
        fit_calibration([1.0], rate)
