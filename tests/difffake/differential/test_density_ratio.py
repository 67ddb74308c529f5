"""Densities compared with forged pairs: against the known ratio of two Gaussians, their files and their refusals."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.stats import multivariate_normal
from sklearn.metrics import roc_auc_score

from difffake.config import AnomalyModel, DensityConfig, ExperimentConfig
from difffake.differential.density import build_density, fit_density, load_density
from difffake.errors import ArtefactError, DensityError

REAL = np.random.default_rng(0).normal(size=(400, 5))
FORGED = np.random.default_rng(1).normal(loc=[1.5, 0, 0, 0, 0], scale=[1, 2, 1, 1, 1], size=(300, 5))
FRESH = np.random.default_rng(2).normal(size=(50, 5))
RATIO_MODELS: list[AnomalyModel] = ["gmm", "ledoit_wolf", "ppca", "subspace_gmm", "logistic"]


def against(model: AnomalyModel, **settings: Any) -> DensityConfig:
    defaults: dict[str, Any] = {"components": 1, "subspace_dimensions": 2, "logistic_regularisation": 1.0}
    return DensityConfig(model=model, against="pseudo_fakes", **(defaults | settings))


def test_a_ratio_is_the_difference_of_two_log_likelihoods() -> None:
    ratio = fit_density(against("gmm"), 0, REAL, FORGED)
    expected = [
        multivariate_normal(part.mean(axis=0), np.cov(part.T, bias=True) + 1e-6 * np.eye(5)).logpdf(FRESH)
        for part in (REAL, FORGED)
    ]
    np.testing.assert_allclose(ratio.log_likelihood(FRESH), expected[0] - expected[1], atol=1e-6)


@pytest.mark.parametrize("model", RATIO_MODELS)
def test_higher_is_more_natural_and_a_forged_shift_is_found(model: AnomalyModel) -> None:
    density = fit_density(against(model), 0, REAL, FORGED)
    natural, forged = density.log_likelihood(FRESH), density.log_likelihood(FORGED)
    assert natural.mean() > forged.mean()
    assert roc_auc_score(np.repeat([1, 0], [len(natural), len(forged)]), np.concatenate([natural, forged])) > 0.8
    assert density.facts_.vectors == 400
    assert density.facts_.mean_log_likelihood == pytest.approx(density.log_likelihood(REAL).mean())


@pytest.mark.parametrize("model", RATIO_MODELS)
def test_a_stored_ratio_says_the_same_and_has_the_same_name(model: AnomalyModel, tmp_path: Path) -> None:
    density = fit_density(against(model), 0, REAL, FORGED)
    density.save(tmp_path / "density.skops")
    loaded = load_density(tmp_path / "density.skops")
    np.testing.assert_array_equal(loaded.log_likelihood(FRESH), density.log_likelihood(FRESH))
    assert loaded.digest() == density.digest()
    assert loaded.facts_ == density.facts_
    assert fit_density(against(model), 0, REAL, FORGED[:200]).digest() != density.digest()


def test_too_few_or_no_forged_pairs_are_told_of() -> None:
    with pytest.raises(DensityError, match="there is no forged pair"):
        fit_density(against("gmm"), 0, REAL)
    with pytest.raises(DensityError, match="of the forged pairs: 1 vectors"):
        fit_density(against("ledoit_wolf"), 0, REAL, FORGED[:1])
    with pytest.raises(DensityError, match="1 vectors of forged pairs"):
        fit_density(against("logistic"), 0, REAL, FORGED[:1])
    with pytest.raises(DensityError, match="vectors of length 3"):
        fit_density(against("logistic"), 0, REAL, FORGED).log_likelihood(FRESH[:, :3])


def test_without_a_comparison_it_is_the_papers_density() -> None:
    config = DensityConfig(components=1)
    plain = build_density(config, 0).fit(REAL)
    assert fit_density(config, 0, REAL, FORGED).digest() == plain.digest()


def test_settings_that_cannot_go_together_are_refused() -> None:
    with pytest.raises(ValidationError, match="set against to pseudo_fakes"):
        DensityConfig(model="logistic")
    with pytest.raises(ValidationError, match="has no likelihood to compare"):
        against("knn")
    with pytest.raises(ValidationError, match="set features to difference"):
        against("gmm", features="embedding")
    with pytest.raises(ValidationError, match=r"pseudo_fakes\.variant is none"):
        ExperimentConfig.model_validate({"density": {"against": "pseudo_fakes"}, "pseudo_fakes": {"variant": "none"}})
    with pytest.raises(ValidationError, match=r"set pairs\.relation to same_video"):
        ExperimentConfig.model_validate({"density": {"against": "pseudo_fakes"}, "pairs": {"relation": "reference"}})


def test_a_file_with_half_of_a_ratio_is_refused(tmp_path: Path) -> None:
    import skops.io

    path = tmp_path / "density.skops"
    fit_density(against("gmm"), 0, REAL, FORGED).save(path)
    content = skops.io.load(path, trusted=[])
    del content["forged"]
    skops.io.dump(content, path)
    with pytest.raises(ArtefactError, match="incomplete density"):
        load_density(path)
