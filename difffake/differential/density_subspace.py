"""Densities with most of their shape in a principal subspace, and one variance in all directions outside it.

Much of the evidence of a fake lies outside the principal subspace of real differences: neither model here ignores it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

from difffake.differential.density_base import FittedDensity, Need, Vectors
from difffake.differential.density_facts import (
    PrincipalComponentsFacts,
    SubspaceMixtureFacts,
    floor_dominated_share,
    mean_variance,
    mixture_warnings,
    residual_warnings,
)
from difffake.differential.density_mixture import FloorUnit, fit_mixture, need_of, resolve_floor
from difffake.errors import DensityError

_LOWER = " or set density.subspace_dimensions lower"
# Copies of all vectors take longer to allocate than to fill; in smaller blocks BLAS threads wait for each other.
_ROWS_AT_ONCE = 1024


@dataclass(eq=False)
class SubspaceMixtureDensity(FittedDensity):
    """Full-covariance Gaussians in the first k principal coordinates, and an isotropic Gaussian on the residual.

    The coordinates and the residual of a vector are two orthogonal parts of it, modelled as independent:
    log p(x) = log p_mixture(Uᵀ(x − μ)) + log N(r; 0, σ²) with ‖r‖² = ‖x − μ − UUᵀ(x − μ)‖² over D − k directions. As U
    has orthonormal columns (no whitening), that is a proper density in R^D; at k = D it is the full mixture.
    σ² is the residual's maximum-likelihood variance plus the floor that the mixture's covariances get. Needs more than
    k vectors, k at most D, and as many as components.

    Attributes:
        subspace_dimensions: k.
        components, covariance_floor, covariance_floor_unit, max_iterations, seed: as in `GaussianMixtureDensity`; the
            floor's data_variance is that of the whole vectors.
        pca_: the fitted principal axes.
        mixture_: the fitted mixture of the coordinates.
    """

    MODEL: ClassVar = "subspace_gmm"
    FACTS: ClassVar = SubspaceMixtureFacts
    ESTIMATORS: ClassVar = {"pca": PCA, "mixture": GaussianMixture}

    subspace_dimensions: int = 64
    components: int = 3
    covariance_floor: float = 1e-6
    covariance_floor_unit: FloorUnit = "absolute"
    max_iterations: int = 250
    seed: int = 0
    pca_: PCA = field(init=False, repr=False)
    mixture_: GaussianMixture = field(init=False, repr=False)
    facts_: SubspaceMixtureFacts = field(init=False, repr=False)

    def _needs(self, dimensions: int | None) -> Sequence[Need]:  # noqa: ARG002 - the same for vectors of any length
        subspace = (self.subspace_dimensions + 1, f"a subspace of {self.subspace_dimensions} dimensions", _LOWER)
        return subspace, need_of(self.components)

    def _refuse_unfit(self, training: Vectors) -> None:
        _require_dimensions(training, self.subspace_dimensions)
        super()._refuse_unfit(training)

    def _fit(self, training: Vectors) -> SubspaceMixtureFacts:
        floor = resolve_floor(training, self.covariance_floor, self.covariance_floor_unit)
        self.pca_ = principal_axes(training, self.subspace_dimensions)
        coordinates, residuals = split(self.pca_, training)
        self.mixture_ = fit_mixture(
            coordinates,
            self.components,
            "full",
            floor,
            self.max_iterations,
            self.seed,
            "set density.subspace_dimensions lower",
        )
        count, dimensions = training.shape
        outside = dimensions - self.subspace_dimensions
        spread = float(residuals.mean() / outside) if outside else 0.0
        residual_variance = spread + floor if outside else 0.0
        variance = mean_variance(training)
        inside_share = floor_dominated_share(self.mixture_) * self.subspace_dimensions / dimensions
        share = inside_share + (outside / dimensions if spread < floor else 0.0)
        remedy = "give more pairs, or lower density.covariance_floor or density.components"
        return SubspaceMixtureFacts(
            vectors=count,
            dimensions=dimensions,
            converged=bool(self.mixture_.converged_),
            iterations=int(self.mixture_.n_iter_),
            weights=tuple(float(weight) for weight in self.mixture_.weights_),
            mean_log_likelihood=float(self._joint(coordinates, residuals, residual_variance).mean()),
            covariance_floor=floor,
            mean_variance=variance,
            floor_dominated_share=share,
            subspace_dimensions=self.subspace_dimensions,
            explained_variance_share=1 - spread * outside / (variance * dimensions),
            residual_variance=residual_variance,
            warnings=(
                *mixture_warnings(self.mixture_, variance, share, remedy),
                *residual_warnings(training, self.subspace_dimensions),
            ),
        )

    def _score(self, vectors: Vectors) -> Vectors:
        return self._joint(*split(self.pca_, vectors), self.facts_.residual_variance)

    def _joint(self, coordinates: Vectors, residuals: Vectors, residual_variance: float) -> Vectors:
        inside = np.asarray(self.mixture_.score_samples(coordinates), dtype=np.float64)
        outside = self.pca_.n_features_in_ - self.subspace_dimensions
        return inside + log_residual(residuals, outside, residual_variance)

    def _parameters(self) -> tuple[str, Sequence[npt.ArrayLike]]:
        mixture = (self.mixture_.weights_, self.mixture_.means_, self.mixture_.covariances_)
        return self.MODEL, (self.pca_.mean_, self.pca_.components_, *mixture, self.facts_.residual_variance)


@dataclass(eq=False)
class PrincipalComponentsDensity(FittedDensity):
    """Probabilistic PCA (Tipping & Bishop 1999): one Gaussian with k free variances and one for all other directions.

    Its variances have the divisor N − 1, scikit-learn's. It has no floor: vectors that do not vary outside the
    subspace are refused. Needs more than k + 1 vectors (k + 1 at k = D), k at most D.

    Attributes:
        subspace_dimensions: k.
        pca_: the fitted scikit-learn model.
    """

    MODEL: ClassVar = "ppca"
    FACTS: ClassVar = PrincipalComponentsFacts
    ESTIMATORS: ClassVar = {"pca": PCA}

    subspace_dimensions: int = 64
    pca_: PCA = field(init=False, repr=False)
    facts_: PrincipalComponentsFacts = field(init=False, repr=False)

    def _needs(self, dimensions: int | None) -> Sequence[Need]:
        is_all = dimensions is None or dimensions == self.subspace_dimensions
        what = f"a subspace of {self.subspace_dimensions} dimensions and what is outside it"
        return ((self.subspace_dimensions + (1 if is_all else 2), what, _LOWER),)

    def _refuse_unfit(self, training: Vectors) -> None:
        _require_dimensions(training, self.subspace_dimensions)
        super()._refuse_unfit(training)

    def _fit(self, training: Vectors) -> PrincipalComponentsFacts:
        self.pca_ = principal_axes(training, self.subspace_dimensions)
        count, dimensions = training.shape
        largest, smallest = self.pca_.explained_variance_[[0, -1]]
        if self.subspace_dimensions < dimensions:
            smallest = self.pca_.noise_variance_
        if smallest <= dimensions * np.finfo(np.float64).eps * largest:
            raise DensityError(
                f"{count} vectors of length {dimensions} vary in too few directions for a subspace of "
                f"{self.subspace_dimensions} dimensions and what is outside it; set density.subspace_dimensions lower, "
                "or choose the model subspace_gmm, whose covariance floor stands in"
            )
        return PrincipalComponentsFacts(
            vectors=count,
            dimensions=dimensions,
            mean_log_likelihood=float(self.pca_.score(training)),
            mean_variance=mean_variance(training),
            subspace_dimensions=self.subspace_dimensions,
            explained_variance_share=float(self.pca_.explained_variance_ratio_.sum()),
            residual_variance=float(self.pca_.noise_variance_),
            warnings=tuple(residual_warnings(training, self.subspace_dimensions)),
        )

    def _score(self, vectors: Vectors) -> Vectors:
        return np.asarray(self.pca_.score_samples(vectors), dtype=np.float64)

    def _parameters(self) -> tuple[str, Sequence[npt.ArrayLike]]:
        pca = self.pca_
        return self.MODEL, (pca.mean_, pca.components_, pca.explained_variance_, pca.noise_variance_)


def _require_dimensions(training: Vectors, subspace_dimensions: int) -> None:
    if subspace_dimensions > training.shape[1]:
        raise DensityError(
            f"vectors of length {training.shape[1]} have no subspace of {subspace_dimensions} dimensions; set "
            f"density.subspace_dimensions to at most {training.shape[1]}"
        )


def split(pca: PCA, vectors: Vectors) -> tuple[Vectors, Vectors]:
    """(N, D) vectors to their (N, k) principal coordinates and the (N,) squared lengths of their residuals."""
    coordinates, residuals = np.empty((len(vectors), pca.n_components_)), np.empty(len(vectors))
    for start in range(0, len(vectors), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        centred = vectors[rows] - pca.mean_
        coordinates[rows] = centred @ pca.components_.T
        # Subtracted as vectors: a difference of squared lengths would cancel where the residual is small.
        centred -= coordinates[rows] @ pca.components_
        residuals[rows] = np.einsum("nd,nd->n", centred, centred)
    return coordinates, residuals


def log_residual(residuals: Vectors, outside: int, variance: float) -> Vectors:
    """Log density, in nats, of (N,) squared residual lengths over `outside` directions of one variance; 0 for none."""
    if outside == 0:
        return np.zeros(len(residuals))
    return np.asarray(-0.5 * (residuals / variance + outside * np.log(2 * np.pi * variance)), dtype=np.float64)


def principal_axes(training: Vectors, count: int) -> PCA:
    """The first `count` principal axes of (N, D) vectors; the noise variance is the mean over all other D − `count`."""
    number, dimensions = training.shape
    if 2 * number <= dimensions:
        # A D × D covariance takes D³ to take apart, and most of its directions hold nothing.
        pca = PCA(count, svd_solver="full").fit(training)
        # It is the mean over N − count directions; what lies beyond N has no variance.
        pca.noise_variance_ *= (number - pca.n_components_) / (dimensions - pca.n_components_)
        return pca
    # It squares the vectors before centring them, so they come centred: an offset would drown small variances.
    mean = training.mean(axis=0)
    pca = PCA(count, svd_solver="covariance_eigh").fit(training - mean)
    pca.mean_ = pca.mean_ + mean
    return pca
