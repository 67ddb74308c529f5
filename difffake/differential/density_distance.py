"""Anomaly models without a likelihood: their scores rank vectors as a density would, in units of their own."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.neighbors import NearestNeighbors
from sklearn.svm import OneClassSVM

from difffake.differential.density_base import FittedDensity, Need, Vectors
from difffake.differential.density_facts import NeighbourFacts, OneClassFacts, kernel_warnings, mean_variance

Gamma = float | Literal["inverse_dimension"]

TOLERANCE = 1e-6
"""Of the solver. scikit-learn's 1e-3 ends at its starting point where kernel values hardly differ, as with 1 / D."""

MAX_STEPS = 1_000_000
"""Of the solver, a bound on time."""


@dataclass(eq=False)
class OneClassDensity(FittedDensity):
    """A one-class support vector machine with a Gaussian kernel: the paper's ablation, at gamma = 1 / D.

    Its `log_likelihood` is no likelihood but the decision function: above 0 inside the learned boundary, lower is less
    natural. Far from all training vectors it saturates. Needs 2 vectors.

    Attributes:
        gamma: of the kernel exp(−gamma · ‖x − y‖²), above 0; inverse_dimension: 1 / D.
        nu: in (0, 1], at most this share of the training vectors is left outside, at least it supports the boundary.
        svm_: the fitted scikit-learn model.
    """

    MODEL: ClassVar = "ocsvm"
    FACTS: ClassVar = OneClassFacts
    ESTIMATORS: ClassVar = {"svm": OneClassSVM}

    gamma: Gamma = "inverse_dimension"
    nu: float = 0.5
    svm_: OneClassSVM = field(init=False, repr=False)
    facts_: OneClassFacts = field(init=False, repr=False)

    def _needs(self, dimensions: int | None) -> Sequence[Need]:  # noqa: ARG002 - the same for vectors of any length
        return ((2, "a one-class support vector machine", ""),)

    def _fit(self, training: Vectors) -> OneClassFacts:
        count, dimensions = training.shape
        gamma = 1 / dimensions if self.gamma == "inverse_dimension" else float(self.gamma)
        self.svm_ = OneClassSVM(kernel="rbf", gamma=gamma, nu=self.nu, tol=TOLERANCE, max_iter=MAX_STEPS)
        with warnings.catch_warnings():
            # Recorded in the facts instead, with what to do about it.
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.svm_.fit(training)
        scores, variance = self._score(training), mean_variance(training)
        # Two independent vectors differ by twice the variance in each dimension.
        exponent = gamma * 2 * dimensions * variance
        converged, iterations = self.svm_.fit_status_ == 0, int(self.svm_.n_iter_)
        return OneClassFacts(
            vectors=count,
            dimensions=dimensions,
            converged=converged,
            iterations=iterations,
            mean_log_likelihood=float(scores.mean()),
            mean_variance=variance,
            gamma=gamma,
            kernel_exponent=exponent,
            support_vectors=len(self.svm_.support_),
            outside_share=float(np.mean(scores < 0)),
            warnings=tuple(kernel_warnings(exponent, 1 / (dimensions * variance), converged, iterations)),
        )

    def _score(self, vectors: Vectors) -> Vectors:
        return np.asarray(self.svm_.decision_function(vectors), dtype=np.float64)

    def _parameters(self) -> tuple[str, Sequence[npt.ArrayLike]]:
        svm = self.svm_
        return self.MODEL, (self.facts_.gamma, svm.support_vectors_, svm.dual_coef_, svm.intercept_)


@dataclass(eq=False)
class NearestNeighboursDensity(FittedDensity):
    """Remembers the training vectors; how natural a vector is falls with its distance to the nearest of them.

    Its `log_likelihood` is no likelihood but minus the mean Euclidean distance to the k nearest training vectors, at
    most 0. The mean in `facts_` leaves each training vector itself out. A stored model is as large as its training
    vectors. Needs more than k vectors.

    Attributes:
        neighbours: k.
        index_: the training vectors, searched exhaustively: no tree helps in a thousand dimensions.
    """

    MODEL: ClassVar = "knn"
    FACTS: ClassVar = NeighbourFacts
    ESTIMATORS: ClassVar = {"index": NearestNeighbors}

    neighbours: int = 5
    index_: NearestNeighbors = field(init=False, repr=False)
    facts_: NeighbourFacts = field(init=False, repr=False)

    def _needs(self, dimensions: int | None) -> Sequence[Need]:  # noqa: ARG002 - the same for vectors of any length
        what = f"{self.neighbours} neighbours of each of them"
        return ((self.neighbours + 1, what, " or set density.neighbours lower"),)

    def _fit(self, training: Vectors) -> NeighbourFacts:
        self.index_ = NearestNeighbors(n_neighbors=self.neighbours, algorithm="brute").fit(training)
        to_others = self.index_.kneighbors()[0].mean(axis=1)
        return NeighbourFacts(
            vectors=training.shape[0],
            dimensions=training.shape[1],
            mean_log_likelihood=-float(to_others.mean()),
            mean_variance=mean_variance(training),
            neighbours=self.neighbours,
            median_distance=float(np.median(to_others)),
            warnings=(),
        )

    def _score(self, vectors: Vectors) -> Vectors:
        distances, _ = self.index_.kneighbors(vectors)
        return np.asarray(-distances.mean(axis=1), dtype=np.float64)

    def _parameters(self) -> tuple[str, Sequence[npt.ArrayLike]]:
        return f"{self.MODEL} {self.neighbours}", (self.index_._fit_X,)
