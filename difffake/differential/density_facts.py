"""What a fitted mixture looks like, and what a reader should know before trusting it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.mixture import GaussianMixture

Vectors = npt.NDArray[np.float64]

FLOOR_DOMINATES_ABOVE = 0.5
"""Share of floor-dominated directions above which a fit carries a warning."""


@dataclass(frozen=True)
class DensityFacts:
    """What a fit looked like, for the run's record.

    Attributes:
        vectors: number of training vectors.
        dimensions: their length.
        converged: expectation-maximisation reached its tolerance.
        iterations: its steps.
        weights: of the components, sum 1.
        mean_log_likelihood: of the training vectors, in nats a vector.
        covariance_floor: what was added to the covariances' diagonal, in the vectors' squared unit.
        mean_variance: of the training vectors, over the dimensions; the floor's natural yardstick.
        floor_dominated_share: share of the covariances' principal directions with less variance of data than floor.
        warnings: one sentence for each thing a reader should know before trusting the fit.
    """

    vectors: int
    dimensions: int
    converged: bool
    iterations: int
    weights: tuple[float, ...]
    mean_log_likelihood: float
    covariance_floor: float
    mean_variance: float
    floor_dominated_share: float
    warnings: tuple[str, ...]


def describe_fit(mixture: GaussianMixture, training: Vectors) -> DensityFacts:
    """The facts of `mixture`, fitted on the (N, D) vectors `training`."""
    floor = float(mixture.reg_covar)
    mean_variance = float(training.var(axis=0).mean())
    share = floor_dominated_share(mixture)
    return DensityFacts(
        vectors=training.shape[0],
        dimensions=training.shape[1],
        converged=bool(mixture.converged_),
        iterations=int(mixture.n_iter_),
        weights=tuple(float(weight) for weight in mixture.weights_),
        mean_log_likelihood=float(mixture.score(training)),
        covariance_floor=floor,
        mean_variance=mean_variance,
        floor_dominated_share=share,
        warnings=tuple(_warnings(mixture, floor, mean_variance, share)),
    )


def floor_dominated_share(mixture: GaussianMixture) -> float:
    """Share of the principal directions, over all components, in which the floor exceeds the data's own variance.

    The floor is added to each eigenvalue, so there an eigenvalue is less than twice the floor. With fewer vectors
    than dimensions, a full covariance has nothing but floor in the directions the vectors do not span.
    """
    eigenvalues = _EIGENVALUES[mixture.covariance_type](mixture.covariances_)
    return float(np.mean(eigenvalues < 2 * mixture.reg_covar))


_EIGENVALUES: dict[str, Callable[[Vectors], npt.NDArray[np.floating]]] = {
    "full": lambda covariances: np.linalg.eigvalsh(covariances),
    "tied": lambda covariance: np.linalg.eigvalsh(covariance),
    "diag": lambda variances: variances,
    "spherical": lambda variances: variances,
}


def _warnings(mixture: GaussianMixture, floor: float, mean_variance: float, share: float) -> Iterator[str]:
    if not mixture.converged_:
        yield (
            f"expectation-maximisation stopped at its limit of {mixture.n_iter_} iterations before converging; "
            "raise density.max_iterations"
        )
    if share > FLOOR_DOMINATES_ABOVE:
        yield (
            f"the covariance floor {floor:.3g} exceeds the data's variance in {share:.0%} of the directions (mean "
            f"variance a dimension {mean_variance:.3g}), so it shapes the density; give more pairs, lower "
            "density.covariance_floor, or choose the diag or tied covariance"
        )
