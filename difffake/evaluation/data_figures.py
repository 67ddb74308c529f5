"""The figures of a data report: what there is, how its faces measure, and what they look like."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from difffake.evaluation.plot_style import (
    DPI,
    FAINT,
    FAKE,
    GROUP_COLOURS,
    INK,
    REAL,
    Floats,
    explain_absence,
    new_figure,
)
from difffake.faces.records import FloatArray, RgbImage

DATASET_COLOURS = (REAL, *GROUP_COLOURS, "#4C6A2D", "#B2182B", "#3B7A8C", "#6B6B6B")
"""Twelve, one a dataset; more datasets begin anew, and every row of a figure carries its name."""

REMOVED = "removed"
"""The status of what is no longer there."""

_STATUS_COLOURS = {"ok": REAL, "pending": FAINT, "growing": FAINT, REMOVED: FAINT}
_WIDTH_IN = 11.0
_NAME_IN = 1.7
_PLAIN: dict[str, Any] = {"parse_math": False}
"""Names come from users and folders: a dollar sign in one is no formula."""


@dataclass(frozen=True, eq=False)
class Measure:
    """What is counted, and in which bins.

    Attributes:
        title: heads its column.
        unit: stands below it.
        edges: (B + 1,) ascending; a bin holds what lies above its first edge and up to its second.
        ticks: labelled values.
        is_log: whether the axis is logarithmic.
        is_shown_whole: whether the axis runs over all bins, not only those that hold something.
        is_whole: whether every bin is one whole number, the last one also whatever is more.
    """

    title: str
    unit: str
    edges: Floats
    ticks: tuple[float, ...]
    is_log: bool = False
    is_shown_whole: bool = False
    is_whole: bool = False


MEASURES: dict[str, Measure] = {
    "size_px": Measure(
        "Face size",
        "longer side of the box, px",
        np.exp2(np.arange(16, 49) / 4),
        tuple(2.0**exponent for exponent in range(4, 13)),
        is_log=True,
    ),
    "sharpness": Measure(
        "Sharpness",
        "variance of the Laplacian of the crop",
        np.exp2(np.arange(29) / 2),
        (1, 10, 100, 1000, 10_000),
        is_log=True,
    ),
    "detector_score": Measure("Detector score", "of a face", np.linspace(0, 1, 51), (0, 0.2, 0.4, 0.6, 0.8, 1)),
    "track_share": Measure(
        "Track length",
        "share of the sampled frames",
        np.linspace(0, 1, 21),
        (0, 0.25, 0.5, 0.75, 1),
        is_shown_whole=True,
    ),
    "tracks_per_video": Measure(
        "People in a video", "number of tracks", np.linspace(-0.5, 8.5, 10), tuple(range(9)), is_whole=True
    ),
}


@dataclass(frozen=True, eq=False)
class Distribution:
    """How one measure is spread in one dataset.

    Attributes:
        counts: (B,) in the bins of the measure.
        quantiles: the 5 %, 50 % and 95 % quantiles, or None where they say little.
    """

    dataset: str
    measure: str
    counts: Floats
    quantiles: tuple[float, float, float] | None = None


@dataclass(frozen=True, eq=False)
class FaceGroup:
    """Faces of one dataset, label and manipulation.

    Attributes:
        faces: square uint8 RGB crops.
        landmarks_crop_px: of every face (68, 2) points in pixels of its crop; none: no points are drawn.
    """

    dataset: str
    label: str
    manipulation: str | None
    faces: Sequence[RgbImage]
    landmarks_crop_px: Sequence[FloatArray] = field(default=())


def status_figure(counts: Mapping[str, Mapping[str, int]]) -> Figure:
    """A column for each status and a row for each dataset: a number, its share of the row, and a bar.

    What is removed has no share: it is not among what there is. Bars compare the datasets within a status, so that ten
    unreadable videos among a million are seen; of a single dataset they show its shares.

    Args:
        counts: status → dataset → videos, in the order to be drawn; a dataset may be absent from a status.
    """
    datasets = list(dict.fromkeys(dataset for row in counts.values() for dataset in row))
    present = [row for status, row in counts.items() if status != REMOVED]
    totals = [sum(row.get(dataset, 0) for row in present) for dataset in datasets]
    figure = new_figure(_WIDTH_IN, 1.0 + 0.44 * max(len(datasets), 1))
    if not datasets:
        explain_absence(_bare(figure.subplots()), "No video is registered.")
        return figure
    panels = figure.subplots(1, len(counts), squeeze=False)[0]
    for axes, (status, row) in zip(panels, counts.items(), strict=True):
        _draw_status(axes, status, [row.get(dataset, 0) for dataset in datasets], totals)
    panels[0].set_yticks(range(len(datasets)), datasets, **_PLAIN)
    panels[0].tick_params(axis="y", length=0, labelsize=9, pad=8, labelcolor=INK)
    return figure


def distributions_figure(distributions: Sequence[Distribution]) -> Figure:
    """A row for each dataset, a column for each measure: shares in bins, the median and the middle 90 %.

    The panels of a column share their axis, and each is as high as its highest bin.
    """
    datasets = list(dict.fromkeys(item.dataset for item in distributions))
    names = [name for name in MEASURES if any(item.measure == name for item in distributions)]
    row_in = float(np.clip(3.2 / max(len(datasets), 1), 0.72, 1.6))
    figure = new_figure(_WIDTH_IN, 1.0 + row_in * max(len(datasets), 1))
    if not datasets:
        explain_absence(_bare(figure.subplots()), "No face is stored.")
        return figure
    by_place = {(item.dataset, item.measure): item for item in distributions}
    panels = figure.subplots(len(datasets), len(names), sharex="col", squeeze=False)
    for column, name in zip(panels.T, names, strict=True):
        shown = [by_place.get((dataset, name)) for dataset in datasets]
        limits = _occupied(MEASURES[name], [item.counts for item in shown if item is not None])
        _dress_column(column, MEASURES[name], limits)
        for index, (axes, item) in enumerate(zip(column, shown, strict=True)):
            _draw_distribution(axes, MEASURES[name], item, limits, DATASET_COLOURS[index % len(DATASET_COLOURS)])
    for dataset, axes in zip(datasets, panels[:, 0], strict=True):
        axes.set_ylabel(dataset, rotation=0, ha="right", va="center", fontsize=9, color=INK, labelpad=8, **_PLAIN)
    return figure


def face_sheet(groups: Sequence[FaceGroup]) -> Figure:
    """A line of faces for each group, its dataset, label and manipulation beside it.

    Raises:
        ValueError: a group has points for some of its faces only.
    """
    columns = max((len(group.faces) for group in groups), default=1)
    lines = max(len(groups), 1)
    # Inches: one a face, so that nothing is left to a layout of a hundred panels.
    width, height = _NAME_IN + columns, lines + 0.1
    figure = Figure(figsize=(width, height), dpi=DPI)
    axes = _bare(figure.add_axes((0, 0, 1, 1)))
    if not groups:
        explain_absence(axes, "No face is stored.")
        return figure
    for line, group in enumerate(groups):
        is_first = line == 0 or groups[line - 1].dataset != group.dataset
        _draw_group(axes, group, float(line), is_first=is_first)
    axes.set(xlim=(0, width), ylim=(height - 0.05, -0.05), aspect="auto")
    return figure


def percent(count: int, total: int) -> str:
    """A share for a label; what is not all or nothing is not rounded to it."""
    if count in (0, total):
        return f"{100 if count else 0} %"
    share = 100 * count / total
    return "<0.1 %" if share < 0.1 else f"{min(share, 99.9):.1f} %"


def _bare(axes: Axes) -> Axes:
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)
    return axes


def _draw_status(axes: Axes, status: str, videos: Sequence[int], totals: Sequence[int]) -> None:
    # Two texts: the lines of one would stand higher or lower by the letters they hold.
    _bare(axes).set_title(status, loc="left", fontsize=9, fontweight="bold", color=INK, pad=22)
    axes.annotate(f"{sum(videos):,}", (0, 1), (0, 8), "axes fraction", "offset points", fontsize=9, color=INK)
    places = np.arange(len(videos)) + 0.24
    longest = max(*videos, 1, *(totals if len(videos) == 1 else ()))
    axes.barh(places, [longest] * len(videos), height=0.16, color="#f0f0f0")
    axes.barh(places, videos, height=0.16, color=_STATUS_COLOURS.get(status, FAKE))
    axes.set(xlim=(0, longest * 1.12), ylim=(len(videos) - 0.45, -0.5))
    for place, count, total in zip(places, videos, totals, strict=True):
        share = "" if status == REMOVED else f"  {percent(count, total)}"
        axes.text(
            0,
            place - 0.18,
            f"{count:,}{share}" if count else "–",
            fontsize=8,
            va="bottom",
            color=INK if count else FAINT,
        )


def _draw_distribution(
    axes: Axes, measure: Measure, item: Distribution | None, limits: tuple[float, float], colour: str
) -> None:
    axes.set(ylim=(-0.2, 1.4), yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.axhline(0, color=FAINT, linewidth=0.8, zorder=1)
    if item is None or not item.counts.any():
        axes.text(0.5, 0.4, "none", transform=axes.transAxes, ha="center", fontsize=8, color=FAINT)
        return
    heights = item.counts / item.counts.max()
    if measure.is_whole:
        axes.bar(np.arange(len(heights)), heights, width=0.7, color=colour, alpha=0.75)
        _note(axes, f"just one: {percent(int(item.counts[1]), int(item.counts.sum()))}")
        return
    axes.stairs(heights, measure.edges, fill=True, color=colour, alpha=0.35, linewidth=0)
    axes.stairs(heights, measure.edges, color=colour, linewidth=1.1)
    if item.quantiles is not None:
        low, dot, high = np.clip(item.quantiles, *limits)
        axes.plot([low, high], [-0.1, -0.1], color=colour, linewidth=1.6, solid_capstyle="butt", clip_on=False)
        axes.plot(dot, -0.1, "o", color=colour, markersize=4.5, markeredgecolor="white", clip_on=False, zorder=4)
        median = item.quantiles[1]
        _note(axes, f"median {median:.3g}" if median < 1000 else f"median {median:,.0f}")


def _note(axes: Axes, text: str) -> None:
    axes.text(1.0, 1.0, text, transform=axes.transAxes, ha="right", va="top", fontsize=7.5, color=INK)


def _dress_column(column: Sequence[Axes], measure: Measure, limits: tuple[float, float]) -> None:
    top, bottom = column[0], column[-1]
    top.set_title(measure.title, loc="left", fontsize=10, fontweight="bold", color=INK, pad=8)
    bottom.set_xlabel(measure.unit, fontsize=8, color=INK)
    if measure.is_log:
        bottom.set_xscale("log", base=2)
    bottom.set_xlim(limits)
    ticks = [tick for tick in measure.ticks if limits[0] <= tick <= limits[1]]
    labels = [f"{tick:g}" for tick in ticks]
    if measure.is_whole and ticks and ticks[-1] == measure.ticks[-1]:
        labels[-1] += "+"
    for axes in column:
        axes.grid(axis="x", color="#e6e6e6", linewidth=0.7)
        axes.set_axisbelow(True)
        axes.tick_params(axis="x", labelsize=7.5, colors=INK, length=0)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_locator(FixedLocator(ticks))
    bottom.xaxis.set_ticks(ticks, labels)
    for axes in column[:-1]:
        axes.tick_params(axis="x", labelbottom=False)


def _occupied(measure: Measure, counts: Sequence[Floats]) -> tuple[float, float]:
    """The stretch of the axis on which anything lies, a bin more at either end, never less than four bins."""
    edges = measure.edges
    filled = np.flatnonzero(np.sum(counts, axis=0)) if counts else np.arange(0)
    if measure.is_shown_whole or not len(filled):
        return float(edges[0]), float(edges[-1])
    first, last = max(int(filled[0]) - 1, 0), min(int(filled[-1]) + 2, len(edges) - 1)
    if measure.is_whole:
        first, last = 0, max(last, 4)
    return float(edges[min(first, max(last - 4, 0))]), float(edges[last])


def _draw_group(axes: Axes, group: FaceGroup, top: float, *, is_first: bool) -> None:
    if group.landmarks_crop_px and len(group.landmarks_crop_px) != len(group.faces):
        raise ValueError(f"{len(group.landmarks_crop_px)} sets of points for {len(group.faces)} faces")
    if is_first:
        axes.plot([0.08, _NAME_IN - 0.15], [top + 0.05] * 2, color=FAINT, linewidth=0.8)
        axes.text(0.08, top + 0.24, _short(group.dataset), fontsize=9, fontweight="bold", color=INK, **_PLAIN)
    colour = REAL if group.label == "real" else FAKE
    axes.text(0.08, top + 0.5, group.label, fontsize=9, color=colour, va="center", fontweight="bold", **_PLAIN)
    if group.manipulation:
        axes.text(0.08, top + 0.7, _short(group.manipulation), fontsize=8.5, color=INK, va="center", **_PLAIN)
    for column, face in enumerate(group.faces):
        left = _NAME_IN + column
        axes.imshow(face, extent=(left + 0.02, left + 0.98, top + 0.98, top + 0.02))
        if group.landmarks_crop_px:
            points = left + 0.02, top + 0.02
            scale = 0.96 / np.array([face.shape[1], face.shape[0]])
            xy = (group.landmarks_crop_px[column] + 0.5) * scale + points
            axes.plot(xy[:, 0], xy[:, 1], "o", color="#7CFC00", markersize=0.9, markeredgewidth=0)


def _short(name: str, most: int = 22) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"
