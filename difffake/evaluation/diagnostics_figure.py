"""The figure of a density's diagnostics: other mixtures on unseen people, its own fit, and real videos elsewhere."""

from collections.abc import Collection, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from difffake.config import Covariance
from difffake.differential.diagnostics import Grid, GridCell
from difffake.differential.drift import HELD_OUT, DriftRow
from difffake.evaluation.plot_style import (
    FAINT,
    GROUP_COLOURS,
    INK,
    REAL,
    dress,
    explain_absence,
    legend_beside,
    new_figure,
)

_STYLES: dict[Covariance, tuple[str, str]] = {
    "full": (REAL, "o"),
    "tied": (GROUP_COLOURS[0], "s"),
    "diag": (GROUP_COLOURS[1], "^"),
    "spherical": (GROUP_COLOURS[2], "D"),
}
_MOST_ROWS = 24
"""Groups of real videos that fit the figure."""


def diagnostics_figure(
    grid: Grid,
    convergence: Sequence[float],
    weights: Sequence[float],
    drift: Sequence[DriftRow],
    fit_on: Collection[str],
    configured_held_out: float | None = None,
) -> Figure:
    """Five panels: held-out likelihood, information criterion, convergence, weights, and scores of real videos.

    Args:
        grid: mixtures of other sizes and shapes.
        convergence: mean log-likelihood after each step of the configured model's fit; empty for other models.
        weights: of its components; empty for other models.
        drift: one row a group of real videos.
        fit_on: the roles the density was fitted on.
        configured_held_out: mean held-out log-likelihood of the configured model, in nats.
    """
    shown = drift[:_MOST_ROWS]
    figure = new_figure(12.5, 6.6 + 0.3 * len(shown))
    rows = figure.add_gridspec(3, 2, height_ratios=(3.0, 2.2, 1.0 + 0.3 * len(shown)))
    held_out, criterion = figure.add_subplot(rows[0, 0]), figure.add_subplot(rows[0, 1])
    spreads = [None if cell.held_out is None else grid.spread(cell) for cell in grid.cells]
    values = [cell.held_out for cell in grid.cells]
    _lines(held_out, grid, list(zip(grid.cells, values, spreads, strict=True)))
    dress(held_out, "Unseen people (higher is better)", "Gaussians", "log-likelihood, nats a vector")
    if configured_held_out is not None and grid.cells:
        held_out.axhline(configured_held_out, color=INK, linewidth=1, linestyle=(0, (4, 2)))
        held_out.annotate(
            "configured\ndensity", (1.01, configured_held_out), xycoords=("axes fraction", "data"),
            fontsize=8, color=INK, va="center",
        )  # fmt: skip
    _lines(
        criterion, grid, [(cell, None if cell.bic is None else cell.bic / grid.vectors, None) for cell in grid.cells]
    )
    dress(criterion, "Bayesian information criterion (lower is better)", "Gaussians", "nats a vector")
    if any(cell.status == "fitted" for cell in grid.cells):
        legend_beside(criterion, f"covariance, in {grid.dimensions}\nprincipal dimensions")
    _convergence(figure.add_subplot(rows[1, 0]), convergence)
    _weights(figure.add_subplot(rows[1, 1]), weights)
    _drift(figure.add_subplot(rows[2, :]), shown, len(drift), fit_on)
    return figure


def _lines(axes: Axes, grid: Grid, values: Sequence[tuple[GridCell, float | None, float | None]]) -> None:
    if not any(value is not None for _, value, _ in values):
        explain_absence(axes, grid.reason or "no mixture could be fitted; the table says why")
        return
    for covariance, (colour, marker) in _STYLES.items():
        known = sorted(
            (cell.components, value, spread or 0.0)
            for cell, value, spread in values
            if cell.covariance == covariance and value is not None
        )
        if known:
            components, heights, spreads = zip(*known, strict=True)
            axes.errorbar(
                components, heights, yerr=spreads if any(spreads) else None, color=colour, marker=marker,
                markersize=5, linewidth=1.4, capsize=2.5, elinewidth=0.9, label=covariance,
            )  # fmt: skip
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(0.08, 0.12)


def _convergence(axes: Axes, trace: Sequence[float]) -> None:
    dress(axes, "Convergence of the fit", "step of expectation-maximisation", "nats a vector")
    if not trace:
        explain_absence(axes, "this model is fitted in one step")
        return
    axes.plot(range(1, len(trace) + 1), trace, color=REAL, linewidth=1.4, marker="o", markersize=3)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _weights(axes: Axes, weights: Sequence[float]) -> None:
    dress(axes, "Weights of the Gaussians", "Gaussian, heaviest first", "share of the vectors")
    if not weights:
        explain_absence(axes, "this model is no mixture")
        return
    heights = sorted(weights, reverse=True)
    axes.bar(range(1, len(heights) + 1), heights, color=REAL, width=0.6)
    axes.set_ylim(0, 1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(0.4, max(len(heights), 3) + 0.6)


def _drift(axes: Axes, rows: Sequence[DriftRow], total: int, fit_on: Collection[str]) -> None:
    title = "Scores of real videos: 5 %, 25 %, 50 %, 75 %, 95 %"
    dress(axes, title if len(rows) == total else f"{title} ({len(rows)} of {total} groups)", "score", "")
    if not rows:
        explain_absence(axes, "no real video was scored")
        return
    for place, row in enumerate(rows):
        low, lower, middle, upper, high = row.quantiles
        colour = REAL if row.role in fit_on or row.role == HELD_OUT else GROUP_COLOURS[0]
        axes.plot((low, high), (place, place), color=colour, linewidth=1.2, solid_capstyle="butt")
        axes.plot((lower, upper), (place, place), color=colour, linewidth=6, alpha=0.55, solid_capstyle="butt")
        axes.plot((middle,), (place,), color=INK, marker="|", markersize=11, linestyle="none")
        shift = "" if row.shift is None else f"shift {row.shift:+.2f} sd, ".replace("-", "−")
        axes.annotate(
            f"{shift}KS {row.ks_statistic:.2f}, {row.count} vectors of {row.videos} videos, {row.people} people",
            (1.01, place), xycoords=("axes fraction", "data"), fontsize=8, color=FAINT, va="center",
        )  # fmt: skip
    axes.set_yticks(np.arange(len(rows)), [f"{row.dataset} · {row.role}" for row in rows], parse_math=False)
    axes.set_ylim(len(rows) - 0.4, -0.6)
