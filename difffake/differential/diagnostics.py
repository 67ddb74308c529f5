"""What a fitted density is worth on people it has not seen, beside mixtures of other sizes and shapes.

Folds hold out whole people: pairs of one person are alike, so a model that knows the person knows the held-out pair.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GroupKFold

from difffake.config import Covariance, DensityConfig, DiagnosticsConfig
from difffake.differential.density import DensityModel, build_density
from difffake.differential.density_base import Vectors, refuse_equal
from difffake.differential.density_mixture import GaussianMixtureDensity, fit_mixture, resolve_floor
from difffake.differential.density_subspace import SubspaceMixtureDensity, log_residual, principal_axes, split
from difffake.errors import DensityError
from difffake.randomness import derive_rng, derive_seed

STAGE_VERSION = 2
"""Enters the fingerprint of the diagnostics: bump it when output changes."""

MOST_OPERATIONS = 2e12
"""Fits estimated to take more floating-point operations than this are left out: minutes on two cores."""

EXPECTED_ITERATIONS = 20
"""Steps of expectation-maximisation an estimate assumes."""

_WITH_LIKELIHOOD = frozenset({"gmm", "subspace_gmm", "ppca", "ledoit_wolf"})

Groups = npt.NDArray[np.str_]
Fold = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


@dataclass(frozen=True)
class GridCell:
    """One size and shape of mixture.

    Attributes:
        covariance: shape of each Gaussian.
        components: how many.
        status: fitted, or left_out for the reason given.
        parameters: free ones, with the residual's variance and without the principal axes, which all cells share.
        training: mean log-likelihood of the vectors the folds were fitted on, in nats a vector.
        held_out: mean log-likelihood of the held-out vectors, each held out once, in nats a vector.
        held_out_by_fold: the same of each fold alone. Folds differ by their people far more than cells do: compare
            cells within a fold.
        bic: Bayesian information criterion of a fit on all vectors, in nats; lower is better.
    """

    covariance: Covariance
    components: int
    status: Literal["fitted", "left_out"]
    reason: str = ""
    parameters: int | None = None
    training: float | None = None
    held_out: float | None = None
    held_out_by_fold: tuple[float, ...] = ()
    bic: float | None = None


@dataclass(frozen=True)
class Grid:
    """Mixtures of several sizes and shapes on the same vectors and folds.

    Attributes:
        cells: one a covariance and number of components; none for the reason given.
        vectors: that were looked at.
        dimensions: principal dimensions the mixtures live in.
        folds: parts of the people.
    """

    cells: tuple[GridCell, ...]
    vectors: int
    reason: str = ""
    dimensions: int = 0
    folds: int = 0

    @property
    def best(self) -> GridCell | None:
        """The cell with the highest held-out likelihood."""
        fitted = [cell for cell in self.cells if cell.held_out is not None]
        return max(fitted, key=lambda cell: cell.held_out or -np.inf, default=None)

    def spread(self, cell: GridCell) -> float:
        """Standard deviation over folds of how far a fitted cell lies from the mean of all cells in that fold."""
        fitted = np.array([other.held_out_by_fold for other in self.cells if other.held_out is not None])
        return float(np.std(np.array(cell.held_out_by_fold) - fitted.mean(axis=0)))


@dataclass(frozen=True, eq=False)
class HeldOut:
    """The configured model fitted without each fold's people.

    Attributes:
        scores: (N,) minus the log-likelihood of every vector when its person was held out; empty for the reason given.
        by_fold: the mean log-likelihood of each fold's held-out vectors.
    """

    scores: Vectors
    reason: str = ""
    by_fold: tuple[float, ...] = ()


def people_folds(groups: Groups, folds: int) -> list[Fold]:
    """(training, held-out) row numbers of at most `folds` folds, none of which shares a person with its training.

    Args:
        groups: (N,) the person of each vector.
        folds: wanted number, at least 2; never more than people.

    Raises:
        DensityError: all vectors show one person.
    """
    people = len(np.unique(groups))
    if people < 2:
        raise DensityError(
            f"all {len(groups)} vectors show one person, so nobody can be held out; add videos of other people, or say "
            "which videos show whom (datasets[].identities)"
        )
    return list(GroupKFold(min(folds, people)).split(groups, groups=groups))


def likelihood_grid(
    vectors: Vectors,
    groups: Groups,
    config: DiagnosticsConfig,
    density: DensityConfig,
    seed: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> Grid:
    """Held-out likelihood and Bayesian information criterion over numbers of Gaussians and shapes of covariance.

    A cell's density is that of `subspace_gmm` with any shape of covariance: a mixture in the first principal
    dimensions, whose axes are found in each fold, and one isotropic Gaussian for the rest. All cells are densities
    over all dimensions, so their likelihoods compare.

    Args:
        vectors: (N, D) of real pairs, or faces.
        groups: (N,) the person of each.
        config: which cells, how many folds, dimensions and vectors.
        density: floor and most iterations.
        seed: the experiment's seed.
        on_progress: called with the cells done and the cells in all.
    """
    if len(vectors) > config.most_vectors:
        rows = derive_rng(seed, "diagnostics", "grid").choice(len(vectors), config.most_vectors, replace=False)
        vectors, groups = vectors[np.sort(rows)], groups[np.sort(rows)]
    everything = np.arange(len(vectors))
    try:
        folds = people_folds(groups, config.folds)
        for training, _ in folds:
            refuse_equal(vectors[training])
        dimensions = min(config.dimensions, vectors.shape[1], *(len(training) - 1 for training, _ in folds))
        parts = [_Part(vectors, *fold, dimensions, density) for fold in (*folds, (everything, everything))]
    except DensityError as error:
        return Grid((), len(vectors), str(error))
    shapes = [(covariance, count) for covariance in config.covariances for count in config.components]
    cells = []
    for number, (covariance, components) in enumerate(shapes, 1):
        cells.append(_cell(covariance, components, parts, density, derive_seed(seed, "diagnostics")))
        if on_progress is not None:
            on_progress(number, len(shapes))
    return Grid(tuple(cells), len(vectors), "", dimensions, len(folds))


def held_out_scores(
    vectors: Vectors, groups: Groups, config: DiagnosticsConfig, density: DensityConfig, seed: int
) -> HeldOut:
    """Scores of the training vectors under the configured model, each fitted without that vector's person.

    Against the scores the model gives its own training vectors they show how much it merely remembers.
    """
    nothing = np.empty(0)
    if density.against != "nothing":
        return HeldOut(nothing, "the density is compared with forged pairs: its scores are likelihood ratios")
    if density.model not in _WITH_LIKELIHOOD:
        return HeldOut(nothing, f"the model {density.model} has no likelihood")
    components = density.components if density.model == "gmm" else 1
    dense = density.model == "gmm" and density.covariance in ("full", "tied")
    operations = _operations(len(vectors), vectors.shape[1] if dense else 1, components) * config.folds
    if operations > MOST_OPERATIONS:
        return HeldOut(nothing, f"{config.folds} fits of this size take too long (about {operations:.0e} operations)")
    scores, by_fold = np.empty(len(vectors)), []
    try:
        for training, held_out in people_folds(groups, config.folds):
            model = build_density(density, seed).fit(vectors[training])
            scores[held_out] = -model.log_likelihood(vectors[held_out])
            by_fold.append(-float(scores[held_out].mean()))
    except DensityError as error:
        return HeldOut(nothing, str(error))
    return HeldOut(scores, by_fold=tuple(by_fold))


def grid_warnings(grid: Grid, held_out: HeldOut) -> Iterator[str]:
    """What to know where another mixture explains unseen people better than the configured model, in every fold."""
    best = grid.best
    # Of a sample of the vectors the folds are others.
    if best is None or not held_out.by_fold or grid.vectors != len(held_out.scores):
        return
    configured = -float(held_out.scores.mean())
    if all(np.array(best.held_out_by_fold) > np.array(held_out.by_fold)):
        yield (
            f"unseen people are likelier under {best.components} {best.covariance} Gaussians in {grid.dimensions} "
            f"principal dimensions and one for the rest ({best.held_out:.4g} nats a vector) than under the configured "
            f"density ({configured:.4g}): it may have too many parameters for its pairs; see the diagnostics' figure"
        )


def convergence(model: DensityModel) -> tuple[float, ...]:
    """Mean log-likelihood after each step of a fitted mixture's expectation-maximisation, in nats a vector.

    That of subspace_gmm is of the principal coordinates alone. Empty for models fitted in one step.
    """
    if isinstance(model, GaussianMixtureDensity | SubspaceMixtureDensity):
        return tuple(float(bound) for bound in model.mixture_.lower_bounds_)
    return ()


def parameter_count(covariance: Covariance, components: int, dimensions: int) -> int:
    """Free parameters of a Gaussian mixture: means, covariances, and weights of sum 1."""
    triangle = dimensions * (dimensions + 1) // 2
    of_covariances = {
        "full": components * triangle,
        "tied": triangle,
        "diag": components * dimensions,
        "spherical": components,
    }[covariance]
    return of_covariances + components * dimensions + components - 1


class _Part:
    """Vectors to fit on and vectors to judge by, in principal coordinates of the former."""

    def __init__(
        self,
        vectors: Vectors,
        training: npt.NDArray[np.int64],
        judged: npt.NDArray[np.int64],
        dimensions: int,
        density: DensityConfig,
    ) -> None:
        fitted_on = vectors[training]
        axes = principal_axes(fitted_on, dimensions)
        self.floor = resolve_floor(fitted_on, density.covariance_floor, density.covariance_floor_unit)
        self.outside = vectors.shape[1] - dimensions
        self.training, residuals = split(axes, fitted_on)
        spread = float(residuals.mean() / self.outside) if self.outside else 0.0
        self.training_rest = log_residual(residuals, self.outside, spread + self.floor)
        self.judged, residuals = split(axes, vectors[judged])
        self.judged_rest = log_residual(residuals, self.outside, spread + self.floor)

    def fit(self, covariance: Covariance, components: int, density: DensityConfig, seed: int) -> GaussianMixture:
        return fit_mixture(
            self.training, components, covariance, self.floor, density.max_iterations, seed, "choose another covariance"
        )


def _cell(
    covariance: Covariance, components: int, parts: Sequence[_Part], density: DensityConfig, seed: int
) -> GridCell:
    *folds, whole = parts
    reason = "; ".join(_obstacles(covariance, components, folds))
    if reason:
        return GridCell(covariance, components, "left_out", reason)
    held_out, training = [], []
    try:
        for fold in folds:
            mixture = fold.fit(covariance, components, density, seed)
            held_out.append(np.asarray(mixture.score_samples(fold.judged)) + fold.judged_rest)
            training.append(np.asarray(mixture.score_samples(fold.training)) + fold.training_rest)
        mixture = whole.fit(covariance, components, density, seed)
    except DensityError as error:
        return GridCell(covariance, components, "left_out", str(error))
    parameters = parameter_count(covariance, components, whole.training.shape[1]) + (1 if whole.outside else 0)
    total = float((mixture.score_samples(whole.training) + whole.training_rest).sum())
    return GridCell(
        covariance,
        components,
        "fitted",
        parameters=parameters,
        training=float(np.concatenate(training).mean()),
        held_out=float(np.concatenate(held_out).mean()),
        held_out_by_fold=tuple(float(values.mean()) for values in held_out),
        bic=parameters * float(np.log(len(whole.training))) - 2 * total,
    )


def _obstacles(covariance: Covariance, components: int, folds: Sequence[_Part]) -> Iterator[str]:
    """Why a cell would say nothing, or take too long."""
    count, dimensions = min(len(fold.training) for fold in folds), folds[0].training.shape[1]
    needed = {
        "full": components * (dimensions + 1),
        "tied": components + dimensions,
        "diag": 2 * components,
        "spherical": 2 * components,
    }[covariance]
    if count < needed:
        yield (
            f"{components} {covariance} Gaussians in {dimensions} dimensions need {needed} vectors, and a fold has "
            f"{count}; give more pairs, or set diagnostics.dimensions lower"
        )
    is_dense = covariance in ("full", "tied")
    operations = _operations(count, dimensions if is_dense else 1, components) * (len(folds) + 1)
    if operations > MOST_OPERATIONS:
        yield f"takes too long (about {operations:.0e} operations); set diagnostics.dimensions or most_vectors lower"


def _operations(count: int, dimensions: int, components: int) -> float:
    """Of a dense fit: in each step every vector meets every covariance's D × D numbers."""
    return float(count) * dimensions**2 * components * EXPECTED_ITERATIONS
