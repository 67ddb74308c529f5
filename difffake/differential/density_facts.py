"""What a fitted density looks like, and what a reader should know before trusting it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.mixture import GaussianMixture

Vectors = npt.NDArray[np.float64]

FLOOR_DOMINATES_ABOVE = 0.5
"""Share of floor-dominated directions above which a fit carries a warning."""

SHRINKAGE_DOMINATES_ABOVE = 0.5
"""Weight of the sphere in a shrunk covariance above which a fit carries a warning."""

SPANNED_BELOW = 0.5
"""Share of the residual's directions spanned by the training vectors below which a fit carries a warning."""

KERNEL_CONSTANT_BELOW = 1e-3
"""Mean exponent of a Gaussian kernel below which all vectors look alike to it, and a fit carries a warning."""

MIXTURE_REMEDY = "give more pairs, lower density.covariance_floor, or choose the diag or tied covariance"


@dataclass(frozen=True)
class DensityFacts:
    """What a fit looked like, for the run's record; each model adds facts of its own.

    Attributes:
        vectors: number of training vectors.
        dimensions: their length.
        mean_log_likelihood: of the training vectors, in nats a vector; of a model without likelihood, its mean score.
        mean_variance: of the training vectors, over the dimensions.
        warnings: one sentence for each thing a reader should know before trusting the fit.
    """

    vectors: int
    dimensions: int
    mean_log_likelihood: float
    mean_variance: float
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class MixtureFacts(DensityFacts):
    """What the fit of a Gaussian mixture looked like.

    Attributes:
        converged: expectation-maximisation reached its tolerance.
        iterations: its steps.
        weights: of the components, sum 1.
        covariance_floor: what was added to the covariances' diagonal, in the vectors' squared unit; compare it with
            the mean variance.
        floor_dominated_share: share of the covariances' principal directions with less variance of data than floor.
    """

    converged: bool
    iterations: int
    weights: tuple[float, ...]
    covariance_floor: float
    floor_dominated_share: float


@dataclass(frozen=True)
class SubspaceMixtureFacts(MixtureFacts):
    """What the fit of a mixture in a subspace looked like.

    Attributes:
        subspace_dimensions: k, of the principal subspace.
        explained_variance_share: share of the training vectors' variance inside it.
        residual_variance: of the Gaussian outside it, a direction, with its floor; 0 where nothing is outside.
    """

    subspace_dimensions: int
    explained_variance_share: float
    residual_variance: float


@dataclass(frozen=True)
class PrincipalComponentsFacts(DensityFacts):
    """What the fit of a probabilistic PCA looked like; its attributes are those of `SubspaceMixtureFacts`."""

    subspace_dimensions: int
    explained_variance_share: float
    residual_variance: float


@dataclass(frozen=True)
class ShrunkGaussianFacts(DensityFacts):
    """What the fit of a Gaussian with a shrunk covariance looked like.

    Attributes:
        shrinkage: weight of the sphere in the covariance, in [0, 1]; the sample covariance has the rest.
        condition_number: of the covariance, largest over smallest eigenvalue.
    """

    shrinkage: float
    condition_number: float


@dataclass(frozen=True)
class OneClassFacts(DensityFacts):
    """What the fit of a one-class support vector machine looked like.

    Attributes:
        converged: the solver reached its tolerance.
        iterations: its steps.
        gamma: of the kernel exp(−gamma · ‖x − y‖²), as resolved.
        kernel_exponent: mean of gamma · ‖x − y‖² over two training vectors drawn at random.
        support_vectors: how many training vectors the boundary rests on.
        outside_share: share of the training vectors outside it.
    """

    converged: bool
    iterations: int
    gamma: float
    kernel_exponent: float
    support_vectors: int
    outside_share: float


@dataclass(frozen=True)
class NeighbourFacts(DensityFacts):
    """What a set of remembered vectors looked like.

    Attributes:
        neighbours: how many nearest training vectors are averaged over.
        median_distance: of the training vectors' mean distances to their own neighbours, themselves left out.
    """

    neighbours: int
    median_distance: float


@dataclass(frozen=True)
class AgainstForgedFacts(DensityFacts):
    """What a density looked like that was compared with forged pairs; its vectors are those of the real ones.

    Attributes:
        forged_vectors: number of training vectors of forged pairs.
        forged_mean_log_likelihood: of these, under the comparison: below that of the real ones.
    """

    forged_vectors: int
    forged_mean_log_likelihood: float


@dataclass(frozen=True)
class RatioFacts(AgainstForgedFacts):
    """What a likelihood ratio looked like.

    Attributes:
        model: by which both kinds of pairs are described.
    """

    model: str


@dataclass(frozen=True)
class LogisticFacts(AgainstForgedFacts):
    """What a logistic regression looked like.

    Attributes:
        converged: the solver reached its tolerance.
        iterations: its steps.
    """

    converged: bool
    iterations: int


def mean_variance(training: Vectors) -> float:
    """Over the dimensions of the (N, D) training vectors; the natural yardstick of floors and kernels."""
    return float(training.var(axis=0).mean())


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


def mixture_warnings(
    mixture: GaussianMixture, variance: float, share: float, remedy: str = MIXTURE_REMEDY
) -> Iterator[str]:
    """What to know about a mixture: it did not converge, or its floor shapes it."""
    if not mixture.converged_:
        yield (
            f"expectation-maximisation stopped at its limit of {mixture.n_iter_} iterations before converging; "
            "raise density.max_iterations"
        )
    if share > FLOOR_DOMINATES_ABOVE:
        yield (
            f"the covariance floor {float(mixture.reg_covar):.3g} exceeds the data's variance in {share:.0%} of the "
            f"directions (mean variance a dimension {variance:.3g}), so it shapes the density; {remedy}"
        )


def residual_warnings(training: Vectors, subspace_dimensions: int) -> Iterator[str]:
    """What to know about a residual's variance: few vectors saw only a part of the directions it is spread over."""
    count, dimensions = training.shape
    outside = dimensions - subspace_dimensions
    spanned = min(count - 1, dimensions) - subspace_dimensions
    if outside and spanned / outside < SPANNED_BELOW:
        yield (
            f"{count} vectors vary in only {spanned} of the {outside} directions outside the subspace, so the "
            "residual's variance is too small for vectors not trained on; give more pairs"
        )


def shrinkage_warnings(shrinkage: float) -> Iterator[str]:
    """What to know about a shrunk covariance: it is mostly the sphere it was shrunk to."""
    if shrinkage > SHRINKAGE_DOMINATES_ABOVE:
        yield (
            f"the covariance is {shrinkage:.0%} a sphere, because the vectors are few for their length: the score is "
            "close to the distance from their mean; give more pairs"
        )


def kernel_warnings(exponent: float, scale_gamma: float, converged: bool, iterations: int) -> Iterator[str]:
    """What to know about a support vector machine: no convergence, or a kernel that tells no vectors apart."""
    if not converged:
        yield (
            f"the support vector machine stopped at its limit of {iterations} iterations before converging; raise "
            "density.nu or density.gamma"
        )
    if exponent < KERNEL_CONSTANT_BELOW:
        yield (
            f"the kernel differs from 1 by only {exponent:.1g} between two vectors, so the score is little more than "
            f"the distance from their mean; set density.gamma to 1 / (dimensions × variance) = {scale_gamma:.3g}"
        )
