"""The figures of a report, each a `matplotlib.figure.Figure` for the caller to save."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import roc_curve

from difffake.config import EvaluationConfig
from difffake.differential.calibration import Calibration
from difffake.evaluation.bootstrap import bootstrap_roc_band
from difffake.evaluation.plot_style import (
    FAINT,
    FAKE,
    GROUP_COLOURS,
    GROUP_LINES,
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
from difffake.evaluation.score_lanes import HISTOGRAM_FROM, LANE_CENTRE, draw_lane, draw_threshold, score_lanes
from difffake.evaluation.table import OVERALL, EvaluationRow, VideoResult
from difffake.randomness import derive_rng

LISTED_VIDEOS = 12
"""Most highlighted videos a legend lists by name."""

SCORE_LABEL = "Score: negative mean log-likelihood of a video's pairs (higher is more anomalous)"


def roc_figure(
    videos: Sequence[VideoResult], rows: Sequence[EvaluationRow], config: EvaluationConfig, seed: int
) -> Figure:
    """ROC curves of all fakes, with a bootstrap band, and of each manipulation.

    Args:
        videos: what was evaluated.
        rows: the table of these videos (`difffake.evaluation.table.evaluate_videos`).
        config: resamples and confidence of the band.
        seed: the experiment's.
    """
    figure = new_figure(8.4, 5.0)
    axes = figure.subplots()
    dress(axes, "Receiver operating characteristic", "False-positive rate", "True-positive rate")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal", anchor="W")
    overall = next(row for row in rows if row.group == OVERALL)
    if overall.metrics is None:
        explain_absence(axes, f"No curve: {overall.reasons['auc']}.")
        return figure
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=":")
    _draw_roc_band(axes, videos, config, seed)
    axes.plot(*_roc_points(videos, OVERALL), color=INK, linewidth=2.2, zorder=4, label=_roc_label(overall))
    for index, row in enumerate(row for row in rows if row.group != OVERALL):
        if row.metrics is None:
            axes.plot([], [], linestyle="none", label=_roc_label(row))
        else:
            points = _roc_points(videos, row.group)
            axes.plot(*points, linewidth=1.5, zorder=3, label=_roc_label(row), **_group_style(index))
    legend_beside(axes, f"AUC [{config.confidence:.0%} interval over identities]")
    return figure


def score_histogram_figure(videos: Sequence[VideoResult], threshold: float | None = None) -> Figure:
    """One lane of scores for the reals and one for each manipulation: every video a dot, many a histogram too.

    Extreme scores are drawn as triangles at the axis' edge, and counted there.
    """
    lanes = score_lanes(videos)
    lane_height_in = 0.95 if any(len(lane.scores) >= HISTOGRAM_FROM for lane in lanes) else 0.6
    figure = new_figure(8.4, 1.7 + lane_height_in * max(len(lanes), 1))
    axes = figure.subplots()
    dress(axes, "Scores of the test videos", SCORE_LABEL, "", title_gap_pt=20)
    if not lanes:
        explain_absence(axes, "No video was scored.")
        return figure
    everything = np.concatenate([lane.scores for lane in lanes])
    limits = score_limits(everything, [] if threshold is None else [threshold])
    bins = np.linspace(*limits, int(np.clip(2 * np.sqrt(len(everything)), 12, 60)))
    for base, lane in enumerate(reversed(lanes)):
        draw_lane(axes, lane, bins, base)
    axes.set_yticks(
        np.arange(len(lanes)) + LANE_CENTRE, [f"{lane.name}\nn = {len(lane.scores)}" for lane in reversed(lanes)]
    )
    axes.set(xlim=limits, ylim=(-0.38, len(lanes) - 0.3))
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0, labelsize=9)
    if threshold is not None:
        draw_threshold(axes, lanes, threshold)
    return figure


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


def _labels_and_scores(videos: Sequence[VideoResult], group: str) -> tuple[list[int], list[float]]:
    chosen = [
        (video.label, video.score)
        for video in videos
        if video.score is not None and (video.label == 0 or group in (OVERALL, video.manipulation))
    ]
    return [label for label, _ in chosen], [score for _, score in chosen]


def _roc_points(videos: Sequence[VideoResult], group: str) -> tuple[Floats, Floats]:
    false_positive, true_positive, _ = roc_curve(*_labels_and_scores(videos, group), drop_intermediate=False)
    return false_positive, true_positive


def _roc_label(row: EvaluationRow) -> str:
    name = "All fakes" if row.group == OVERALL else row.group
    if row.metrics is None:
        return f"{name}: {row.reasons['auc']}"
    interval = row.intervals["auc"]
    bounds = f"[{interval.low:.3f}, {interval.high:.3f}]" if interval.reason is None else "[not estimable]"
    people = f"{row.n_identities} identit{'ies' if row.n_identities != 1 else 'y'}"
    return f"{name}   {row.metrics.auc:.3f} {bounds}\n{row.n_fake} fake, {row.n_real} real, {people}"


def _draw_roc_band(axes: Axes, videos: Sequence[VideoResult], config: EvaluationConfig, seed: int) -> None:
    labels, scores = _labels_and_scores(videos, OVERALL)
    identities = [video.identity for video in videos if video.score is not None]
    rng = derive_rng(seed, "evaluation", "roc_band")
    grid = np.linspace(0, 1, 201)
    band = bootstrap_roc_band(labels, scores, identities, grid, config.bootstrap_resamples, config.confidence, rng)
    if band is not None:
        axes.fill_between(grid, band.low, band.high, color=INK, alpha=0.12, linewidth=0)


def _group_style(index: int) -> dict[str, Any]:
    return {
        "color": GROUP_COLOURS[index % len(GROUP_COLOURS)],
        "linestyle": GROUP_LINES[index % len(GROUP_LINES)],
    }


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
    label = f"{index + 1}  {name}   score {number(score)}, p = {p_value:.3g}"
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
