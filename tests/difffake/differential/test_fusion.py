import numpy as np
import pytest
from scipy.optimize import minimize

from difffake.differential.fusion import FEW_VIDEOS, Fusion, fit_fusion, mean_log_odds
from difffake.errors import ArtefactError, DensityError


def evidence(seed: int, count: int, shift: tuple[float, float]) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 2)) * (5.0, 2.0) + np.array(shift)


def test_the_weights_minimise_the_penalised_log_loss_with_classes_of_equal_weight() -> None:
    reals, fakes = evidence(0, 15, (0, 0)), evidence(1, 60, (6, 1))
    fusion = fit_fusion(reals, fakes, regularisation=0.7)
    points = np.concatenate([reals, fakes])
    scaled = (points - fusion.centres) / fusion.scales
    signs = np.repeat([-1.0, 1.0], [15, 60])
    weight = np.where(signs < 0, 75 / (2 * 15), 75 / (2 * 60))

    def loss(parameters: np.ndarray) -> float:
        margins = signs * (scaled @ parameters[:2] + parameters[2])
        return 0.5 * parameters[:2] @ parameters[:2] + 0.7 * weight @ np.logaddexp(0, -margins)

    found = minimize(loss, np.zeros(3), tol=1e-10).x
    assert fusion.weights == pytest.approx(found[:2], abs=1e-3)


def test_centre_and_scale_weigh_both_classes_alike_however_many_copies_there_are() -> None:
    reals, fakes = np.array([[0.0, 1.0], [0.0, 1.0]]), np.array([[4.0, 1.0]] * 8)
    fusion = fit_fusion(reals, fakes, 1.0)
    assert fusion.centres == (2.0, 1.0)
    assert fusion.scales == (2.0, 1.0)
    assert fusion.weights[1] == 0.0


def test_more_evidence_never_makes_a_video_more_natural() -> None:
    reals, fakes = evidence(2, 30, (0, 4)), evidence(3, 30, (8, 0))
    fusion = fit_fusion(reals, fakes, 1.0)
    assert fusion.weights[0] > 0
    assert fusion.weights[1] == 0
    neither = fit_fusion(fakes + np.array([0, 4.0]), reals, 1.0)
    assert neither.weights[1] >= 0
    assert fit_fusion([[2.0, 2.0]], [[1.0, 1.0]], 1.0).weights == (1.0, 1.0)


def test_the_differential_score_gets_no_larger_share_than_allowed() -> None:
    reals, fakes = evidence(0, 15, (0, 0)), evidence(1, 60, (6, 2))
    free = fit_fusion(reals, fakes, 1.0)
    assert free.weights[0] > 0.5 * sum(free.weights)
    assert fit_fusion(reals, fakes, 1.0, most_differential=0.99) == free
    held = fit_fusion(reals, fakes, 1.0, most_differential=0.25)
    assert held.weights[0] == pytest.approx(0.25 * sum(held.weights))
    assert (held.centres, held.scales) == (free.centres, free.scales)
    points = (np.concatenate([reals, fakes]) - held.centres) / held.scales @ (0.25, 0.75)
    signs = np.repeat([-1.0, 1.0], [15, 60])
    weight = np.where(signs < 0, 75 / (2 * 15), 75 / (2 * 60))

    def loss(parameters: np.ndarray) -> float:
        return 0.5 * parameters[0] ** 2 + weight @ np.logaddexp(0, -signs * (points * parameters[0] + parameters[1]))

    assert sum(held.weights) == pytest.approx(minimize(loss, np.zeros(2), tol=1e-10).x[0], abs=1e-3)


def test_without_a_share_the_network_decides_and_evidence_against_all_sense_still_orders_by_it() -> None:
    reals, fakes = evidence(0, 15, (0, 0)), evidence(1, 60, (8, 1))
    assert fit_fusion(reals, fakes, 1.0, most_differential=0.0).weights[0] == 0
    against = fit_fusion(reals, fakes * (1, 0) - (0, 30), 1.0, most_differential=0.5)
    assert against.weights == pytest.approx((0.5, 0.5))


def test_the_score_is_the_weighted_scaled_evidence() -> None:
    fusion = Fusion(centres=(1.0, 0.0), scales=(2.0, 1.0), weights=(0.5, 2.0), reals=1, pseudo_fakes=1)
    assert fusion.score(5.0, -1.0) == pytest.approx(0.5 * 2.0 - 2.0)


def test_log_odds_are_those_of_each_face_and_stay_finite() -> None:
    assert mean_log_odds([0.5, 0.75]) == pytest.approx(np.log(3) / 2)
    assert mean_log_odds(np.array([1.0], np.float32)) == pytest.approx(np.log(999_999), rel=1e-6)


def test_few_videos_are_told() -> None:
    assert "1 real" in str(fit_fusion([[0.0, 0.0]], [[1.0, 1.0]] * 4, 1.0).warning)
    assert fit_fusion(evidence(0, FEW_VIDEOS, (0, 0)), evidence(1, 9, (1, 1)), 1.0).warning is None


def test_json_gives_it_back_and_anything_else_is_refused() -> None:
    fusion = fit_fusion(evidence(0, 5, (0, 0)), evidence(1, 5, (1, 1)), 1.0)
    assert Fusion.from_json(fusion.to_json()) == fusion
    with pytest.raises(ArtefactError, match="fit the fusion again"):
        Fusion.from_json("{}")


@pytest.mark.parametrize("broken", [np.zeros((0, 2)), np.zeros((3, 1)), np.array([[np.nan, 1.0]])])
def test_evidence_that_is_none_is_refused(broken: np.ndarray) -> None:
    with pytest.raises(DensityError):
        fit_fusion(broken, [[1.0, 1.0]], 1.0)
