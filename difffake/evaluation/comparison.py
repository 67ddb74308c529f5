"""The comparison of an ablation's cells: what each change does to the AUC, over seeds and beside the base."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from statistics import fmean, stdev


@dataclass(frozen=True)
class ScoreResult:
    """The headline figure of one score of one run, on one dataset and quality.

    Attributes:
        domain: dataset and quality.
        score: which score of a video, e.g. differential or fake_probability.
        auc: video level; None if undefined.
        auc_low: lower end of the bootstrap interval over identities, None if not estimable.
        auc_high: upper end.
        reason: why there is no AUC, or no interval.
    """

    domain: str
    score: str
    auc: float | None
    auc_low: float | None
    auc_high: float | None
    reason: str | None = None


@dataclass(frozen=True)
class RunResult:
    """What one cell gave under one seed.

    Attributes:
        cell: name of the cell.
        seed: the seed.
        scores: none if the run failed.
        seconds: spent on stages that were not reused.
        reused: stages whose results were there already.
        reason: why the run failed, or None.
    """

    cell: str
    seed: int
    scores: tuple[ScoreResult, ...] = ()
    seconds: float = 0.0
    reused: tuple[str, ...] = ()
    reason: str | None = None


@dataclass(frozen=True)
class ComparisonRow:
    """One score of one cell over all its seeds; what is undefined is None.

    Attributes:
        cell: name of the cell.
        differs: what the cell changes, in words.
        domain: dataset and quality; figures of two domains are never averaged.
        score: which score; None if no run of the ablation gave one.
        runs: runs with an AUC.
        failed: runs that failed.
        auc_mean: over seeds.
        auc_sd: sample standard deviation over seeds, None below two.
        auc_low: lower end of the bootstrap interval of the first seed with an AUC.
        auc_high: upper end.
        difference_mean: cell minus base, mean over the seeds both have.
        difference_sd: sample standard deviation of these differences, None below two.
        seconds: of all its runs.
        reused: stages that every run of the cell found done, in the order of the runs.
        reason: of the first failed run, or else why the figures are missing.
    """

    cell: str
    differs: str
    domain: str
    score: str | None
    runs: int
    failed: int
    auc_mean: float | None
    auc_sd: float | None
    auc_low: float | None
    auc_high: float | None
    difference_mean: float | None
    difference_sd: float | None
    seconds: float
    reused: tuple[str, ...]
    reason: str | None

    def to_dict(self) -> dict[str, object]:
        """Columns by name; the reused stages as words."""
        return {field.name: getattr(self, field.name) for field in fields(self)} | {"reused": " ".join(self.reused)}


def compare(cells: Sequence[tuple[str, str]], results: Sequence[RunResult], base: str) -> tuple[ComparisonRow, ...]:
    """One row a cell, domain and score, in the order of the cells and as they are first met.

    Differences are taken seed by seed, so that what a seed does to base and cell alike cancels.

    Args:
        cells: (name, what it changes) of each.
        results: at most one a cell and seed.
        base: the cell the others are compared with.
    """
    met = dict.fromkeys((figure.domain, figure.score) for result in results for figure in result.scores)
    kinds: list[tuple[str, str | None]] = [*met] or [("", None)]
    of_base = [result for result in results if result.cell == base]
    rows = []
    for cell, differs in cells:
        of_cell = [result for result in results if result.cell == cell]
        rows += [_row(cell, differs, kind, of_cell, of_base) for kind in kinds]
    return tuple(rows)


def figures_by_seed(results: Sequence[RunResult], domain: str, score: str | None) -> dict[int, ScoreResult]:
    """The figures of one score in one domain."""
    return {
        result.seed: figure
        for result in results
        for figure in result.scores
        if (figure.domain, figure.score) == (domain, score)
    }


def _row(
    cell: str, differs: str, kind: tuple[str, str | None], results: Sequence[RunResult], base: Sequence[RunResult]
) -> ComparisonRow:
    found, of_base = figures_by_seed(results, *kind), figures_by_seed(base, *kind)
    aucs = {seed: figure.auc for seed, figure in found.items() if figure.auc is not None}
    base_aucs = {seed: figure.auc for seed, figure in of_base.items() if figure.auc is not None}
    differences = [auc - base_aucs[seed] for seed, auc in aucs.items() if seed in base_aucs]
    first = next((figure for figure in found.values() if figure.auc is not None), None)
    failed = [result for result in results if result.reason is not None]
    reasons = [result.reason for result in failed] + [figure.reason for figure in found.values()]
    return ComparisonRow(
        cell=cell,
        differs=differs,
        domain=kind[0],
        score=kind[1],
        runs=len(aucs),
        failed=len(failed),
        auc_mean=fmean(aucs.values()) if aucs else None,
        auc_sd=stdev(aucs.values()) if len(aucs) > 1 else None,
        auc_low=first.auc_low if first else None,
        auc_high=first.auc_high if first else None,
        difference_mean=fmean(differences) if differences else None,
        difference_sd=stdev(differences) if len(differences) > 1 else None,
        seconds=round(sum(result.seconds for result in results), 2),
        reused=_reused_by_all([result for result in results if result.reason is None]),
        reason=next((reason for reason in reasons if reason is not None), None),
    )


def _reused_by_all(results: Sequence[RunResult]) -> tuple[str, ...]:
    if not results:
        return ()
    return tuple(stage for stage in results[0].reused if all(stage in result.reused for result in results))
