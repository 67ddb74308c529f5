"""How likely a vector of natural change is (method: Sec. 3.4 of the paper): a density fitted on real pairs only.

The entry to all anomaly models: `build_density` makes the one a configuration names, `load_density` the one in a file.
"""

import json
from pathlib import Path
from typing import Protocol
from zipfile import BadZipFile

from difffake.config import Covariance, DensityConfig
from difffake.differential.density_base import FILE_VERSION, FittedDensity, Vectors
from difffake.differential.density_distance import NearestNeighboursDensity, OneClassDensity
from difffake.differential.density_facts import DensityFacts
from difffake.differential.density_mixture import FloorUnit, GaussianMixtureDensity
from difffake.differential.density_ratio import LikelihoodRatioDensity, LogisticDensity
from difffake.differential.density_shrinkage import ShrunkGaussianDensity
from difffake.differential.density_subspace import PrincipalComponentsDensity, SubspaceMixtureDensity
from difffake.errors import ArtefactError, DensityError
from difffake.randomness import derive_seed

__all__ = [
    "FILE_VERSION",
    "MODELS",
    "STAGE_VERSION",
    "Covariance",
    "DensityModel",
    "FloorUnit",
    "GaussianMixtureDensity",
    "LikelihoodRatioDensity",
    "LogisticDensity",
    "NearestNeighboursDensity",
    "OneClassDensity",
    "PrincipalComponentsDensity",
    "ShrunkGaussianDensity",
    "SubspaceMixtureDensity",
    "Vectors",
    "build_density",
    "fit_density",
    "load_density",
    "save_density",
]

STAGE_VERSION = 1
"""Enters the fingerprint of the density: bump it when a fit's output changes."""


class DensityModel(Protocol):
    """Anything that has learnt how likely vectors of natural change are."""

    @property
    def facts_(self) -> DensityFacts:
        """What the fit looked like."""
        ...

    def log_likelihood(self, vectors: Vectors) -> Vectors:
        """(N, D) vectors to their (N,) log-likelihoods, in nats, float64; higher is more natural.

        Compared with forged pairs it is the log-likelihood ratio of the two. The models ocsvm and knn have no
        likelihood: a score of their own, higher for more natural vectors, takes its place. Scores of one model compare
        with each other, never with those of another.
        """
        ...

    def save(self, path: Path) -> None:
        """Write the fitted model to a file that `load_density` reads."""
        ...

    def digest(self) -> str:
        """64 hex digits that name the fitted parameters, equal for equal fits."""
        ...


MODELS: dict[str, type[FittedDensity]] = {
    "gmm": GaussianMixtureDensity,
    "subspace_gmm": SubspaceMixtureDensity,
    "ppca": PrincipalComponentsDensity,
    "ledoit_wolf": ShrunkGaussianDensity,
    "ocsvm": OneClassDensity,
    "knn": NearestNeighboursDensity,
}


def build_density(config: DensityConfig, seed: int) -> FittedDensity:
    """The unfitted density of real pairs that a configuration asks for; `seed` is the experiment's.

    Of a logistic regression, which has none, the Gaussian with a shrunk covariance.
    """
    model = MODELS["ledoit_wolf" if config.model == "logistic" else config.model]
    settings = {name: getattr(config, name) for name in model.setting_names() if name != "seed"}
    if "seed" in model.setting_names():
        settings["seed"] = derive_seed(seed, "density")
    return model(**settings)


def fit_density(config: DensityConfig, seed: int, vectors: Vectors, forged: Vectors | None = None) -> DensityModel:
    """The fitted density a configuration asks for.

    Args:
        config: which model, and what it is compared with.
        seed: the experiment's.
        vectors: (N, D) of real pairs.
        forged: (M, D) of pairs of pseudo-fakes; needed by a density that is compared with them, of no effect else.

    Raises:
        DensityError: too few vectors of either kind, or they cannot be fitted.
    """
    if config.against == "nothing":
        return build_density(config, seed).fit(vectors)
    if forged is None or not len(forged):
        raise DensityError(
            "density.against is pseudo_fakes, and there is no forged pair: give the roles of density.fit_on videos "
            "with several faces a person, and pseudo_fakes a variant that makes some"
        )
    if config.model == "logistic":
        return LogisticDensity(config.logistic_regularisation).fit(vectors, forged)
    return LikelihoodRatioDensity(build_density(config, seed), build_density(config, seed)).fit(vectors, forged)


def save_density(model: DensityModel, path: Path) -> None:
    """Write a fitted density to `path` (skops); see `DensityModel.save`."""
    model.save(path)


def load_density(path: Path) -> DensityModel:
    """Read a stored density, of whichever model, without running any code of the file.

    Its likelihoods are those of the saved model.

    Raises:
        ArtefactError: the file is missing, damaged, of another version, or holds types nothing here wrote.
    """
    # Imported here: it loads all of scikit-learn, for a second and a half.
    import skops.io

    try:
        content = skops.io.load(path, trusted=[])
    except (OSError, BadZipFile, NotImplementedError, KeyError, TypeError, ValueError, json.JSONDecodeError) as error:
        raise ArtefactError(f"{path} is not a readable density ({error}); fit the density again") from error
    version = content.get("file_version") if isinstance(content, dict) else None
    if version != FILE_VERSION:
        raise ArtefactError(
            f"{path} holds a density of file version {version}, expected {FILE_VERSION}; fit the density again"
        )
    try:
        if content["model"] == LogisticDensity.MODEL:
            return LogisticDensity.from_content(content)
        if content["model"] == LikelihoodRatioDensity.MODEL:
            parts = [MODELS[content[part]["model"]].from_content(content[part]) for part in ("natural", "forged")]
            return LikelihoodRatioDensity.from_content(content, *parts)
        return MODELS[content["model"]].from_content(content)
    except (KeyError, TypeError, ValueError) as error:
        raise ArtefactError(f"{path} holds an incomplete density ({error!r}); fit the density again") from error
