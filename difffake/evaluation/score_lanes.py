"""Scores of groups of videos, one lane above the other: every video a dot, many a histogram too."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from difffake.evaluation.plot_style import FAKE, INK, REAL, Floats, number
from difffake.evaluation.results import VideoResult

HISTOGRAM_FROM = 12
"""Fewer videos than this are shown as dots alone: their histogram would be noise."""

LANE_CENTRE = 0.15
"""Above a lane's baseline: between its histogram and its dots."""


class Lane(NamedTuple):
    """Scores shown on one line: (n,) of the reals or of one manipulation."""

    name: str
    colour: str
    scores: Floats


def score_lanes(videos: Sequence[VideoResult], score: str) -> list[Lane]:
    """The reals, then each manipulation by name, then fakes of unknown making; a lane may be empty."""
    fakes = [video for video in videos if video.label == 1]
    names = sorted({video.manipulation for video in fakes if video.manipulation is not None})
    members = [("Real", REAL, [video for video in videos if video.label == 0])]
    members += [(name, FAKE, [video for video in fakes if video.manipulation == name]) for name in names]
    members += [("Other fakes" if names else "Fake", FAKE, [video for video in fakes if video.manipulation is None])]
    return [
        Lane(name, colour, np.array([value for video in lane if (value := video.scores.get(score)) is not None]))
        for name, colour, lane in members
    ]


def draw_lane(axes: Axes, lane: Lane, bins: Floats, base: int) -> None:
    """Dots below the height `base` and a histogram above it, or large dots alone where the videos are few."""
    if not len(lane.scores):
        return
    low, high = bins[0], bins[-1]
    inside = lane.scores[(lane.scores >= low) & (lane.scores <= high)]
    # Spread in a fixed pattern (the golden section), so that equal scores stay visible.
    spread = (np.arange(len(inside)) * 0.618034) % 1
    if len(lane.scores) < HISTOGRAM_FROM:
        heights, size, opacity = base + LANE_CENTRE - 0.1 + 0.2 * spread, 42, 0.9
    else:
        heights, size, opacity = base - 0.07 - 0.2 * spread, 7, 0.45
        counts, _ = np.histogram(inside, bins)
        tops = base + 0.6 * counts / max(counts.max(), 1)
        axes.stairs(tops, bins, baseline=base, fill=True, color=lane.colour, alpha=0.35, zorder=2)
        axes.stairs(tops, bins, baseline=base, color=lane.colour, linewidth=1.1, zorder=2)
    axes.scatter(inside, heights, s=size, color=lane.colour, alpha=opacity, linewidths=0, zorder=3)
    _count_beyond(axes, lane, "<", low, int(np.count_nonzero(lane.scores < low)), base)
    _count_beyond(axes, lane, ">", high, int(np.count_nonzero(lane.scores > high)), base)


def _count_beyond(axes: Axes, lane: Lane, marker: str, edge: float, count: int, base: int) -> None:
    if count == 0:
        return
    inwards_pt, align = (9, "left") if marker == "<" else (-9, "right")
    at = (edge, base + LANE_CENTRE)
    axes.plot(*at, marker, color=lane.colour, markersize=7, clip_on=False, zorder=5)
    axes.annotate(
        f"{count} beyond",
        at,
        (inwards_pt, 0),
        textcoords="offset points",
        ha=align,
        va="center",
        fontsize=7.5,
        color=lane.colour,
    )


def draw_threshold(axes: Axes, lanes: Sequence[Lane], threshold: float) -> None:
    """The threshold through all lanes, and beside each the share of its videos at or above it."""
    axes.axvline(threshold, color=INK, linewidth=1.1, linestyle=(0, (4, 2)), zorder=1)
    axes.annotate(
        f"threshold {number(threshold)}",
        (threshold, 1.0),
        (0, 3),
        ("data", "axes fraction"),
        "offset points",
        ha="center",
        fontsize=8,
        color=INK,
    )
    for base, lane in enumerate(reversed(lanes)):
        if not len(lane.scores):
            continue
        axes.annotate(
            f"{np.mean(lane.scores >= threshold):.0%} called fake",
            (1.0, base + LANE_CENTRE),
            (10, 0),
            ("axes fraction", "data"),
            "offset points",
            va="center",
            fontsize=8.5,
            color=INK,
        )
