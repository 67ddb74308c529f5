"""Whether p-values keep what they promise: of fresh real videos, the share at or below each of them."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from difffake.evaluation.plot_style import (
    FAINT,
    GROUP_COLOURS,
    GROUP_LINES,
    INK,
    REAL,
    dress,
    explain_absence,
    legend_beside,
    new_figure,
)


def accused_share(p_values: Sequence[float], rate: float, confidence: float) -> tuple[float, float, float]:
    """The share of p-values at or below a rate, and its binomial interval (Clopper & Pearson 1934).

    Args:
        p_values: of N ≥ 1 real videos.
        rate: stated false-positive rate, in (0, 1).
        confidence: of the interval, in (0, 1).
    """
    accused = int(np.count_nonzero(np.asarray(p_values) <= rate))
    # Takes half a second to import.
    from scipy.stats import binomtest

    interval = binomtest(accused, len(p_values)).proportion_ci(confidence)
    return accused / len(p_values), float(interval.low), float(interval.high)


def false_positive_figure(p_values: Mapping[str, Sequence[float]], stated: float, confidence: float) -> Figure:
    """Observed against stated false-positive rate of each domain's real videos; below the diagonal a promise is kept.

    Args:
        p_values: domain → p-values of its scored real videos.
        stated: the rate of the verdict, at which the interval is drawn.
        confidence: of the intervals.
    """
    figure = new_figure(9.4, 4.6)
    axes = figure.subplots()
    title = "Real videos accused, against the rate that is stated"
    dress(axes, title, "Stated false-positive rate", "Observed share of fresh real videos")
    axes.set(xlim=(0, 1), ylim=(-0.02, 1.02))
    known = {domain: values for domain, values in p_values.items() if values}
    if not known:
        explain_absence(axes, "No real test video has a p-value.")
        return figure
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1.0, linestyle=":", label="as stated")
    axes.axvline(stated, color=INK, linewidth=1.0, linestyle=(0, (4, 2)), label=f"the verdict's rate {stated:.1%}")
    colours = (REAL, *GROUP_COLOURS)
    for number, (domain, values) in enumerate(known.items()):
        colour, line = colours[number % len(colours)], GROUP_LINES[number % len(GROUP_LINES)]
        edges = np.array([0.0, *sorted(values), 1.0])
        shares = np.append(np.arange(len(values) + 1) / len(values), 1.0)
        share, low, high = accused_share(values, stated, confidence)
        label = f"{domain}: {share:.0%} of {len(values)} at {stated:.1%} [{low:.0%}, {high:.0%}]"
        axes.step(edges, shares, where="post", color=colour, linestyle=line, linewidth=1.7, label=label)
        place = stated + 0.004 * number
        axes.errorbar(
            [place], [share], [[share - low], [high - share]], color=colour, marker="o", markersize=4, capsize=3
        )
    legend_beside(axes)
    return figure
