"""The Gaussian mixture against closed forms, its facts, its refusals and its file."""

import itertools
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import skops.io
from scipy.stats import multivariate_normal
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

from difffake.config import DensityConfig
from difffake.differential.density import (
    Covariance,
    DensityModel,
    GaussianMixtureDensity,
    build_density,
    load_density,
    save_density,
)
from difffake.errors import ArtefactError, DensityError

COVARIANCES: list[Covariance] = ["full", "tied", "diag", "spherical"]


def _clusters(count: int = 300, dimensions: int = 4, seed: int = 0) -> npt.NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    centres = rng.normal(scale=8, size=(3, dimensions))
    return centres[rng.integers(3, size=count)] + rng.normal(size=(count, dimensions)) @ rng.normal(
        size=(dimensions, dimensions)
    )


def test_one_full_component_is_the_sample_gaussian_with_its_floor() -> None:
    vectors = _clusters()
    density = GaussianMixtureDensity(components=1, covariance_floor=0.25).fit(vectors)
    covariance = np.cov(vectors.T, bias=True) + 0.25 * np.eye(4)
    expected = multivariate_normal(vectors.mean(axis=0), covariance).logpdf(vectors)

    np.testing.assert_allclose(density.log_likelihood(vectors), expected, rtol=1e-9)


def _full_covariances(density: GaussianMixtureDensity) -> npt.NDArray[np.float64]:
    """(3, 4, 4), whatever the shape the mixture stores."""
    stored = density.mixture_.covariances_
    if density.covariance == "tied":
        return np.stack([stored] * 3)
    if density.covariance == "full":
        return np.asarray(stored)
    return np.stack([variances * np.eye(4) for variances in stored])


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_log_likelihood_is_that_of_the_weighted_sum_of_gaussians(covariance: Covariance) -> None:
    density = GaussianMixtureDensity(covariance=covariance).fit(_clusters())
    points = _clusters(seed=1)[:50]
    parts = zip(density.facts_.weights, density.mixture_.means_, _full_covariances(density), strict=True)
    weighted = [np.log(weight) + multivariate_normal(mean, matrix).logpdf(points) for weight, mean, matrix in parts]
    expected = np.logaddexp.reduce(weighted, axis=0)

    np.testing.assert_allclose(density.log_likelihood(points), expected, rtol=1e-8)


def test_relative_floor_is_a_multiple_of_the_mean_variance() -> None:
    vectors = _clusters() * 1e-3
    density = GaussianMixtureDensity(covariance_floor=0.01, covariance_floor_unit="data_variance").fit(vectors)

    assert density.covariance_floor_ == pytest.approx(0.01 * np.mean([np.var(column) for column in vectors.T]))
    assert density.mixture_.reg_covar == density.covariance_floor_


def test_a_relative_floor_makes_the_ranking_independent_of_the_vectors_unit() -> None:
    vectors, points = _clusters(), _clusters(seed=5)
    scale = 1e-4
    config = DensityConfig(covariance_floor=1e-3, covariance_floor_unit="data_variance")
    original = build_density(config, seed=0).fit(vectors).log_likelihood(points)
    scaled = build_density(config, seed=0).fit(vectors * scale).log_likelihood(points * scale)

    np.testing.assert_allclose(scaled, original - 4 * np.log(scale), rtol=1e-7)


def test_facts_of_a_sound_fit() -> None:
    vectors = _clusters()
    density = GaussianMixtureDensity().fit(vectors)
    facts = density.facts_

    assert (facts.vectors, facts.dimensions, facts.converged, facts.warnings) == (300, 4, True, ())
    assert sum(facts.weights) == pytest.approx(1)
    assert facts.floor_dominated_share == 0
    assert facts.mean_variance == pytest.approx(vectors.var(axis=0).mean())
    assert facts.mean_log_likelihood == pytest.approx(
        GaussianMixtureDensity().fit(vectors).log_likelihood(vectors).mean()
    )


def test_floor_dominated_share_counts_the_directions_the_data_do_not_span() -> None:
    rng = np.random.default_rng(2)
    flat = np.zeros((50, 10))
    flat[:, :3] = rng.normal(size=(50, 3))
    rotation = np.linalg.qr(rng.normal(size=(10, 10)))[0]

    facts = GaussianMixtureDensity(components=1).fit(flat @ rotation).facts_

    assert facts.floor_dominated_share == pytest.approx(0.7)
    assert "exceeds the data's variance in 70% of the directions" in facts.warnings[0]


def test_a_direction_is_floor_dominated_if_its_data_vary_less_than_the_floor() -> None:
    signs = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    vectors = signs * np.sqrt([0.7, 0.9, 1.2])  # these are the variances

    facts = GaussianMixtureDensity(components=1, covariance="diag", covariance_floor=1.0).fit(vectors).facts_

    assert facts.floor_dominated_share == pytest.approx(2 / 3)


def test_not_converging_is_recorded_and_raises_no_python_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        facts = GaussianMixtureDensity(max_iterations=1).fit(_clusters(dimensions=2, count=60)).facts_

    assert not facts.converged
    assert facts.iterations == 1
    assert "raise density.max_iterations" in facts.warnings[0]


def test_each_expectation_maximisation_step_raises_the_likelihood() -> None:
    vectors = _clusters(count=100, dimensions=2)
    means = [GaussianMixtureDensity(max_iterations=n).fit(vectors).facts_.mean_log_likelihood for n in range(1, 8)]

    assert all(later >= earlier - 1e-9 for earlier, later in itertools.pairwise(means))


@pytest.mark.parametrize(("components", "count", "needed"), [(3, 2, 3), (1, 1, 2), (3, 0, 3)])
def test_too_few_vectors(components: int, count: int, needed: int) -> None:
    with pytest.raises(DensityError, match=rf"{count} vectors cannot fit .* at least {needed} are needed"):
        GaussianMixtureDensity(components=components).fit(np.ones((count, 4)))


def test_as_many_vectors_as_components_is_enough() -> None:
    facts = GaussianMixtureDensity(components=3).fit(np.eye(3)).facts_

    assert facts.floor_dominated_share == 1


@pytest.mark.parametrize("fault", [np.nan, np.inf])
def test_non_finite_vectors_are_refused_in_fitting_and_scoring(fault: float) -> None:
    faulty = _clusters()
    faulty[[3, 4], 0] = fault

    with pytest.raises(DensityError, match="2 of 300 vectors"):
        GaussianMixtureDensity().fit(faulty)
    with pytest.raises(DensityError, match="2 of 300 vectors"):
        GaussianMixtureDensity().fit(_clusters()).log_likelihood(faulty)


def test_ill_defined_covariances_name_the_remedy_and_the_remedy_works() -> None:
    # One direction of variance 10²⁴ beside directions of none: 1e-12 vanishes in rounding beside it.
    vectors = np.outer(np.linspace(-1e12, 1e12, 20), np.ones(5))

    with pytest.raises(DensityError, match=r"raise density\.covariance_floor"):
        GaussianMixtureDensity(components=1, covariance_floor=1e-12).fit(vectors)
    relative = GaussianMixtureDensity(components=1, covariance_floor=1e-6, covariance_floor_unit="data_variance")
    assert np.isfinite(relative.fit(vectors).log_likelihood(vectors)).all()


def test_vectors_that_hardly_vary_say_that_the_floor_is_all_there_is() -> None:
    vectors = 1 + 1e-9 * np.random.default_rng(0).normal(size=(10, 3))
    facts = GaussianMixtureDensity(components=1).fit(vectors).facts_

    assert facts.floor_dominated_share == 1
    assert any("in 100% of the directions" in warning for warning in facts.warnings)


def test_scoring_needs_a_fit_and_the_length_of_training() -> None:
    with pytest.raises(DensityError, match="not fitted"):
        GaussianMixtureDensity().log_likelihood(np.ones((1, 4)))
    fitted = GaussianMixtureDensity().fit(_clusters())
    with pytest.raises(DensityError, match=r"length 5 .* length 4"):
        fitted.log_likelihood(np.ones((1, 5)))
    with pytest.raises(DensityError, match=r"\(N, D\), not \(4,\)"):
        fitted.log_likelihood(np.ones(4))
    assert fitted.log_likelihood(np.empty((0, 4))).shape == (0,)


def test_same_seed_same_density() -> None:
    first, second = (build_density(DensityConfig(), seed=5).fit(_clusters()) for _ in range(2))

    np.testing.assert_array_equal(first.log_likelihood(_clusters()), second.log_likelihood(_clusters()))


def test_configuration_reaches_the_model() -> None:
    config = DensityConfig(
        components=2, covariance="diag", covariance_floor=0.5, covariance_floor_unit="data_variance", max_iterations=7
    )
    density = build_density(config, seed=2**31 - 1)
    assert isinstance(density, GaussianMixtureDensity)
    mixture = density.fit(_clusters()).mixture_

    assert (mixture.n_components, mixture.covariance_type, mixture.max_iter) == (2, "diag", 7)
    assert mixture.reg_covar == pytest.approx(0.5 * _clusters().var(axis=0).mean())


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_stored_density_gives_the_same_bits(covariance: Covariance, tmp_path: Path) -> None:
    fitted: DensityModel = GaussianMixtureDensity(covariance=covariance).fit(_clusters())
    save_density(fitted, tmp_path / "density.skops")
    loaded = load_density(tmp_path / "density.skops")

    np.testing.assert_array_equal(loaded.log_likelihood(_clusters(seed=3)), fitted.log_likelihood(_clusters(seed=3)))
    assert loaded.facts_ == fitted.facts_
    assert isinstance(loaded, GaussianMixtureDensity)
    assert vars(loaded).keys() == vars(fitted).keys()
    assert skops.io.get_untrusted_types(file=tmp_path / "density.skops") == []


def test_an_unfitted_density_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(DensityError, match="not fitted"):
        save_density(GaussianMixtureDensity(), tmp_path / "density.skops")
    assert not list(tmp_path.iterdir())


def test_files_that_are_no_density_of_this_version_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "density.skops"
    fitted = GaussianMixture(2).fit(_clusters())
    contents: list[tuple[object, str]] = [
        ({"file_version": 2, "model": "gmm"}, "file version 2, expected 1"),
        ([1, 2], "file version None"),
        ({"file_version": 1, "model": "gmm", "settings": {}, "facts": {}}, "incomplete density"),
        ({"file_version": 1, "model": "oracle"}, "incomplete density"),
        ({"file_version": 1, "model": "gmm", "settings": {}, "facts": {}, "mixture": fitted}, "incomplete density"),
        ({"file_version": 1, "model": "gmm", "settings": {}, "facts": {}, "mixture": GaussianMixture(2)}, "incomplete"),
        ({"file_version": 1, "model": "gmm", "mixture": PCA()}, "incomplete density"),
    ]
    for content, message in contents:
        skops.io.dump(content, path)
        with pytest.raises(ArtefactError, match=message):
            load_density(path)


def test_code_in_a_file_is_refused(tmp_path: Path) -> None:
    skops.io.dump({"file_version": 1, "model": Path("x"), "mixture": np.random.default_rng}, tmp_path / "code.skops")

    with pytest.raises(ArtefactError, match="not a readable density"):
        load_density(tmp_path / "code.skops")


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "density.skops"
    with pytest.raises(ArtefactError, match="not a readable density"):
        load_density(path)
    save_density(GaussianMixtureDensity().fit(_clusters()), path)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for cut in rng.integers(len(whole), size=40):
        path.write_bytes(whole[:cut])
        with pytest.raises(ArtefactError, match="fit the density again"):
            load_density(path)
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    path.write_bytes(flipped)
    with pytest.raises(ArtefactError, match="fit the density again"):
        load_density(path)
