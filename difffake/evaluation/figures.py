"""The figures of training and calibration, each a `matplotlib.figure.Figure` for the caller to save."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from difffake.differential.calibration import Calibration
from difffake.evaluation.plot_style import (
    FAINT,
    FAKE,
    GROUP_COLOURS,
    INK,
    REAL,
    Floats,
    dress,
    explain_absence,
    legend_beside,
    new_figure,
    number,
    score_limits,
)

LISTED_VIDEOS = 12
"""Most highlighted videos a legend lists by name."""

SCORE_LABEL = "Score: minus the mean log-likelihood of a video's pairs (higher is more anomalous)"


def training_curves_figure(history: Sequence[Mapping[str, float]]) -> Figure:
    """Loss, validation AUC and learning rate by epoch.

    Args:
        history: one mapping an epoch with the keys epoch, train_loss, validation_auc and learning_rate.
    """
    figure = new_figure(11.0, 3.3)
    epochs = np.array([row["epoch"] for row in history])
    panels = (
        ("train_loss", "Training loss", "Cross-entropy"),
        ("validation_auc", "Validation AUC", "AUC, reals against pseudo-fakes"),
        ("learning_rate", "Learning rate", ""),
    )
    for axes, (key, title, y_label) in zip(figure.subplots(1, 3), panels, strict=True):
        dress(axes, title, "Epoch", y_label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if not history:
            explain_absence(axes, "No epoch has ended yet.")
            continue
        values = np.array([row[key] for row in history], dtype=np.float64)
        axes.plot(epochs, values, color=REAL, linewidth=1.6, marker="o" if len(epochs) <= 40 else "", markersize=3.5)
        if key == "learning_rate":
            axes.set_ylim(bottom=0)
        if key == "validation_auc" and np.isfinite(values).any():
            _mark_best(axes, epochs, values)
    return figure


def calibration_figure(calibration: Calibration, highlighted: Sequence[tuple[str, float]] = ()) -> Figure:
    """How a score becomes a p-value among the calibration videos, the threshold, and where named videos fall.

    The curve is the distribution of real videos read from above: the share scoring at least as high, each video of
    the calibration and the suspect counted. Scores far outside are drawn at the axis' edge.

    Args:
        calibration: held-out real videos.
        highlighted: (name, score) of videos to mark.
    """
    figure = new_figure(9.4, 4.6)
    axes = figure.subplots()
    count = len(calibration.scores)
    dress(axes, f"Calibration on {count} real video{'s' if count != 1 else ''}", SCORE_LABEL, "p-value")
    limits = score_limits([*calibration.scores, *(score for _, score in highlighted)], [calibration.threshold])
    axes.set(xlim=limits, ylim=(-0.03, 1.06))
    ends = min(limits[0], calibration.scores[0]), max(limits[1], calibration.scores[-1])
    edges = np.array([ends[0], *calibration.scores, ends[1]])
    steps = np.append(np.arange(count + 1, 0, -1), 1) / (count + 1)
    axes.step(edges, steps, where="post", color=REAL, linewidth=1.8, label="share of real videos at least as anomalous")
    axes.plot(calibration.scores, np.full(count, -0.012), "|", color=REAL, markersize=7, alpha=0.7)
    stated = calibration.stated_false_positive_rate
    axes.axhline(stated, color=FAINT, linewidth=1.0, linestyle=":", label=f"stated false-positive rate {stated:.1%}")
    axes.axvline(
        calibration.threshold,
        color=INK,
        linewidth=1.1,
        linestyle=(0, (4, 2)),
        label=f"threshold {number(calibration.threshold)}",
    )
    axes.axvspan(calibration.threshold, limits[1], color=FAKE, alpha=0.07, linewidth=0, label="called fake")
    for index, (name, score) in enumerate(highlighted[:LISTED_VIDEOS]):
        _mark_video(axes, calibration, index, name, score)
    if len(highlighted) > LISTED_VIDEOS:
        axes.plot([], [], linestyle="none", label=f"… and {len(highlighted) - LISTED_VIDEOS} more, not marked")
    legend_beside(axes)
    if calibration.warning is not None:
        figure.supxlabel(f"Note: {calibration.warning}.", fontsize=8, color=FAKE, wrap=True)
    return figure


def _mark_best(axes: Axes, epochs: Floats, values: Floats) -> None:
    best = int(np.nanargmax(values))
    axes.plot(
        epochs[best],
        values[best],
        "o",
        color=FAKE,
        markersize=7,
        label=f"best {values[best]:.3f}, epoch {epochs[best]:g}",
    )
    axes.legend(frameon=False, fontsize=8, loc="lower right")


def _mark_video(axes: Axes, calibration: Calibration, index: int, name: str, score: float) -> None:
    low, high = axes.get_xlim()
    p_value = calibration.p_value(score)
    at = (float(np.clip(score, low, high)), p_value)
    marker = "<" if score < low else ">" if score > high else "o"
    colour = FAKE if calibration.is_anomalous(score) else GROUP_COLOURS[1]
    # A dollar sign would begin a formula.
    shown = name.replace("$", r"\$")
    label = f"{index + 1}  {shown}   score {number(score)}, p = {p_value:.3g}"
    axes.plot(*at, marker, color=colour, markersize=11, markeredgecolor="white", clip_on=False, zorder=6, label=label)
    axes.annotate(
        str(index + 1),
        at,
        ha="center",
        va="center",
        fontsize=7,
        color="white",
        fontweight="bold",
        zorder=7,
        annotation_clip=False,
    )
