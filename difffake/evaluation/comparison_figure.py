"""The figure of an ablation: every cell's AUC with its interval, its seeds, and the base to hold it against."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from difffake.evaluation.comparison import ComparisonRow, RunResult, figures_by_seed
from difffake.evaluation.plot_style import (
    FAINT,
    FAKE,
    GROUP_COLOURS,
    INK,
    REAL,
    dress,
    explain_absence,
    legend_beside,
    new_figure,
)

_COLOURS = (REAL, *GROUP_COLOURS)
_LONGEST_REASON = 90
_SPREAD = 0.56
"""Height of a cell's lane that its scores share, in lanes."""


def comparison_figure(
    rows: Sequence[ComparisonRow], results: Sequence[RunResult], base: str, confidence: float, note: str = ""
) -> Figure:
    """A lane a cell, the base on top, and in it for each score the mean over seeds, each seed and one interval.

    Each domain has a panel of its own.

    Args:
        rows: `difffake.evaluation.comparison.compare` of the results.
        results: the runs.
        base: the cell whose means are drawn as vertical lines.
        confidence: of the intervals, for the legend.
        note: printed below.
    """
    cells = list(dict.fromkeys(row.cell for row in rows))
    domains = list(dict.fromkeys(row.domain for row in rows))
    scores = [score for score in dict.fromkeys(row.score for row in rows) if score is not None]
    lane_in = 0.3 + 0.14 * max(len(scores), 1)
    figure = new_figure(4.4 + 6.2 * len(domains) ** 0.8, 1.9 + lane_in * len(cells))
    if note:
        figure.supxlabel(note, fontsize=8, color=INK, wrap=True)
    lanes = {cell: len(cells) - 1 - place for place, cell in enumerate(cells)}
    panels = figure.subplots(1, len(domains), sharey=True, squeeze=False)[0]
    for axes, domain in zip(panels, domains, strict=True):
        dress(axes, domain or "What each change does", "AUC, videos (higher is better)", "")
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        axes.axhline(lanes[base] - 0.5, color=FAINT, linewidth=0.8)
        of_domain = [row for row in rows if row.domain == domain]
        _draw_scores(axes, of_domain, results, lanes, scores, base)
        _say_what_failed(axes, of_domain, lanes)
    panels[0].set(ylim=(-0.6, len(cells) - 0.4))
    panels[0].set_yticks(list(lanes.values()), [cell.replace(", ", "\n") for cell in lanes])
    if not scores:
        panels[0].set_xticks([])
        explain_absence(panels[0], "No run gave a score.")
        return figure
    last = panels[-1]
    last.plot([], [], "|", color=INK, alpha=0.5, markersize=7, label="a seed")
    last.plot([], [], color=INK, linewidth=1.4, alpha=0.6, label=f"{confidence:.0%} over identities,\nfirst seed")
    last.plot([], [], color=INK, linewidth=0.9, linestyle=":", label=f"mean of {base}")
    legend_beside(last, "Mean over seeds")
    return figure


def _draw_scores(
    axes: Axes,
    rows: Sequence[ComparisonRow],
    results: Sequence[RunResult],
    lanes: dict[str, int],
    scores: Sequence[str],
    base: str,
) -> None:
    offsets = np.linspace(_SPREAD / 2, -_SPREAD / 2, len(scores)) if len(scores) > 1 else np.zeros(1)
    for index, (score, offset) in enumerate(zip(scores, offsets, strict=False)):
        colour = _COLOURS[index % len(_COLOURS)]
        axes.plot([], [], "o", color=colour, markersize=6.5, label=score)
        for row in rows:
            if row.score != score or row.auc_mean is None:
                continue
            height = lanes[row.cell] + float(offset)
            if row.auc_low is not None and row.auc_high is not None:
                axes.plot([row.auc_low, row.auc_high], [height] * 2, color=colour, linewidth=1.4, alpha=0.6, zorder=2)
            found = figures_by_seed([result for result in results if result.cell == row.cell], row.domain, score)
            seeds = [figure.auc for figure in found.values() if figure.auc is not None]
            axes.plot(seeds, [height] * len(seeds), "|", color=colour, markersize=7, alpha=0.5, zorder=3)
            axes.plot(row.auc_mean, height, "o", color=colour, markersize=6.5, zorder=4)
            if row.cell == base:
                axes.axvline(row.auc_mean, color=colour, linewidth=0.9, linestyle=":", zorder=1)


def _say_what_failed(axes: Axes, rows: Sequence[ComparisonRow], lanes: dict[str, int]) -> None:
    drawn = {row.cell for row in rows if row.auc_mean is not None}
    told: set[str] = set()
    for row in rows:
        if row.cell in drawn or row.cell in told:
            continue
        told.add(row.cell)
        what = "failed" if row.failed else "no AUC"
        text = f"{what}: {row.reason}" if row.reason else what
        axes.annotate(
            text if len(text) <= _LONGEST_REASON else f"{text[: _LONGEST_REASON - 1]}…",
            (0.0, lanes[row.cell]),
            (4, 0),
            ("axes fraction", "data"),
            "offset points",
            va="center",
            fontsize=7.5,
            color=FAKE,
        )
