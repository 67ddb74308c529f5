"""How much likelier a difference is between real faces than between forged ones (not in the paper).

The paper's density knows real pairs alone, and asks how common a difference is. Compared with pairs of pseudo-fakes of
the same people it asks the question of the verdict: which of the two kinds it belongs to. No real fake is needed. What
tells is called log-likelihood as everywhere: higher is more natural.
"""

from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from difffake.differential.density_base import FILE_VERSION, FittedDensity, Vectors, checked_vectors, write_content
from difffake.differential.density_facts import LogisticFacts, RatioFacts, mean_variance
from difffake.errors import DensityError

FEWEST_VECTORS = 2
"""Of either kind, for a logistic regression."""
MAX_STEPS = 2000
"""Of its solver, a bound on time."""


class LikelihoodRatioDensity:
    """log p(v | pair of real faces) − log p(v | pair of forged faces), in nats, of two densities of one kind.

    Args:
        natural: unfitted, for real pairs.
        forged: unfitted, for forged pairs.
    """

    MODEL = "ratio"
    facts_: RatioFacts

    def __init__(self, natural: FittedDensity, forged: FittedDensity) -> None:
        self.natural = natural
        self.forged = forged

    def fit(self, vectors: Vectors, forged: Vectors) -> Self:
        """Learn from (N, D) vectors of real pairs and (M, D) vectors of forged ones.

        Raises:
            DensityError: too few of either, a value that is not finite, or vectors the model cannot be fitted on.
        """
        try:
            self.forged.fit(forged)
        except DensityError as error:
            raise DensityError(f"of the forged pairs: {error}") from error
        facts = self.natural.fit(vectors).facts_
        self.facts_ = RatioFacts(
            vectors=facts.vectors,
            dimensions=facts.dimensions,
            mean_log_likelihood=float(self.log_likelihood(vectors).mean()),
            mean_variance=facts.mean_variance,
            warnings=(*facts.warnings, *(f"forged pairs: {text}" for text in self.forged.facts_.warnings)),
            forged_vectors=self.forged.facts_.vectors,
            forged_mean_log_likelihood=float(self.log_likelihood(forged).mean()),
            model=self.natural.MODEL,
        )
        return self

    def log_likelihood(self, vectors: Vectors) -> Vectors:
        """(N, D) vectors to their (N,) log-likelihood ratios, float64; see `DensityModel.log_likelihood`."""
        return self.natural.log_likelihood(vectors) - self.forged.log_likelihood(vectors)

    def save(self, path: Path) -> None:
        """Write the fitted model to a file that `load_density` reads."""
        write_content(
            {
                "file_version": FILE_VERSION,
                "model": self.MODEL,
                "facts": asdict(self.facts_),
                "natural": self.natural.content(),
                "forged": self.forged.content(),
            },
            path,
        )

    def digest(self) -> str:
        """64 hex digits that name the fitted parameters, equal for equal fits."""
        return sha256(f"ratio {self.natural.digest()} {self.forged.digest()}".encode()).hexdigest()

    @classmethod
    def from_content(cls, content: dict[str, Any], natural: FittedDensity, forged: FittedDensity) -> Self:
        """Put together what `save` wrote."""
        ratio = cls(natural, forged)
        ratio.facts_ = RatioFacts(**content["facts"])
        return ratio


@dataclass(eq=False)
class LogisticDensity:
    """The log-odds that a pair is of real faces, by penalised logistic regression in which both kinds weigh the same.

    Attributes:
        regularisation: scikit-learn's C, on vectors scaled to a spread of 1 in each dimension.
        facts_: what the fit looked like.
    """

    MODEL = "logistic"
    regularisation: float = 1e-3
    facts_: LogisticFacts = field(init=False, repr=False)
    scaler_: StandardScaler = field(init=False, repr=False)
    regression_: LogisticRegression = field(init=False, repr=False)

    def fit(self, vectors: Vectors, forged: Vectors) -> Self:
        """Learn from (N, D) vectors of real pairs and (M, D) vectors of forged ones.

        Raises:
            DensityError: too few of either, or a value that is not finite.
        """
        parts = [checked_vectors(vectors), checked_vectors(forged)]
        for part, name in zip(parts, ("real", "forged"), strict=True):
            if len(part) < FEWEST_VECTORS:
                raise DensityError(f"{len(part)} vectors of {name} pairs, at least {FEWEST_VECTORS} are needed")
        together = np.concatenate(parts)
        is_real = np.repeat([1, 0], [len(part) for part in parts])
        self.scaler_ = StandardScaler().fit(together)
        self.regression_ = LogisticRegression(C=self.regularisation, class_weight="balanced", max_iter=MAX_STEPS)
        self.regression_.fit(self.scaler_.transform(together), is_real)
        iterations = int(self.regression_.n_iter_[0])
        converged = iterations < MAX_STEPS
        means = [float(self._log_odds(part).mean()) for part in parts]
        self.facts_ = LogisticFacts(
            vectors=len(parts[0]),
            dimensions=together.shape[1],
            mean_log_likelihood=means[0],
            mean_variance=mean_variance(parts[0]),
            warnings=()
            if converged
            else (f"the regression stopped at its limit of {MAX_STEPS} steps; lower density.logistic_regularisation",),
            forged_vectors=len(parts[1]),
            forged_mean_log_likelihood=means[1],
            converged=converged,
            iterations=iterations,
        )
        return self

    def log_likelihood(self, vectors: Vectors) -> Vectors:
        """(N, D) vectors to their (N,) log-odds; see `DensityModel.log_likelihood`.

        Raises:
            DensityError: the model is not fitted, D is another than in training, or a value is not finite.
        """
        if not hasattr(self, "facts_"):
            raise DensityError("this density is not fitted: call fit with the vectors of real and of forged pairs")
        checked = checked_vectors(vectors, self.facts_.dimensions)
        return self._log_odds(checked) if len(checked) else np.empty(0)

    def save(self, path: Path) -> None:
        """Write the fitted model to a file that `load_density` reads."""
        write_content(
            {
                "file_version": FILE_VERSION,
                "model": self.MODEL,
                "facts": asdict(self.facts_),
                "regularisation": self.regularisation,
                "scaler": self.scaler_,
                "regression": self.regression_,
            },
            path,
        )

    def digest(self) -> str:
        """64 hex digits that name the fitted parameters, equal for equal fits."""
        parameters = sha256(self.MODEL.encode())
        for array in (self.scaler_.mean_, self.scaler_.scale_, self.regression_.coef_, self.regression_.intercept_):
            parameters.update(np.ascontiguousarray(array, np.float64).tobytes())
        return parameters.hexdigest()

    @classmethod
    def from_content(cls, content: dict[str, Any]) -> Self:
        """Rebuild what `save` wrote; KeyError or TypeError where it did not write it."""
        model = cls(content["regularisation"])
        model.scaler_, model.regression_ = content["scaler"], content["regression"]
        if not isinstance(model.scaler_, StandardScaler) or not isinstance(model.regression_, LogisticRegression):
            raise TypeError("a scaler and a logistic regression were expected")
        model.facts_ = LogisticFacts(**content["facts"])
        return model

    def _log_odds(self, vectors: Vectors) -> Vectors:
        return np.asarray(self.regression_.decision_function(self.scaler_.transform(vectors)), np.float64)
