"""One Gaussian whose covariance is shrunk towards a sphere, as far as the data ask for."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy.linalg import cholesky, solve_triangular
from sklearn.covariance import LedoitWolf

from difffake.differential.density_base import FittedDensity, Need, Vectors
from difffake.differential.density_facts import ShrunkGaussianFacts, mean_variance, shrinkage_warnings
from difffake.errors import DensityError


@dataclass(eq=False)
class ShrunkGaussianDensity(FittedDensity):
    """A Gaussian with the covariance (1 − s) S + s (tr S / D) I of Ledoit & Wolf (2004), s estimated from the vectors.

    It has no setting and no floor: the shrinkage takes their place. Needs 3 vectors.

    Attributes:
        gaussian_: the fitted scikit-learn model.
    """

    MODEL: ClassVar = "ledoit_wolf"
    FACTS: ClassVar = ShrunkGaussianFacts
    ESTIMATORS: ClassVar = {"gaussian": LedoitWolf}

    gaussian_: LedoitWolf = field(init=False, repr=False)
    facts_: ShrunkGaussianFacts = field(init=False, repr=False)
    _known_factor: tuple[Vectors, Vectors] | None = field(init=False, repr=False, default=None)

    def _needs(self, dimensions: int | None) -> Sequence[Need]:  # noqa: ARG002 - the same for vectors of any length
        return ((3, "a shrunk covariance", ""),)

    def _fit(self, training: Vectors) -> ShrunkGaussianFacts:
        # Its inverse would take longer than all else, and as much of the file as the covariance.
        self.gaussian_ = LedoitWolf(store_precision=False).fit(training)
        count, dimensions = training.shape
        shrinkage = float(self.gaussian_.shrinkage_)
        eigenvalues = np.linalg.eigvalsh(self.gaussian_.covariance_)
        if eigenvalues[0] <= dimensions * np.finfo(np.float64).eps * eigenvalues[-1]:
            raise DensityError(
                f"the covariance of {count} vectors of length {dimensions}, shrunk by {shrinkage:.3g}, cannot be "
                "inverted: some dimensions do not vary, or copy others; choose the model gmm or subspace_gmm, whose "
                "covariance floor stands in"
            )
        return ShrunkGaussianFacts(
            vectors=count,
            dimensions=dimensions,
            mean_log_likelihood=float(self._score(training).mean()),
            mean_variance=mean_variance(training),
            shrinkage=shrinkage,
            condition_number=float(eigenvalues[-1] / eigenvalues[0]),
            warnings=tuple(shrinkage_warnings(shrinkage)),
        )

    def _score(self, vectors: Vectors) -> Vectors:
        # scikit-learn's own mahalanobis gives the same by loops that take thirty times as long.
        lower = self._lower()
        whitened = solve_triangular(lower, (vectors - self.gaussian_.location_).T, lower=True, check_finite=False)
        distances = np.einsum("dn,dn->n", whitened, whitened)
        constant = 2 * np.log(np.diag(lower)).sum() + vectors.shape[1] * np.log(2 * np.pi)
        return np.asarray(-0.5 * (distances + constant), np.float64)

    def _lower(self) -> Vectors:
        """The covariance's lower triangular Cholesky factor, computed once a fit."""
        covariance = self.gaussian_.covariance_
        if self._known_factor is None or self._known_factor[0] is not covariance:
            self._known_factor = covariance, cholesky(covariance, lower=True, check_finite=False)
        return self._known_factor[1]

    def _parameters(self) -> tuple[str, Sequence[npt.ArrayLike]]:
        return self.MODEL, (self.gaussian_.location_, self.gaussian_.covariance_)
