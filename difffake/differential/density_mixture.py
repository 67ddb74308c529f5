"""A Gaussian mixture over all dimensions: the paper's anomaly model (method: Sec. 3.4 of the paper)."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from difffake.config import Covariance
from difffake.differential.density_base import FittedDensity, Need, Vectors
from difffake.differential.density_facts import MixtureFacts, floor_dominated_share, mean_variance, mixture_warnings
from difffake.errors import DensityError

FloorUnit = Literal["absolute", "data_variance"]


@dataclass(eq=False)
class GaussianMixtureDensity(FittedDensity):
    """A Gaussian mixture fitted by expectation-maximisation from a k-means start, in float64.

    L2-normalised squared differences have variances near 1e-6, which is also what scikit-learn adds to the
    covariances' diagonal by default. That floor shapes the model, so it is stated here, absolutely or relative to
    the data. Needs 2 vectors, and as many as components. Not converging within `max_iterations` is no error: it is a
    fact, and a warning, of `facts_`.

    Attributes:
        components: number of Gaussians.
        covariance: full, tied, diag or spherical, in scikit-learn's sense.
        covariance_floor: added to the covariances' diagonal, above 0.
        covariance_floor_unit: absolute, in the vectors' squared unit; data_variance, as a multiple of the mean
            per-dimension variance of the training vectors.
        max_iterations: most expectation-maximisation steps.
        seed: of the k-means start, not negative.
        mixture_: the fitted scikit-learn model.
    """

    MODEL: ClassVar = "gmm"
    FACTS: ClassVar = MixtureFacts
    ESTIMATORS: ClassVar = {"mixture": GaussianMixture}

    components: int = 3
    covariance: Covariance = "full"
    covariance_floor: float = 1e-6
    covariance_floor_unit: FloorUnit = "absolute"
    max_iterations: int = 250
    seed: int = 0
    mixture_: GaussianMixture = field(init=False, repr=False)
    facts_: MixtureFacts = field(init=False, repr=False)

    @property
    def covariance_floor_(self) -> float:
        """The floor in the vectors' squared unit, resolved at fitting."""
        return self.facts_.covariance_floor

    def _needs(self, dimensions: int | None) -> Sequence[Need]:  # noqa: ARG002 - the same for vectors of any length
        return (need_of(self.components),)

    def _fit(self, training: Vectors) -> MixtureFacts:
        floor = resolve_floor(training, self.covariance_floor, self.covariance_floor_unit)
        self.mixture_ = fit_mixture(
            training,
            self.components,
            self.covariance,
            floor,
            self.max_iterations,
            self.seed,
            "choose the diag covariance",
        )
        variance, share = mean_variance(training), floor_dominated_share(self.mixture_)
        return MixtureFacts(
            vectors=training.shape[0],
            dimensions=training.shape[1],
            converged=bool(self.mixture_.converged_),
            iterations=int(self.mixture_.n_iter_),
            weights=tuple(float(weight) for weight in self.mixture_.weights_),
            mean_log_likelihood=float(self.mixture_.score(training)),
            covariance_floor=floor,
            mean_variance=variance,
            floor_dominated_share=share,
            warnings=tuple(mixture_warnings(self.mixture_, variance, share)),
        )

    def _score(self, vectors: Vectors) -> Vectors:
        return np.asarray(self.mixture_.score_samples(vectors), dtype=np.float64)

    def _parameters(self) -> tuple[str, Sequence[npt.ArrayLike]]:
        return self.covariance, (self.mixture_.weights_, self.mixture_.means_, self.mixture_.covariances_)


def need_of(components: int) -> Need:
    """As many vectors as components, and 2."""
    return max(components, 2), f"{components} components", " or set density.components lower"


def resolve_floor(training: Vectors, floor: float, unit: FloorUnit) -> float:
    """A covariance floor in the squared unit of the (N, D) training vectors.

    Raises:
        DensityError: the floor is relative to a variance of 0.
    """
    if unit == "absolute":
        return floor
    resolved = floor * mean_variance(training)
    if resolved <= 0:
        raise DensityError(
            "the training vectors vary so little that a covariance floor relative to their variance is 0; "
            "give pairs that differ, or state the floor in absolute units"
        )
    return resolved


def fit_mixture(
    training: Vectors,
    components: int,
    covariance: Covariance,
    floor: float,
    max_iterations: int,
    seed: int,
    alternative: str,
) -> GaussianMixture:
    """Expectation-maximisation from a k-means start; `alternative` is one more remedy for an error's message.

    Raises:
        DensityError: the covariances cannot be inverted.
    """
    mixture = GaussianMixture(
        n_components=components,
        covariance_type=covariance,
        reg_covar=floor,
        max_iter=max_iterations,
        init_params="kmeans",
        # scikit-learn takes 32 bits.
        random_state=int(np.random.SeedSequence(seed).generate_state(1)[0]),
    )
    try:
        with warnings.catch_warnings():
            # Recorded in the facts instead, with what to do about it.
            warnings.simplefilter("ignore", ConvergenceWarning)
            return mixture.fit(training)
    except (ValueError, np.linalg.LinAlgError) as error:
        raise DensityError(
            f"{components} {covariance} Gaussians with a covariance floor of {floor:.3g} cannot be "
            f"fitted on {training.shape[0]} vectors of length {training.shape[1]} ({error}); raise "
            f"density.covariance_floor, set density.components lower, or {alternative}"
        ) from error
