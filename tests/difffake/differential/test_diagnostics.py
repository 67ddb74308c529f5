"""Diagnostics of a density: against direct fits, references from scipy and scikit-learn, and hand-made cases."""

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import multivariate_normal, norm
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GroupKFold

from difffake.config import Covariance, DensityConfig, DiagnosticsConfig
from difffake.differential import diagnostics
from difffake.differential.density import SubspaceMixtureDensity, build_density
from difffake.differential.diagnostics import (
    Grid,
    GridCell,
    HeldOut,
    convergence,
    grid_warnings,
    held_out_scores,
    likelihood_grid,
    parameter_count,
    people_folds,
)
from difffake.differential.drift import HELD_OUT, RealScores, drift_warnings, score_drift
from difffake.errors import DensityError

Vectors = npt.NDArray[np.float64]
SHAPES: list[Covariance] = ["full", "tied", "diag", "spherical"]


def people(count: int, per_person: int) -> npt.NDArray[np.str_]:
    return np.repeat([f"person{number}" for number in range(count)], per_person)


def two_clusters(groups: npt.NDArray[np.str_], dimensions: int = 6, seed: int = 0) -> Vectors:
    """Two correlated clusters of equal shape, six standard deviations apart in the first dimension."""
    rng = np.random.default_rng(seed)
    mixing = np.linalg.cholesky(0.6 * np.ones((dimensions, dimensions)) + 0.4 * np.eye(dimensions))
    vectors = rng.normal(size=(len(groups), dimensions)) @ mixing.T
    vectors[:, 0] += 6 * rng.integers(2, size=len(groups))
    return vectors


def grid_of(vectors: Vectors, groups: npt.NDArray[np.str_], **changes: Any) -> Grid:
    return likelihood_grid(vectors, groups, DiagnosticsConfig(**changes), DensityConfig(), seed=0)


def cell_of(grid: Grid, covariance: str, components: int) -> GridCell:
    return next(cell for cell in grid.cells if (cell.covariance, cell.components) == (covariance, components))


@pytest.mark.parametrize("covariance", SHAPES)
@pytest.mark.parametrize("components", [1, 3])
@pytest.mark.parametrize("dimensions", [1, 4])
def test_parameters_are_those_scikit_learn_counts(covariance: Covariance, components: int, dimensions: int) -> None:
    data = np.random.default_rng(0).normal(size=(50, dimensions))
    mixture = GaussianMixture(components, covariance_type=covariance, random_state=0).fit(data)
    counted = (mixture.bic(data) + 2 * mixture.score(data) * len(data)) / np.log(len(data))

    assert parameter_count(covariance, components, dimensions) == round(counted)


def test_one_full_gaussian_in_all_dimensions_is_that_of_scipy() -> None:
    groups = people(6, 40)
    vectors = two_clusters(groups)
    grid = grid_of(vectors, groups, components=(1,), covariances=("full",), dimensions=64, folds=3)

    held_out, training = [], []
    for fold, rest in GroupKFold(3).split(vectors, groups=groups):
        gaussian = multivariate_normal(vectors[fold].mean(0), np.cov(vectors[fold].T, bias=True) + 1e-6 * np.eye(6))
        held_out.append(gaussian.logpdf(vectors[rest]))
        training.append(gaussian.logpdf(vectors[fold]))
    whole = multivariate_normal(vectors.mean(0), np.cov(vectors.T, bias=True) + 1e-6 * np.eye(6))
    (cell,) = grid.cells
    assert cell.held_out == pytest.approx(np.concatenate(held_out).mean(), rel=1e-9)
    assert cell.training == pytest.approx(np.concatenate(training).mean(), rel=1e-9)
    assert cell.held_out_by_fold == pytest.approx([part.mean() for part in held_out], rel=1e-9)
    assert cell.parameters == 6 + 21
    assert cell.bic == pytest.approx(27 * np.log(240) - 2 * whole.logpdf(vectors).sum(), rel=1e-9)
    assert (grid.dimensions, grid.folds, grid.vectors) == (6, 3, 240)


def test_a_cell_in_a_subspace_is_the_subspace_mixture() -> None:
    groups = people(4, 50)
    vectors = two_clusters(groups)
    grid = grid_of(vectors, groups, components=(1,), covariances=("full",), dimensions=2, folds=2)
    expected = np.empty(200)
    for fold, rest in people_folds(groups, 2):
        expected[rest] = (
            SubspaceMixtureDensity(subspace_dimensions=2, components=1).fit(vectors[fold]).log_likelihood(vectors[rest])
        )

    (cell,) = grid.cells
    assert cell.held_out == pytest.approx(expected.mean(), rel=1e-9)
    assert cell.parameters == 2 + 3 + 1


def test_the_true_size_and_shape_is_found_by_likelihood_and_by_criterion() -> None:
    groups = people(12, 60)
    grid = grid_of(two_clusters(groups), groups)

    assert grid.best is not None
    assert (grid.best.covariance, grid.best.components) == ("tied", 2)
    by_criterion = min(grid.cells, key=lambda cell: cell.bic or np.inf)
    assert (by_criterion.covariance, by_criterion.components) == ("tied", 2)


def test_the_spread_of_a_cell_leaves_out_what_all_cells_share() -> None:
    cells = tuple(
        GridCell("diag", count, "fitted", held_out=0.0, held_out_by_fold=by_fold)
        for count, by_fold in ((1, (100.0, -100.0)), (2, (104.0, -100.0)))
    )
    grid = Grid((*cells, GridCell("full", 1, "left_out", "too few")), vectors=10)

    # Fold means 102 and −100: the first cell lies −2 and 0 from them, the second 2 and 0.
    assert [grid.spread(cell) for cell in cells] == [1.0, 1.0]


def test_a_person_is_never_on_both_sides_and_everybody_is_held_out_once() -> None:
    groups = people(5, 7)
    np.random.default_rng(0).shuffle(groups)
    folds = people_folds(groups, 3)

    assert len(folds) == 3
    assert sorted(np.concatenate([rest for _, rest in folds])) == list(range(35))
    assert not any(set(groups[training]) & set(groups[rest]) for training, rest in folds)
    assert len(people_folds(groups, 20)) == 5


def test_one_person_gives_a_reason_with_the_remedy_and_no_grid() -> None:
    groups = people(1, 30)
    grid = grid_of(two_clusters(groups), groups)
    assert grid.cells == ()
    assert "one person" in grid.reason
    assert "identities" in grid.reason
    assert grid.best is None
    held_out = held_out_scores(two_clusters(groups), groups, DiagnosticsConfig(), DensityConfig(), 0)
    assert held_out.scores.size == 0
    assert "one person" in held_out.reason


def test_equal_vectors_give_a_reason_and_no_grid() -> None:
    grid = grid_of(np.ones((30, 4)), people(3, 10))
    assert grid.cells == ()
    assert "give pairs that differ" in grid.reason


def test_cells_with_more_to_learn_than_vectors_are_left_out_with_the_reason() -> None:
    groups = people(3, 10)
    grid = grid_of(two_clusters(groups), groups, components=(1, 3), covariances=("full", "diag"))

    assert cell_of(grid, "full", 1).status == "fitted"
    left_out = cell_of(grid, "full", 3)
    assert (left_out.status, left_out.held_out, left_out.bic) == ("left_out", None, None)
    assert "3 full Gaussians in 6 dimensions need 21 vectors, and a fold has 20" in left_out.reason
    assert cell_of(grid, "diag", 3).status == "fitted"


def test_fewer_vectors_than_dimensions_are_looked_at_in_as_many_as_they_span() -> None:
    groups = people(3, 4)
    grid = grid_of(two_clusters(groups, dimensions=40), groups, components=(1,))

    assert grid.dimensions == 7
    assert cell_of(grid, "full", 1).held_out is not None


def test_what_takes_too_long_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = people(3, 20)
    # 40 vectors, 6² numbers, 20 steps and 4 fits: 115,200 operations a Gaussian.
    monkeypatch.setattr(diagnostics, "MOST_OPERATIONS", 200_000)
    grid = grid_of(two_clusters(groups), groups, components=(1, 2), covariances=("full", "diag"))

    assert [cell.status for cell in grid.cells] == ["fitted", "left_out", "fitted", "fitted"]
    assert "takes too long (about 2e+05 operations)" in cell_of(grid, "full", 2).reason
    held_out = held_out_scores(two_clusters(groups), groups, DiagnosticsConfig(), DensityConfig(), 0)
    assert held_out.scores.size == 0
    assert "take too long" in held_out.reason


def test_more_vectors_than_wanted_are_sampled_the_same_way_each_time() -> None:
    groups = people(6, 60)
    first, second = (grid_of(two_clusters(groups), groups, most_vectors=100) for _ in range(2))

    assert first == second
    assert first.vectors == 100


@pytest.mark.parametrize("model", ["gmm", "subspace_gmm", "ppca", "ledoit_wolf"])
def test_held_out_scores_are_those_of_fits_without_the_person(model: Any) -> None:
    groups = people(4, 30)
    vectors = two_clusters(groups)
    config = DensityConfig(model=model, components=2, subspace_dimensions=3)
    held_out = held_out_scores(vectors, groups, DiagnosticsConfig(folds=4), config, seed=5)

    for person in np.unique(groups):
        fitted = build_density(config, 5).fit(vectors[groups != person])
        np.testing.assert_allclose(
            held_out.scores[groups == person], -fitted.log_likelihood(vectors[groups == person]), rtol=1e-9
        )


def test_models_without_likelihood_have_no_held_out_one() -> None:
    groups = people(4, 30)
    held_out = held_out_scores(two_clusters(groups), groups, DiagnosticsConfig(), DensityConfig(model="knn"), 0)
    assert (held_out.scores.size, held_out.reason) == (0, "the model knn has no likelihood")


def test_convergence_rises_to_the_likelihood_of_the_training_vectors() -> None:
    vectors = two_clusters(people(4, 50))
    mixture = build_density(DensityConfig(components=2), 0).fit(vectors)
    trace = convergence(mixture)

    assert len(trace) == mixture.facts_.iterations  # type: ignore[attr-defined]
    assert all(later >= earlier - 1e-9 for earlier, later in pairwise(trace))
    assert trace[-1] == pytest.approx(mixture.facts_.mean_log_likelihood, abs=1e-2)
    assert convergence(build_density(DensityConfig(model="ledoit_wolf"), 0).fit(vectors)) == ()


def test_a_density_that_remembers_its_pairs_is_told_of_a_better_mixture() -> None:
    groups = people(3, 12)
    vectors = two_clusters(groups, dimensions=20)
    config = DensityConfig(components=3, covariance_floor=1e-6)
    grid = grid_of(vectors, groups, components=(1,), covariances=("spherical",))
    held_out = held_out_scores(vectors, groups, DiagnosticsConfig(), config, 0)

    (warning,) = grid_warnings(grid, held_out)
    assert "too many parameters for its pairs" in warning
    better_in_one_fold = (1e9, *held_out.by_fold[1:])
    assert list(grid_warnings(grid, HeldOut(held_out.scores, by_fold=better_in_one_fold))) == []
    assert list(grid_warnings(grid, HeldOut(np.empty(0), "no likelihood"))) == []


def test_drift_by_hand() -> None:
    own = np.array([0.0, 2.0, 4.0])
    moved = RealScores("d", "test", np.array([3.0, 5.0, 7.0, 9.0]), videos=2, people=1)
    (row,) = score_drift(own, np.array([4.0, 8.0]), [moved])

    assert (row.mean, row.count, row.videos, row.people) == (6.0, 4, 2, 1)
    assert row.standard_deviation == pytest.approx(np.sqrt(5))
    assert row.shift == pytest.approx((6 - 2) / np.sqrt(8 / 3))
    # Held out, the density's own have the mean 6.
    assert row.shift_from_held_out == 0
    # At 2 two thirds of the own lie at or below and none of the others, at 4 all and a quarter.
    assert row.ks_statistic == pytest.approx(0.75)
    assert row.quantiles[2] == 6


def test_drift_of_normal_scores_is_the_distance_of_their_distributions() -> None:
    rng = np.random.default_rng(0)
    own, others = rng.normal(size=20_000), rng.normal(1.5, 1, size=20_000)
    (row,) = score_drift(own, np.empty(0), [RealScores("d", "test", others, 10, 10)])

    assert row.shift == pytest.approx(1.5, abs=0.05)
    assert row.ks_statistic == pytest.approx(2 * norm.cdf(0.75) - 1, abs=0.02)


def test_only_reals_that_moved_carry_a_warning_and_it_says_which_and_how_far() -> None:
    own = np.array([-1.0, 1.0])
    groups = [
        RealScores("a", "density", own + 2, 5, 5),
        RealScores("a", "calibration", own + 0.5, 5, 5),
        RealScores("b", "test", own + 9, 5, 5),
        RealScores("c", "validation", own - 3, 5, 5),
    ]
    (moved,) = drift_warnings(score_drift(own, np.empty(0), groups), ("density",))

    assert "unlike those the density was fitted on (b test +9.0, c validation −3.0 standard deviations" in moved
    assert "density.fit_on" in moved


def test_what_the_density_remembers_is_told_apart_from_real_drift() -> None:
    own, held_out = np.array([-1.0, 1.0]), np.array([6.0, 14.0])
    groups = [
        RealScores("a", "density", own, 5, 5),
        RealScores("a", HELD_OUT, held_out, 5, 5),
        # Far from what the density knows, and as people are that it does not.
        RealScores("a", "calibration", own + 11, 5, 5),
        RealScores("b", "test", own + 30, 5, 5),
    ]
    remembered, moved = drift_warnings(score_drift(own, held_out, groups), ("density",))

    assert "a held out +10.0 standard deviations" in remembered
    assert "remembers its own pairs" in remembered
    assert "unlike people held out of the density (b test +5.0 standard deviations" in moved


def test_scores_that_do_not_vary_have_no_shift_and_bad_ones_are_refused() -> None:
    same = RealScores("d", "test", np.ones(3), 1, 1)
    (row,) = score_drift(np.ones(4), np.ones(4), [same])
    assert (row.shift, row.shift_from_held_out, row.ks_statistic) == (None, None, 0)
    with pytest.raises(DensityError, match="d, role test must be a list of finite numbers"):
        score_drift(np.ones(4), np.empty(0), [RealScores("d", "test", np.array([np.nan]), 1, 1)])
    with pytest.raises(DensityError, match="own reals"):
        score_drift(np.empty(0), np.empty(0), [same])
