"""What every density shares: checks of its vectors, the record of its fit, and a file without pickle."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_is_fitted

from difffake.differential.density_facts import DensityFacts
from difffake.errors import DensityError

FILE_VERSION = 1
"""Layout of a stored density."""

Vectors = npt.NDArray[np.float64]

Need = tuple[int, str, str]
"""The fewest vectors for something, that something, and what completes the remedy "give more real pairs"."""


@dataclass(eq=False)
class FittedDensity(ABC):
    """A model that is settings, fitted scikit-learn estimators and facts; a subclass says how to fit and to score.

    Attributes:
        facts_: what the fit looked like.
    """

    MODEL: ClassVar[str]
    """Its name in the configuration and in files."""

    FACTS: ClassVar[type[DensityFacts]]

    ESTIMATORS: ClassVar[dict[str, type]]
    """Names of the fitted estimators in a file, and their types; the attributes have a `_` at the end."""

    facts_: DensityFacts = field(init=False, repr=False)

    def fit(self, vectors: Vectors) -> Self:
        """Learn from (N, D) vectors of real pairs; what a reader should know of the fit is in `facts_`.

        Raises:
            DensityError: too few vectors, a value that is not finite, or vectors this model cannot be fitted on.
        """
        training = checked_vectors(vectors)
        self.require_count(*training.shape)
        self._refuse_unfit(training)
        # A fit that fails halfway leaves an unfitted model, not parts of two.
        vars(self).pop("facts_", None)
        self.facts_ = self._fit(training)
        return self

    def require_count(self, count: int, dimensions: int | None = None) -> None:
        """Refuse to be fitted on so few vectors, before there are any; with `dimensions` the answer is exact.

        Raises:
            DensityError: `count` vectors are too few.
        """
        for needed, what, remedy in self._needs(dimensions):
            if count < needed:
                raise DensityError(
                    f"{count} vectors cannot fit {what}: at least {needed} are needed; give more real pairs{remedy}"
                )

    def log_likelihood(self, vectors: Vectors) -> Vectors:
        """(N, D) vectors to their (N,) log-likelihoods, in nats, float64; see `DensityModel.log_likelihood`.

        Raises:
            DensityError: the model is not fitted, D is another than in training, or a value is not finite.
        """
        self._require_fit()
        checked = checked_vectors(vectors, self.facts_.dimensions)
        if len(checked) == 0:
            return np.empty(0)
        return self._score(checked)

    def save(self, path: Path) -> None:
        """Write the fitted model to a file that `load_density` reads; no pickle, no code.

        The bytes of two saves of one model differ (they hold a time), its likelihoods do not.

        Raises:
            DensityError: the model is not fitted.
        """
        write_content(self.content(), path)

    def content(self) -> dict[str, Any]:
        """What `save` writes and `from_content` reads.

        Raises:
            DensityError: the model is not fitted.
        """
        self._require_fit()
        content = {
            "file_version": FILE_VERSION,
            "model": self.MODEL,
            "settings": {name: getattr(self, name) for name in self.setting_names()},
            "facts": asdict(self.facts_),
        }
        return content | {name: getattr(self, f"{name}_") for name in self.ESTIMATORS}

    def digest(self) -> str:
        """64 hex digits that name the fitted parameters, equal for equal fits; unlike the bytes of a saved file.

        Raises:
            DensityError: the model is not fitted.
        """
        self._require_fit()
        label, arrays = self._parameters()
        parameters = sha256(label.encode())
        for array in arrays:
            parameters.update(np.ascontiguousarray(array, np.float64).tobytes())
        return parameters.hexdigest()

    @classmethod
    def setting_names(cls) -> tuple[str, ...]:
        """The names of the settings, in the order of the constructor."""
        return tuple(setting.name for setting in fields(cls) if setting.init)

    @classmethod
    def from_content(cls, content: dict[str, Any]) -> Self:
        """Rebuild what `save` wrote; KeyError, TypeError or ValueError where it did not write it."""
        model = cls(**content["settings"])
        for name, expected in cls.ESTIMATORS.items():
            if not isinstance(content[name], expected):
                raise TypeError(f"a {expected.__name__} was expected, not a {type(content[name]).__name__}")
            check_is_fitted(content[name])
            setattr(model, f"{name}_", content[name])
        model.facts_ = cls.FACTS(**content["facts"])
        return model

    @abstractmethod
    def _needs(self, dimensions: int | None) -> Sequence[Need]:
        """How many vectors a fit takes, at least; of length `dimensions`, if that is known."""

    def _refuse_unfit(self, training: Vectors) -> None:
        """Raise a DensityError, before time is spent, where these vectors, enough of them, cannot be fitted."""
        refuse_equal(training)

    @abstractmethod
    def _fit(self, training: Vectors) -> DensityFacts:
        """Fit the estimators on (N, D) finite vectors."""

    @abstractmethod
    def _score(self, vectors: Vectors) -> Vectors:
        """(N, D) finite vectors, N ≥ 1, to (N,); higher is more natural."""

    @abstractmethod
    def _parameters(self) -> tuple[str, Sequence[npt.ArrayLike]]:
        """What the digest is made of: a label and the fitted arrays."""

    def _require_fit(self) -> None:
        if not hasattr(self, "facts_"):
            raise DensityError("this density is not fitted: call fit with the vectors of real pairs first")


def refuse_equal(training: Vectors) -> None:
    """Refuse vectors of which none differs from another."""
    if (training == training[0]).all():
        raise DensityError(
            f"all {len(training)} training vectors are equal, so there is no change to learn from; give pairs that "
            "differ, and check the backbone's embeddings"
        )


def checked_vectors(vectors: Vectors, dimensions: int | None = None) -> Vectors:
    """(N, D) vectors in float64.

    Args:
        vectors: what is checked.
        dimensions: the length a density was fitted on.

    Raises:
        DensityError: another shape, another length than `dimensions`, or a value that is not finite.
    """
    checked = np.asarray(vectors, dtype=np.float64)
    if checked.ndim != 2:
        raise DensityError(f"vectors must have the shape (N, D), not {checked.shape}")
    faulty = np.count_nonzero(~np.isfinite(checked).all(axis=1))
    if faulty:
        raise DensityError(
            f"{faulty} of {len(checked)} vectors hold NaN or infinity; embed their faces again, and check the "
            "backbone's weights if it happens again"
        )
    if dimensions is not None and checked.shape[1] != dimensions:
        raise DensityError(
            f"vectors of length {checked.shape[1]} were given to a density fitted on length {dimensions}: embed with "
            "the backbone the density was fitted with"
        )
    return checked


def write_content(content: dict[str, Any], path: Path) -> None:
    """Write what a density is made of to a file without pickle."""
    # Imported here: it loads all of scikit-learn, for a second and a half.
    import skops.io

    skops.io.dump(content, path)
