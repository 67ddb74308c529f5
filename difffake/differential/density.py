"""How likely a vector of natural change is (method: Sec. 3.4 of the paper): a density fitted on real pairs only."""

import hashlib
import json
import logging
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, Protocol, Self
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import skops.io
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.utils.validation import check_is_fitted

from difffake.config import DensityConfig
from difffake.differential.density_facts import DensityFacts, describe_fit
from difffake.errors import ArtefactError, DensityError
from difffake.randomness import derive_seed

STAGE_VERSION = 1
"""Enters the fingerprint of the density: bump it when a fit's output changes."""

FILE_VERSION = 1
"""Layout of a stored density."""

Vectors = npt.NDArray[np.float64]
Covariance = Literal["full", "tied", "diag", "spherical"]
FloorUnit = Literal["absolute", "data_variance"]

logger = logging.getLogger(__name__)


class DensityModel(Protocol):
    """Anything that learns how likely vectors of natural change are."""

    @property
    def facts_(self) -> DensityFacts:
        """What the fit looked like."""
        ...

    def fit(self, vectors: Vectors) -> Self:
        """Learn from (N, D) vectors of real pairs."""
        ...

    def log_likelihood(self, vectors: Vectors) -> Vectors:
        """(N, D) vectors to their (N,) log-likelihoods, in nats, float64."""
        ...

    def save(self, path: Path) -> None:
        """Write the fitted model to a file that `load_density` reads."""
        ...

    def digest(self) -> str:
        """64 hex digits that name the fitted parameters, equal for equal fits."""
        ...


class GaussianMixtureDensity:
    """A Gaussian mixture fitted by expectation-maximisation from a k-means start, in float64.

    L2-normalised squared differences have variances near 1e-6, which is also what scikit-learn adds to the
    covariances' diagonal by default. That floor shapes the model, so it is stated here, absolutely or relative to
    the data.

    Args:
        components: number of Gaussians.
        covariance: full, tied, diag or spherical, in scikit-learn's sense.
        covariance_floor: added to the covariances' diagonal, above 0.
        covariance_floor_unit: absolute, in the vectors' squared unit; data_variance, as a multiple of the mean
            per-dimension variance of the training vectors.
        max_iterations: most expectation-maximisation steps.
        seed: of the k-means start, not negative.

    Attributes:
        mixture_: the fitted scikit-learn model.
        covariance_floor_: the floor in the vectors' squared unit.
        facts_: what the fit looked like.
    """

    mixture_: GaussianMixture
    facts_: DensityFacts

    def __init__(
        self,
        components: int = 3,
        covariance: Covariance = "full",
        covariance_floor: float = 1e-6,
        covariance_floor_unit: FloorUnit = "absolute",
        max_iterations: int = 250,
        seed: int = 0,
    ) -> None:
        self.components = components
        self.covariance = covariance
        self.covariance_floor = covariance_floor
        self.covariance_floor_unit = covariance_floor_unit
        self.max_iterations = max_iterations
        self.seed = seed

    @property
    def covariance_floor_(self) -> float:
        """The floor in the vectors' squared unit, resolved at fitting."""
        return self.facts_.covariance_floor

    def fit(self, vectors: Vectors) -> Self:
        """Learn from (N, D) vectors of real pairs, N at least 2 and at least the number of components.

        Not converging within `max_iterations` is no error: it is a fact, and a warning, of `facts_`.

        Raises:
            DensityError: too few vectors, a value that is not finite, or covariances that cannot be inverted.
        """
        training = _checked(vectors)
        needed = max(self.components, 2)
        if len(training) < needed:
            raise DensityError(
                f"{len(training)} vectors cannot fit {self.components} components: at least {needed} are needed; "
                "give more real pairs or set density.components lower"
            )
        self.mixture_ = self._fit_mixture(training, self._resolve_floor(training))
        self.facts_ = describe_fit(self.mixture_, training)
        for warning in self.facts_.warnings:
            logger.warning("%s", warning)
        return self

    def log_likelihood(self, vectors: Vectors) -> Vectors:
        """(N, D) vectors to their (N,) log-likelihoods, in nats, float64.

        Raises:
            DensityError: the model is not fitted, D is another than in training, or a value is not finite.
        """
        self._require_fit()
        checked = _checked(vectors)
        if checked.shape[1] != self.facts_.dimensions:
            raise DensityError(
                f"vectors of length {checked.shape[1]} were given to a density fitted on length "
                f"{self.facts_.dimensions}: embed with the backbone the density was fitted with"
            )
        if len(checked) == 0:
            return np.empty(0)
        return np.asarray(self.mixture_.score_samples(checked), dtype=np.float64)

    def save(self, path: Path) -> None:
        """Write the fitted model to a file that `load_density` reads; no pickle, no code.

        The bytes of two saves of one model differ (they hold a time), its likelihoods do not.

        Raises:
            DensityError: the model is not fitted.
        """
        self._require_fit()
        settings = {
            "components": self.components,
            "covariance": self.covariance,
            "covariance_floor": self.covariance_floor,
            "covariance_floor_unit": self.covariance_floor_unit,
            "max_iterations": self.max_iterations,
            "seed": self.seed,
        }
        content = {"settings": settings, "facts": asdict(self.facts_), "mixture": self.mixture_}
        skops.io.dump({"file_version": FILE_VERSION, "model": "gmm", **content}, path)

    def digest(self) -> str:
        """64 hex digits that name the fitted parameters, equal for equal fits; unlike the bytes of a saved file.

        Raises:
            DensityError: the model is not fitted.
        """
        self._require_fit()
        parameters = hashlib.sha256(self.covariance.encode())
        for array in (self.mixture_.weights_, self.mixture_.means_, self.mixture_.covariances_):
            parameters.update(np.ascontiguousarray(array, np.float64).tobytes())
        return parameters.hexdigest()

    @classmethod
    def from_content(cls, content: dict[str, Any]) -> Self:
        """Rebuild what `save` wrote; KeyError, TypeError or ValueError where it did not write it."""
        model = cls(**content["settings"])
        if not isinstance(content["mixture"], GaussianMixture):
            raise TypeError(f"a GaussianMixture was expected, not a {type(content['mixture']).__name__}")
        check_is_fitted(content["mixture"])
        model.mixture_, model.facts_ = content["mixture"], DensityFacts(**content["facts"])
        return model

    def _require_fit(self) -> None:
        if not hasattr(self, "facts_"):
            raise DensityError("this density is not fitted: call fit with the vectors of real pairs first")

    def _resolve_floor(self, training: Vectors) -> float:
        if self.covariance_floor_unit == "absolute":
            return self.covariance_floor
        floor = self.covariance_floor * float(training.var(axis=0).mean())
        if floor <= 0:
            raise DensityError(
                "all training vectors are equal, so a covariance floor relative to their variance is 0; "
                "give pairs that differ, or state the floor in absolute units"
            )
        return floor

    def _fit_mixture(self, training: Vectors, floor: float) -> GaussianMixture:
        mixture = GaussianMixture(
            n_components=self.components,
            covariance_type=self.covariance,
            reg_covar=floor,
            max_iter=self.max_iterations,
            init_params="kmeans",
            # scikit-learn takes 32 bits.
            random_state=int(np.random.SeedSequence(self.seed).generate_state(1)[0]),
        )
        try:
            with warnings.catch_warnings():
                # Recorded in the facts instead, with what to do about it.
                warnings.simplefilter("ignore", ConvergenceWarning)
                return mixture.fit(training)
        except (ValueError, np.linalg.LinAlgError) as error:
            raise DensityError(
                f"{self.components} {self.covariance} Gaussians with a covariance floor of {floor:.3g} cannot be "
                f"fitted on {training.shape[0]} vectors of length {training.shape[1]} ({error}); raise "
                "density.covariance_floor, set density.components lower, or choose the diag covariance"
            ) from error


_MODELS: dict[str, Callable[[dict[str, Any]], DensityModel]] = {"gmm": GaussianMixtureDensity.from_content}


def build_density(config: DensityConfig, seed: int) -> DensityModel:
    """The unfitted density a configuration asks for; `seed` is the experiment's."""
    return GaussianMixtureDensity(
        components=config.components,
        covariance=config.covariance,
        covariance_floor=config.covariance_floor,
        covariance_floor_unit=config.covariance_floor_unit,
        max_iterations=config.max_iterations,
        seed=derive_seed(seed, "density"),
    )


def save_density(model: DensityModel, path: Path) -> None:
    """Write a fitted density to `path` (skops); see `DensityModel.save`."""
    model.save(path)


def load_density(path: Path) -> DensityModel:
    """Read a stored density without running any code of the file; its likelihoods are those of the saved model.

    Raises:
        ArtefactError: the file is missing, damaged, of another version, or holds types nothing here wrote.
    """
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
        return _MODELS[content["model"]](content)
    except (KeyError, TypeError, ValueError) as error:
        raise ArtefactError(f"{path} holds an incomplete density ({error!r}); fit the density again") from error


def _checked(vectors: Vectors) -> Vectors:
    checked = np.asarray(vectors, dtype=np.float64)
    if checked.ndim != 2:
        raise DensityError(f"vectors must have the shape (N, D), not {checked.shape}")
    faulty = np.count_nonzero(~np.isfinite(checked).all(axis=1))
    if faulty:
        raise DensityError(
            f"{faulty} of {len(checked)} vectors hold NaN or infinity; embed their faces again, and check the "
            "backbone's weights if it happens again"
        )
    return checked
