"""Mean and spread of the evaluation's figures over trainings that differ by their seed alone.

A detector made of several trainings is one more detector, not a mean: its table stays out of this.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from difffake.errors import EvaluationError
from difffake.evaluation.rows import ALL_VIDEOS, AT_THRESHOLD, METRICS, ROW_KEY

ENOUGH_SEEDS = 3
"""Fewer trainings than this say next to nothing of the spread."""

AGGREGATED = (
    *METRICS,
    AT_THRESHOLD,
    "false_positive_rate_at_threshold",
    "true_positive_rate_at_threshold",
    *(f"{name}{ALL_VIDEOS}" for name in (*METRICS, AT_THRESHOLD)),
    "coverage_real",
    "coverage_fake",
)
"""The columns that are averaged."""

_VIDEOS_OF_A_ROW = ("n_scored", "n_abstained", "n_failed")

Row = Mapping[str, Any]


def aggregate_seeds(tables: Mapping[int, Sequence[Row]]) -> list[dict[str, Any]]:
    """One row for each row of the tables and each of its figures, in the first table's order.

    Args:
        tables: by seed, the rows of one evaluation as `EvaluationRow.to_dict` gives them; they must be of the same test
            videos. A figure that is None under a seed is left out of that row's figures, and counted.

    Returns:
        Rows with the columns domain, in_domain, group, level, score, metric, mean, standard_deviation (of the sample,
        with n − 1; None of a single value), minimum, maximum, n_seeds (that have the figure), n_seeds_without and note
        (None where at least `ENOUGH_SEEDS` have it). A figure no seed has gives no row.

    Raises:
        EvaluationError: there is no table, or two have other rows or other numbers of videos.
    """
    if not tables:
        raise EvaluationError("there is no table to aggregate: give the rows of each seed's evaluation")
    by_seed = {seed: {_key(row): row for row in table} for seed, table in tables.items()}
    first_seed, first = next(iter(by_seed.items()))
    for seed, rows in by_seed.items():
        _check_same_videos(first_seed, first, seed, rows)
    return [
        {**dict(zip(ROW_KEY, key, strict=True)), "in_domain": row["in_domain"], "metric": metric, **spread}
        for key, row in first.items()
        for metric in AGGREGATED
        if (spread := _spread([rows[key][metric] for rows in by_seed.values()]))
    ]


def _key(row: Row) -> tuple[str, ...]:
    return tuple(str(row[column]) for column in ROW_KEY)


def _check_same_videos(
    first_seed: int, first: Mapping[tuple[str, ...], Row], seed: int, rows: Mapping[tuple[str, ...], Row]
) -> None:
    if other := set(first) ^ set(rows):
        raise EvaluationError(
            f"the tables of seeds {first_seed} and {seed} have different rows, such as {'/'.join(min(other))}: "
            "evaluate every seed on the same test videos with the same scores"
        )
    for key, row in rows.items():
        counts = [sum(of[column] for column in _VIDEOS_OF_A_ROW) for of in (first[key], row)]
        if counts[0] != counts[1]:
            raise EvaluationError(
                f"{'/'.join(key)} has {counts[0]} test videos under seed {first_seed} and {counts[1]} under {seed}: "
                "evaluate every seed on the same test videos"
            )


def _spread(values: Sequence[float | None]) -> dict[str, Any]:
    known = [value for value in values if value is not None]
    if not known:
        return {}
    few = f"{len(known)} of at least {ENOUGH_SEEDS} seeds: the spread is hardly known"
    return {
        "mean": fmean(known),
        "standard_deviation": stdev(known) if len(known) > 1 else None,
        "minimum": min(known),
        "maximum": max(known),
        "n_seeds": len(known),
        "n_seeds_without": len(values) - len(known),
        "note": few if len(known) < ENOUGH_SEEDS else None,
    }
