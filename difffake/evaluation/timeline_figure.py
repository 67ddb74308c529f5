"""A video's evidence over time: its pairs' anomaly and its faces' fake probability, under a film strip."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from matplotlib.figure import Figure

from difffake.evaluation.plot_style import FAINT, FAKE, INK, REAL, Floats, dress, new_figure, number, score_limits
from difffake.faces.records import RgbImage

_STRIP = 12
_THUMBNAIL_PX = 112
_SMOOTHED = 5
"""Neighbours over which the line is a median."""


@dataclass(frozen=True, eq=False)
class Track:
    """One row of the figure: values over time, and where the calibration draws the line for their mean.

    Attributes:
        label: of the vertical axis.
        time_s: (N,) ascending.
        values: (N,), higher is more anomalous.
        threshold: at which a video's mean is called anomalous; None where that is not what decides.
        limits: of the vertical axis; by the values where it has none of its own.
    """

    label: str
    time_s: Floats
    values: Floats
    threshold: float | None = None
    limits: tuple[float, float] | None = None


def timeline_figure(thumbnails: Sequence[tuple[float, RgbImage]], tracks: Sequence[Track]) -> Figure:
    """Faces above, the tracks below, on one axis of time.

    Args:
        thumbnails: (time in seconds, square face picture) by time; some of many are shown.
        tracks: at least one.
    """
    figure = new_figure(10.6, 1.5 + 1.9 * len(tracks))
    rows = figure.subplots(1 + len(tracks), 1, height_ratios=[0.62, *[1.0] * len(tracks)])
    times = [time_s for time_s, _ in thumbnails]
    span = min(times), max(max(times), min(times) + 1e-3)
    chosen = _spread(len(thumbnails))
    strip = np.hstack([_small(thumbnails[index][1]) for index in chosen])
    rows[0].imshow(strip, aspect="equal")
    rows[0].set(yticks=[], xticks=[(place + 0.5) * _THUMBNAIL_PX for place in range(len(chosen))])
    rows[0].set_xticklabels([f"{thumbnails[index][0]:.1f} s" for index in chosen], fontsize=7.5, color=INK)
    rows[0].tick_params(length=0)
    for side in ("top", "right", "left", "bottom"):
        rows[0].spines[side].set_visible(False)
    for axes, track in zip(rows[1:], tracks, strict=True):
        dress(axes, track.label, "", "")
        axes.scatter(track.time_s, track.values, s=13, color=REAL, alpha=0.75, linewidth=0)
        axes.plot(track.time_s, _running_median(track.values), color=REAL, linewidth=1.3, label="running median")
        mean = float(track.values.mean())
        axes.axhline(mean, color=INK, linewidth=1.0, label=f"mean of the video {number(mean)}")
        shown = [mean]
        if track.threshold is not None:
            line = (0, (4, 2))
            label = f"threshold for the mean {number(track.threshold)}"
            axes.axhline(track.threshold, color=FAKE, linewidth=1.1, linestyle=line, label=label)
            shown.append(track.threshold)
        margin = 0.02 * (span[1] - span[0])
        limits = track.limits or score_limits(track.values, shown)
        axes.set(xlim=(span[0] - margin, span[1] + margin), ylim=limits)
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0, frameon=False, fontsize=8)
    rows[-1].set_xlabel("Time of the frame, s", fontsize=9, color=INK)
    rows[0].set_title(f"{len(thumbnails)} faces, {len(chosen)} shown", loc="left", fontsize=8.5, color=FAINT)
    return figure


def _spread(count: int) -> list[int]:
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, _STRIP))})


def _small(picture: RgbImage) -> RgbImage:
    small = cv2.resize(picture, (_THUMBNAIL_PX - 4, _THUMBNAIL_PX - 4), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.copyMakeBorder(small, 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=(255, 255, 255)), np.uint8)


def _running_median(values: Floats) -> Floats:
    reach = _SMOOTHED // 2
    windows = [values[max(place - reach, 0) : place + reach + 1] for place in range(len(values))]
    return np.array([np.median(window) for window in windows])
