"""The anomaly models beside the full mixture: against independent references, their refusals, facts and files."""

import warnings
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import skops.io
from scipy.spatial.distance import cdist
from scipy.stats import multivariate_normal
from sklearn.decomposition import PCA

from data_catalog.fingerprints import fingerprint
from difffake.config import AnomalyModel, DensityConfig, parse_config
from difffake.differential.density import (
    MODELS,
    GaussianMixtureDensity,
    NearestNeighboursDensity,
    OneClassDensity,
    PrincipalComponentsDensity,
    ShrunkGaussianDensity,
    SubspaceMixtureDensity,
    build_density,
    load_density,
    save_density,
)
from difffake.differential.density_subspace import principal_axes
from difffake.errors import ArtefactError, ConfigError, DensityError

Vectors = npt.NDArray[np.float64]

NAMES: list[AnomalyModel] = list(MODELS)
NEW: list[AnomalyModel] = [name for name in MODELS if name != "gmm"]


def _config(model: AnomalyModel, **settings: Any) -> DensityConfig:
    return DensityConfig(model=model, **({"subspace_dimensions": 3} | settings))


def _vectors(count: int = 200, dimensions: int = 6, seed: int = 0) -> Vectors:
    """Correlated, with a different spread in each principal direction and a mean far from 0."""
    mixing = np.random.default_rng(7).normal(size=(dimensions, dimensions)) * np.geomspace(3, 0.3, dimensions)
    return np.random.default_rng(seed).normal(size=(count, dimensions)) @ mixing + 10


def _eigen(covariance: Vectors) -> tuple[Vectors, Vectors]:
    """Eigenvalues and eigenvectors (columns), largest first."""
    values, vectors = np.linalg.eigh(covariance)
    return values[::-1], vectors[:, ::-1]


def test_subspace_of_all_dimensions_is_the_full_mixture() -> None:
    rng = np.random.default_rng(1)
    vectors = _vectors() + 8 * rng.normal(size=(3, 6))[rng.integers(3, size=200)]
    settings: dict[str, Any] = {"components": 3, "covariance_floor": 1e-3, "covariance_floor_unit": "data_variance"}
    full = GaussianMixtureDensity(**settings).fit(vectors)
    subspace = SubspaceMixtureDensity(subspace_dimensions=6, **settings).fit(vectors)
    points = _vectors(seed=2)

    np.testing.assert_allclose(subspace.log_likelihood(points), full.log_likelihood(points), rtol=1e-7)
    assert sorted(subspace.facts_.weights) == pytest.approx(sorted(full.facts_.weights))
    assert subspace.facts_.covariance_floor == full.facts_.covariance_floor
    assert subspace.facts_.mean_log_likelihood == pytest.approx(full.facts_.mean_log_likelihood)
    assert (subspace.facts_.residual_variance, subspace.facts_.explained_variance_share) == (0, pytest.approx(1))


def test_one_component_and_its_residual_are_the_gaussian_of_these_blocks() -> None:
    vectors, floor, k = _vectors(), 0.05, 2
    values, axes = _eigen(np.cov(vectors.T, bias=True))
    inside, outside = axes[:, :k], axes[:, k:]
    residual_variance = values[k:].mean() + floor
    covariance = inside @ np.diag(values[:k] + floor) @ inside.T + residual_variance * outside @ outside.T
    points = _vectors(seed=3)
    expected = multivariate_normal(vectors.mean(axis=0), covariance).logpdf(points)

    density = SubspaceMixtureDensity(subspace_dimensions=k, components=1, covariance_floor=floor).fit(vectors)

    np.testing.assert_allclose(density.log_likelihood(points), expected, rtol=1e-9)
    assert density.facts_.residual_variance == pytest.approx(residual_variance)
    assert density.facts_.explained_variance_share == pytest.approx(values[:k].sum() / values.sum())


def test_subspace_mixture_integrates_to_one() -> None:
    rng = np.random.default_rng(4)
    vectors = np.concatenate([rng.normal((-4, -4), 1, (60, 2)), rng.normal((3, 4), (1, 0.5), (40, 2))])
    density = SubspaceMixtureDensity(subspace_dimensions=1, components=2).fit(vectors)
    axis = np.linspace(-25, 25, 501)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)

    integral = np.exp(density.log_likelihood(grid)).sum() * (axis[1] - axis[0]) ** 2

    assert integral == pytest.approx(1, abs=1e-6)


def test_subspace_mixture_sees_what_leaves_the_subspace() -> None:
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(300, 8)) * ([5.0] * 3 + [0.1] * 5)
    density = SubspaceMixtureDensity(subspace_dimensions=3, components=1).fit(vectors)
    outside = np.zeros((1, 8))
    outside[0, 7] = 1.0  # ten standard deviations, though near the mean

    assert density.log_likelihood(outside)[0] < density.log_likelihood(vectors).min()


def test_relative_floor_of_a_subspace_is_relative_to_the_whole_vectors() -> None:
    vectors = _vectors()
    config = _config("subspace_gmm", covariance_floor=0.5, covariance_floor_unit="data_variance")
    density = build_density(config, seed=0).fit(vectors)
    assert isinstance(density, SubspaceMixtureDensity)

    assert density.facts_.covariance_floor == pytest.approx(0.5 * vectors.var(axis=0).mean())
    assert density.mixture_.reg_covar == density.facts_.covariance_floor


def test_floor_dominated_share_of_a_subspace_counts_all_directions() -> None:
    signs = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]] * 2) * np.repeat([[1], [-1]], 4, 0)
    vectors = signs * np.sqrt([9.0, 4.0, 0.5, 0.4])  # these are the variances
    config: dict[str, Any] = {"components": 1, "covariance_floor": 1.0}

    assert SubspaceMixtureDensity(2, **config).fit(vectors).facts_.floor_dominated_share == pytest.approx(0.5)
    assert SubspaceMixtureDensity(3, **config).fit(vectors).facts_.floor_dominated_share == pytest.approx(0.5)
    facts = SubspaceMixtureDensity(1, components=1, covariance_floor=5.0).fit(vectors).facts_
    assert facts.floor_dominated_share == pytest.approx(0.75)
    assert "exceeds the data's variance in 75% of the directions" in facts.warnings[0]
    assert "diag" not in facts.warnings[0]


@pytest.mark.parametrize("count", [200, 5])
def test_probabilistic_pca_is_the_gaussian_of_its_variances_even_with_fewer_vectors_than_dimensions(count: int) -> None:
    vectors, k = _vectors(count), 2
    values, axes = _eigen(np.cov(vectors.T))
    inside, outside = axes[:, :k], axes[:, k:]
    noise = values[k:].sum() / (6 - k)
    covariance = inside @ np.diag(values[:k]) @ inside.T + noise * outside @ outside.T
    points = _vectors(seed=3)
    expected = multivariate_normal(vectors.mean(axis=0), covariance).logpdf(points)

    density = PrincipalComponentsDensity(subspace_dimensions=k).fit(vectors)

    np.testing.assert_allclose(density.log_likelihood(points), expected, rtol=1e-8)
    assert density.facts_.residual_variance == pytest.approx(noise)
    assert density.facts_.mean_log_likelihood == pytest.approx(density.log_likelihood(vectors).mean())


def test_probabilistic_pca_of_all_dimensions_is_the_sample_gaussian() -> None:
    vectors = _vectors()
    expected = multivariate_normal(vectors.mean(axis=0), np.cov(vectors.T)).logpdf(vectors)

    np.testing.assert_allclose(PrincipalComponentsDensity(6).fit(vectors).log_likelihood(vectors), expected, rtol=1e-8)


def test_principal_axes_survive_an_offset() -> None:
    vectors, offset = _vectors(), 1e6
    near = PrincipalComponentsDensity(2).fit(vectors).log_likelihood(vectors)

    far = PrincipalComponentsDensity(2).fit(vectors + offset).log_likelihood(vectors + offset)

    np.testing.assert_allclose(far, near, rtol=1e-6)


@pytest.mark.parametrize("count", [4, 11, 12, 13, 40])
def test_the_noise_variance_is_the_mean_over_all_other_directions_however_few_vectors_there_are(count: int) -> None:
    vectors = 1e3 + np.random.default_rng(7).normal(size=(count, 24)) * np.linspace(0.5, 3, 24)
    values, directions = np.linalg.eigh(np.cov(vectors.T))

    axes = principal_axes(vectors, 3)

    np.testing.assert_allclose(axes.explained_variance_, values[::-1][:3], rtol=1e-9)
    assert axes.noise_variance_ == pytest.approx(values[:-3].sum() / 21, abs=1e-9)
    np.testing.assert_allclose(axes.mean_, vectors.mean(axis=0))
    np.testing.assert_allclose(np.abs(axes.components_ @ directions[:, ::-1][:, :3]), np.eye(3), atol=1e-6)


@pytest.mark.parametrize("count", [200, 5])
def test_ledoit_wolf_is_the_gaussian_of_its_shrunk_covariance(count: int) -> None:
    vectors, points = _vectors(count), _vectors(seed=3)
    density = ShrunkGaussianDensity().fit(vectors)
    sample = np.cov(vectors.T, bias=True)
    # Ledoit & Wolf (2004), Sec. 3.2: the spread of single outer products around their mean, over that of the mean.
    centred = vectors - vectors.mean(axis=0)
    sphere = np.trace(sample) / 6 * np.eye(6)
    noise = np.mean([np.square(np.outer(row, row) - sample).sum() for row in centred]) / count
    shrinkage = min(noise / np.square(sample - sphere).sum(), 1)
    covariance = (1 - shrinkage) * sample + shrinkage * sphere
    expected = multivariate_normal(vectors.mean(axis=0), covariance).logpdf(points)

    assert density.facts_.shrinkage == pytest.approx(shrinkage)
    assert density.facts_.condition_number == pytest.approx(np.linalg.cond(covariance))
    np.testing.assert_allclose(density.log_likelihood(points), expected, rtol=1e-8)


def test_one_class_score_is_the_kernel_expansion_at_one_over_the_dimension() -> None:
    vectors, points = _vectors(), _vectors(seed=3)
    density = OneClassDensity(nu=0.2).fit(vectors)
    kernel = np.exp(-cdist(points, density.svm_.support_vectors_, "sqeuclidean") / 6)
    expected = kernel @ density.svm_.dual_coef_[0] + density.svm_.intercept_[0]

    np.testing.assert_allclose(density.log_likelihood(points), expected, rtol=1e-6, atol=1e-9)
    assert density.facts_.gamma == pytest.approx(1 / 6)


def test_one_class_solution_meets_the_optimality_conditions() -> None:
    vectors, nu = _vectors(), 0.2
    density = OneClassDensity(gamma=0.02, nu=nu).fit(vectors)
    weights = np.zeros(200)
    weights[density.svm_.support_] = density.svm_.dual_coef_[0]
    scores = np.exp(-0.02 * cdist(vectors, vectors, "sqeuclidean")) @ weights + density.svm_.intercept_[0]

    assert weights.sum() == pytest.approx(nu * 200)
    assert (scores[weights == 0] >= -1e-5).all()
    assert (scores[weights == 1] <= 1e-5).all()
    assert np.abs(scores[(weights > 0) & (weights < 1)]).max() < 1e-5
    assert density.facts_.outside_share <= nu + 0.05
    assert density.facts_.support_vectors >= nu * 200
    assert density.facts_.converged


def test_kernel_exponent_is_its_mean_over_pairs() -> None:
    vectors = _vectors()
    distances = cdist(vectors, vectors, "sqeuclidean")

    assert OneClassDensity(gamma=0.02).fit(vectors).facts_.kernel_exponent == pytest.approx(0.02 * distances.mean())


def test_a_kernel_that_tells_no_vectors_apart_is_told_with_the_remedy_and_the_remedy_works() -> None:
    vectors = _vectors() * 1e-3
    (warning,) = OneClassDensity().fit(vectors).facts_.warnings
    gamma = float(warning.rsplit("= ", 1)[1])

    assert "set density.gamma" in warning
    assert gamma == pytest.approx(1 / (6 * vectors.var(axis=0).mean()), rel=0.01)
    assert OneClassDensity(gamma=gamma).fit(vectors).facts_.warnings == ()


def test_a_nearly_constant_kernel_is_solved_independently_of_the_vectors_order() -> None:
    vectors, points = _vectors() * 0.02, _vectors(seed=3) * 0.02
    shuffled = np.random.default_rng(6).permutation(vectors)
    scores = OneClassDensity().fit(vectors).log_likelihood(points)

    np.testing.assert_allclose(OneClassDensity().fit(shuffled).log_likelihood(points), scores, atol=0.01 * scores.std())


def test_nearest_neighbours_by_brute_force() -> None:
    vectors, points = _vectors(), _vectors(count=50, seed=3)
    density = NearestNeighboursDensity(neighbours=4).fit(vectors)
    expected = -np.sort(cdist(points, vectors), axis=1)[:, :4].mean(axis=1)
    to_others = np.sort(cdist(vectors, vectors), axis=1)[:, 1:5].mean(axis=1)

    np.testing.assert_allclose(density.log_likelihood(points), expected, rtol=1e-9)
    assert density.facts_.mean_log_likelihood == pytest.approx(-to_others.mean())
    assert density.facts_.median_distance == pytest.approx(np.median(to_others))


@pytest.mark.parametrize("model", NAMES)
def test_every_model_ranks_far_vectors_below_natural_ones(model: AnomalyModel) -> None:
    density = build_density(_config(model, gamma=0.02), seed=0).fit(_vectors())
    natural = density.log_likelihood(_vectors(seed=3))
    rng = np.random.default_rng(8)
    directions = rng.normal(size=(100, 6))
    far = 10 + 60 * directions / np.linalg.norm(directions, axis=1, keepdims=True)

    assert np.quantile(natural, 0.05) > density.log_likelihood(far).max()


@pytest.mark.parametrize("model", NAMES)
def test_same_seed_same_density(model: AnomalyModel) -> None:
    first, second = (build_density(_config(model), seed=5).fit(_vectors()) for _ in range(2))

    np.testing.assert_array_equal(first.log_likelihood(_vectors(seed=3)), second.log_likelihood(_vectors(seed=3)))
    assert first.digest() == second.digest()
    assert first.facts_ == second.facts_


@pytest.mark.parametrize("model", NAMES)
def test_other_vectors_another_digest(model: AnomalyModel) -> None:
    digests = {build_density(_config(model), seed=5).fit(_vectors(seed=seed)).digest() for seed in range(2)}

    assert len(digests) == 2


def test_digests_tell_models_and_their_settings_apart() -> None:
    configs = [_config(name) for name in NAMES]
    configs += [_config("ocsvm", gamma=0.1), _config("ocsvm", nu=0.1), _config("knn", neighbours=2)]
    configs += [_config("ppca", subspace_dimensions=2), _config("subspace_gmm", covariance_floor=1e-3)]

    assert len({build_density(config, seed=0).fit(_vectors()).digest() for config in configs}) == len(configs)


@pytest.mark.parametrize("model", NAMES)
def test_stored_density_gives_the_same_bits(model: AnomalyModel, tmp_path: Path) -> None:
    fitted = build_density(_config(model), seed=0).fit(_vectors())
    save_density(fitted, tmp_path / "density.skops")
    loaded = load_density(tmp_path / "density.skops")

    assert type(loaded) is MODELS[model]
    np.testing.assert_array_equal(loaded.log_likelihood(_vectors(seed=3)), fitted.log_likelihood(_vectors(seed=3)))
    assert loaded.facts_ == fitted.facts_
    assert loaded.digest() == fitted.digest()
    assert vars(loaded).keys() == vars(fitted).keys()
    assert skops.io.get_untrusted_types(file=tmp_path / "density.skops") == []


@pytest.mark.parametrize("model", NEW)
def test_a_file_that_names_another_model_than_it_holds_is_refused(model: AnomalyModel, tmp_path: Path) -> None:
    other: AnomalyModel = "knn" if model != "knn" else "ppca"
    path = tmp_path / "density.skops"
    build_density(_config(model), seed=0).fit(_vectors()).save(path)
    content = skops.io.load(path, trusted=[])

    estimators: dict[str, Any] = dict.fromkeys(MODELS[model].ESTIMATORS, PCA())
    for damaged in (content | {"model": other}, content | estimators, content | {"facts": {}}):
        skops.io.dump(damaged, path)
        with pytest.raises(ArtefactError, match="incomplete density"):
            load_density(path)


@pytest.mark.parametrize("model", NAMES)
def test_scoring_needs_a_fit_finite_values_and_the_length_of_training(model: AnomalyModel) -> None:
    density = build_density(_config(model), seed=0)
    for use in (lambda: density.log_likelihood(_vectors()), density.digest, lambda: density.save(Path("none"))):
        with pytest.raises(DensityError, match="not fitted"):
            use()
    faulty = _vectors()
    faulty[3, 0] = np.nan
    with pytest.raises(DensityError, match="1 of 200 vectors"):
        density.fit(faulty)
    density.fit(_vectors())
    with pytest.raises(DensityError, match="1 of 200 vectors"):
        density.log_likelihood(faulty)
    with pytest.raises(DensityError, match=r"length 5 .* length 6"):
        density.log_likelihood(np.ones((1, 5)))
    assert density.log_likelihood(np.empty((0, 6))).shape == (0,)


@pytest.mark.parametrize(
    ("model", "settings", "count", "message"),
    [
        ("subspace_gmm", {}, 3, r"3 vectors cannot fit a subspace of 3 dimensions: at least 4 .*subspace_dimensions l"),
        ("subspace_gmm", {"components": 9}, 8, r"8 vectors cannot fit 9 components: .*density\.components lower"),
        ("ppca", {}, 4, r"4 vectors cannot fit a subspace of 3 .*: at least 5 are needed; .*subspace_dimensions lower"),
        ("ppca", {"subspace_dimensions": 6}, 6, r"6 vectors cannot fit a subspace of 6 .*: at least 7 are needed"),
        ("ledoit_wolf", {}, 2, r"2 vectors cannot fit a shrunk cov.*: at least 3 are needed; give more real pairs$"),
        ("ocsvm", {}, 1, r"1 vectors cannot fit a one-class .*: at least 2 are needed; give more real pairs$"),
        ("knn", {}, 5, r"5 vectors cannot fit 5 neighbours .*: at least 6 are needed; .*density\.neighbours lower"),
        ("subspace_gmm", {"subspace_dimensions": 7}, 200, r"length 6 have no subspace of 7 dimensions; .* at most 6"),
        ("ppca", {"subspace_dimensions": 7}, 200, r"length 6 have no subspace of 7 dimensions; .* at most 6"),
    ],
)
def test_vectors_that_do_not_fit_the_settings(
    model: AnomalyModel, settings: dict[str, Any], count: int, message: str
) -> None:
    with pytest.raises(DensityError, match=message):
        build_density(_config(model, **settings), seed=0).fit(_vectors(count))


@pytest.mark.parametrize(
    ("model", "settings", "count"),
    [
        ("subspace_gmm", {}, 4),
        ("ppca", {}, 5),
        ("ppca", {"subspace_dimensions": 6}, 7),
        ("ledoit_wolf", {}, 3),
        ("ocsvm", {}, 2),
        ("knn", {}, 6),
    ],
)
def test_the_fewest_vectors_that_are_needed_are_enough(
    model: AnomalyModel, settings: dict[str, Any], count: int
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        density = build_density(_config(model, **settings), seed=0).fit(_vectors(count))

    assert np.isfinite(density.log_likelihood(_vectors(seed=3))).all()


@pytest.mark.parametrize("model", NAMES)
def test_equal_vectors_are_refused(model: AnomalyModel) -> None:
    with pytest.raises(DensityError, match=r"all 10 training vectors are equal.*give pairs that differ"):
        build_density(_config(model), seed=0).fit(np.ones((10, 6)))


@pytest.mark.parametrize("model", NAMES)
def test_dimensions_that_never_vary_do_no_harm(model: AnomalyModel) -> None:
    vectors = np.c_[_vectors(), np.zeros(200), np.ones(200)]
    density = build_density(_config(model, gamma=0.02), seed=0).fit(vectors)

    assert np.isfinite(density.log_likelihood(vectors)).all()
    assert density.log_likelihood(vectors + 50).max() < np.median(density.log_likelihood(vectors))


def test_vectors_flat_outside_the_subspace_name_the_remedies_and_both_work() -> None:
    flat = np.c_[_vectors(dimensions=3), np.ones((200, 3))] @ np.linalg.qr(_vectors(6))[0]

    for dimensions in (3, 4, 6):
        with pytest.raises(DensityError, match=r"subspace_dimensions lower, or choose the model subspace_gmm"):
            PrincipalComponentsDensity(dimensions).fit(flat)
    for remedy in (PrincipalComponentsDensity(2), SubspaceMixtureDensity(3), SubspaceMixtureDensity(6)):
        assert np.isfinite(remedy.fit(flat).log_likelihood(flat)).all()


def test_a_fit_that_fails_halfway_leaves_an_unfitted_model() -> None:
    density = PrincipalComponentsDensity(3).fit(_vectors())
    with pytest.raises(DensityError, match="too few directions"):
        density.fit(np.c_[_vectors(dimensions=3), np.ones((200, 3))])

    with pytest.raises(DensityError, match="not fitted"):
        density.log_likelihood(_vectors())


def test_a_shrunk_covariance_that_cannot_be_inverted_names_the_remedy_and_the_remedy_works() -> None:
    # A sample so even that nothing is shrunk, and a dimension that does not vary.
    signs = np.tile(np.array([[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]]), (5, 1))
    vectors = np.c_[signs * [1e9, 1e-3], np.zeros(20)]

    with pytest.raises(DensityError, match="covariance floor stands in"):
        ShrunkGaussianDensity().fit(vectors)
    floor = GaussianMixtureDensity(components=1, covariance_floor=1e-6, covariance_floor_unit="data_variance")
    assert np.isfinite(floor.fit(vectors).log_likelihood(vectors)).all()


def test_few_vectors_are_warned_of() -> None:
    few = np.random.default_rng(9).normal(size=(20, 60))
    expected = {
        "subspace_gmm": "vary in only 16 of the 57 directions outside the subspace",
        "ppca": "vary in only 16 of the 57 directions outside the subspace",
        "ledoit_wolf": "% a sphere",
    }
    for model, message in expected.items():
        facts = build_density(_config(model, components=1), seed=0).fit(few).facts_  # type: ignore[arg-type]
        assert any(message in warning and "give more pairs" in warning for warning in facts.warnings)


@pytest.mark.parametrize("model", NEW)
def test_a_sound_fit_has_no_warning(model: AnomalyModel) -> None:
    facts = build_density(_config(model), seed=0).fit(_vectors(1000)).facts_

    assert facts.warnings == ()
    assert (facts.vectors, facts.dimensions) == (1000, 6)
    assert facts.mean_variance == pytest.approx(_vectors(1000).var(axis=0).mean())


def test_configuration_reaches_the_models() -> None:
    config: dict[str, Any] = {"subspace_dimensions": 2, "gamma": 0.25, "nu": 0.125, "neighbours": 7, "components": 2}
    built = {name: build_density(DensityConfig(model=name, **config), seed=0).fit(_vectors()) for name in NEW}
    subspace, ppca, _, ocsvm, knn = built.values()
    assert isinstance(subspace, SubspaceMixtureDensity)
    assert isinstance(ppca, PrincipalComponentsDensity)
    assert isinstance(ocsvm, OneClassDensity)
    assert isinstance(knn, NearestNeighboursDensity)

    assert (subspace.pca_.n_components_, subspace.mixture_.n_components, ppca.pca_.n_components_) == (2, 2, 2)
    assert (ocsvm.svm_.kernel, ocsvm.svm_.gamma, ocsvm.svm_.nu, knn.index_.n_neighbors) == ("rbf", 0.25, 0.125, 7)


@pytest.mark.parametrize("model", NAMES)
def test_the_fingerprint_depends_on_what_the_model_reads_and_on_nothing_else(model: AnomalyModel) -> None:
    changes: dict[str, Any] = {
        "components": 7, "covariance": "diag", "covariance_floor": 0.5, "covariance_floor_unit": "data_variance",
        "max_iterations": 9, "subspace_dimensions": 5, "gamma": 0.5, "nu": 0.25, "neighbours": 9,
        "logistic_regularisation": 0.5,
    }  # fmt: skip
    of_all = {"model", "against", "features", "combination", "l2_normalise", "fit_on", "held_out_folds"}
    # Which vectors a bound leaves enters by their digest; the bound itself changes no model.
    assert set(changes) | of_all | {"max_vectors"} == set(DensityConfig.model_fields)
    assert fingerprint("density", 1, DensityConfig(max_vectors=9), {}) == fingerprint("density", 1, DensityConfig(), {})
    plain = fingerprint("density", 1, DensityConfig(model=model), {})
    read = {
        name
        for name, value in changes.items()
        if fingerprint("density", 1, DensityConfig(model=model, **{name: value}), {}) != plain
    }

    assert read == {setting.name for setting in fields(MODELS[model]) if setting.init} - {"seed"}


def test_single_embeddings_have_another_fingerprint_which_ignores_the_combination() -> None:
    def name(**changes: Any) -> str:
        return fingerprint("density", 1, DensityConfig(**changes), {})

    assert name(features="embedding") != name()
    assert name(features="embedding", combination="cubic") == name(features="embedding")
    assert name(combination="cubic") != name()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"model": "oracle"}, "'ledoit_wolf'"),
        ({"gamma": 0}, "density.gamma.*greater than 0"),
        ({"gamma": "auto"}, "inverse_dimension"),
        ({"nu": 1.5}, "density.nu.*less than or equal to 1"),
        ({"neighbours": 0}, "density.neighbours.*greater than or equal to 1"),
        ({"subspace_dimensions": 0}, "density.subspace_dimensions"),
    ],
)
def test_settings_outside_their_bounds_are_refused(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config({"density": setting}, "test.yaml")
