"""The figure of robustness: one panel a perturbation, AUC over severity, one line a score."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from difffake.evaluation.plot_style import FAINT, GROUP_LINES, INK, SCORE_COLOURS, dress, explain_absence, new_figure
from difffake.evaluation.robustness import CLEAN, RobustnessRow
from difffake.perturbations.frames import FRAME_PERTURBATIONS
from difffake.perturbations.perturbation import H264_CRF

_COLUMNS = 4
_PANEL_WIDTH_IN, _PANEL_HEIGHT_IN = 2.9, 2.75
_MARKERS = ("o", "s", "^", "D")
_CHANCE = 0.5
_RATE_FACTOR = "H.264 rate factor"


def robustness_figure(rows: Sequence[RobustnessRow], confidence: float) -> Figure:
    """AUC of one domain under each condition with its band over identities; the clean videos come first in every panel.

    Args:
        rows: of the domain, from the table (`difffake.evaluation.robustness.evaluate_robustness`).
        confidence: of the intervals in it.
    """
    names = list(dict.fromkeys(row.perturbation for row in rows if row.perturbation != CLEAN))
    scores = list(dict.fromkeys(row.score for row in rows))
    columns = min(_COLUMNS, max(len(names), 1))
    lines = max(1, -(-len(names) // columns))
    figure = new_figure(max(6.0, _PANEL_WIDTH_IN * columns), 0.6 + _PANEL_HEIGHT_IN * lines)
    panels = figure.subplots(lines, columns, sharey=True, squeeze=False)
    if not names:
        explain_absence(panels[0, 0], "No perturbation was asked for.")
        return figure
    for index, axes in enumerate(panels.ravel()):
        if index >= len(names):
            axes.set_axis_off()
            continue
        _draw_panel(axes, [row for row in rows if row.perturbation in (CLEAN, names[index])], scores)
        axes.set_ylabel("AUC" if index % columns == 0 else "", fontsize=9)
    low = min([0.45, *(end for row in rows for end in (row.auc, row.auc_low) if end is not None)])
    panels[0, 0].set_ylim(max(-0.02, low - 0.03), 1.02)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    title = f"{rows[0].domain}: AUC with its {confidence:.0%} interval over identities"
    legend = figure.legend(
        handles, labels, title=title, title_fontsize=9, loc="outside upper left", ncols=len(labels), frameon=False,
        fontsize=9,
    )  # fmt: skip
    legend.set_alignment("left")
    return figure


def _draw_panel(axes: Axes, rows: Sequence[RobustnessRow], scores: Sequence[str]) -> None:
    conditions = sorted({(row.perturbation != CLEAN, row.level, row.value) for row in rows}, key=lambda at: at[:2])
    name = next(row.perturbation for row in rows if row.perturbation != CLEAN)
    dress(axes, _title(name), _x_label(name), "")
    axes.title.set_fontsize(10)
    axes.axhline(_CHANCE, color=FAINT, linewidth=0.8, linestyle=":")
    axes.set_xticks(range(len(conditions)), [_tick(name, *at) for at in conditions], fontsize=7.5)
    axes.set_xlim(-0.4, len(conditions) - 0.6)
    place = {(is_perturbed, level): index for index, (is_perturbed, level, _) in enumerate(conditions)}
    for index, score in enumerate(scores):
        _draw_score(axes, [row for row in rows if row.score == score], place, index)
    _note_losses(axes, rows, place)


def _draw_score(axes: Axes, rows: Sequence[RobustnessRow], place: dict[tuple[bool, int], int], index: int) -> None:
    if not rows:
        return
    ordered = sorted(rows, key=lambda row: place[row.perturbation != CLEAN, row.level])
    at = np.array([place[row.perturbation != CLEAN, row.level] for row in ordered])
    areas, lows, highs = (
        np.array([getattr(row, name) for row in ordered], dtype=np.float64) for name in ("auc", "auc_low", "auc_high")
    )
    colour = SCORE_COLOURS.get(rows[0].score, INK)
    axes.fill_between(at, lows, highs, color=colour, alpha=0.13, linewidth=0)
    axes.plot(
        at,
        areas,
        color=colour,
        linewidth=1.7,
        linestyle=GROUP_LINES[index % len(GROUP_LINES)],
        marker=_MARKERS[index % len(_MARKERS)],
        markersize=4.5,
        zorder=3,
        label=ordered[0].score.replace("_", " "),
    )
    for x, row in zip(at, ordered, strict=True):
        if row.auc is None:
            axes.text(x, _CHANCE, "×", color=colour, ha="center", va="center", fontsize=11)


def _note_losses(axes: Axes, rows: Sequence[RobustnessRow], place: dict[tuple[bool, int], int]) -> None:
    """Above each condition, how many videos have no score there, or lack one of the scores."""
    lost: dict[int, int] = {}
    for row in rows:
        x = place[row.perturbation != CLEAN, row.level]
        lost[x] = max(lost.get(x, 0), row.n_unscored)
    for x, count in lost.items():
        if count:
            axes.annotate(
                f"{count} lost", (x, 1), xycoords=axes.get_xaxis_transform(), ha="center", va="bottom",
                fontsize=6.5, color=INK,
            )  # fmt: skip


def _title(name: str) -> str:
    return "H.264 re-encoding" if name == H264_CRF else name.replace("_", " ").capitalize()


def _x_label(name: str) -> str:
    if name == H264_CRF:
        return _RATE_FACTOR
    spec = FRAME_PERTURBATIONS.get(name)  # type: ignore[call-overload]
    return f"Severity, and {_RATE_FACTOR if spec is None else spec.parameter}"


def _tick(name: str, is_perturbed: bool, level: int, value: float | None) -> str:
    if not is_perturbed:
        return "clean"
    return f"{level}" if name == H264_CRF else f"{level}\n{value:g}"
