"""The figures of an evaluation, each a `matplotlib.figure.Figure`: scores side by side, domain by domain."""

from collections.abc import Mapping, Sequence
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import roc_curve

from difffake.config import EvaluationConfig
from difffake.evaluation.bootstrap import bootstrap_roc_band
from difffake.evaluation.groups import Group
from difffake.evaluation.plot_style import (
    FAINT,
    GROUP_LINES,
    INK,
    SCORE_TITLES,
    dress,
    explain_absence,
    new_figure,
    score_colour,
    score_limits,
)
from difffake.evaluation.results import OVERALL
from difffake.evaluation.rows import EvaluationRow
from difffake.evaluation.score_lanes import HISTOGRAM_FROM, LANE_CENTRE, Lane, draw_lane, draw_threshold, score_lanes
from difffake.randomness import derive_rng

_ROC_PANELS_IN_A_ROW = 3
_MARKERS = "os^Dv"


def roc_figure(groups: Sequence[Group], rows: Sequence[EvaluationRow], config: EvaluationConfig, seed: int) -> Figure:
    """ROC curves of all fakes, one panel a domain, one curve with its bootstrap band a score.

    Args:
        groups: what was evaluated (`difffake.evaluation.groups.group_videos`).
        rows: the table of these groups (`difffake.evaluation.table.evaluate_videos`).
        config: resamples and confidence of the bands.
        seed: the experiment's.
    """
    overall = [group for group in groups if group.name == OVERALL]
    columns = min(len(overall), _ROC_PANELS_IN_A_ROW)
    lines = -(-len(overall) // columns)
    figure = new_figure(max(4.1 * columns, 5.0), 5.2 * lines)
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, group in zip(panels, overall, strict=False):
        its_rows = [row for row in _video_rows(rows, OVERALL) if row.domain == group.domain.name]
        _draw_roc(axes, group, its_rows, config, seed)
    for axes in panels[len(overall) :]:
        axes.set_axis_off()
    return figure


def auc_figure(rows: Sequence[EvaluationRow], config: EvaluationConfig) -> Figure:
    """The AUC of every score with its interval on every group of every domain, one line a group."""
    videos = _video_rows(rows)
    lines = list(dict.fromkeys((row.domain, row.group) for row in videos))
    scores = list(dict.fromkeys(row.score for row in videos))
    figure = new_figure(8.4, 1.7 + 0.36 * len(lines))
    axes = figure.subplots()
    dress(axes, "AUC of every group", f"AUC, with its {config.confidence:.0%} interval over identities", "")
    axes.axvline(0.5, color=FAINT, linewidth=0.8, linestyle=":")
    for index, score in enumerate(scores):
        offset = 0.5 * ((index + 0.5) / len(scores) - 0.5)
        placed = [(lines.index((row.domain, row.group)) + offset, row) for row in videos if row.score == score]
        _draw_aucs(axes, placed, score, index)
    by_line = {(row.domain, row.group): row for row in reversed(videos)}
    axes.set_yticks(range(len(lines)), [_line_label(by_line[line]) for line in lines])
    for number, (_, group) in enumerate(lines):
        if group == OVERALL and number:
            axes.axhline(number - 0.5, color=FAINT, linewidth=0.6)
    axes.set(ylim=(len(lines) - 0.4, -0.6), xlim=(min([0.4, *_shown_aucs(videos)]) - 0.02, 1.02))
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    for label, (_, group) in zip(axes.get_yticklabels(), lines, strict=True):
        label.set_fontweight("bold" if group == OVERALL else "normal")
    figure.legend(loc="outside lower right", ncols=len(scores), frameon=False, fontsize=8.5)
    return figure


def score_histogram_figure(group: Group, scores: Sequence[str], thresholds: Mapping[str, float]) -> Figure:
    """One panel a score; in it one lane for the reals and one for each manipulation, every video a dot.

    Extreme scores are drawn as triangles at the axis' edge, and counted there.

    Args:
        group: all fakes of a domain and the reals they are held against.
        scores: names.
        thresholds: by score.
    """
    by_score = {name: score_lanes((*group.reals, *group.fakes), name) for name in scores}
    shown = [
        index for index in range(len(by_score[scores[0]])) if any(len(its[index].scores) for its in by_score.values())
    ]
    by_score = {name: [its[lane] for lane in shown] for name, its in by_score.items()}
    has_many = any(len(lane.scores) >= HISTOGRAM_FROM for its in by_score.values() for lane in its)
    lane_height_in = 0.95 if has_many else 0.6
    figure = new_figure(2.2 + 5.6 * len(scores), 1.9 + lane_height_in * max(len(shown), 1))
    for axes, name in zip(figure.subplots(1, len(scores), squeeze=False).ravel(), scores, strict=True):
        _draw_lanes(axes, name, by_score[name], thresholds.get(name))
    against = "" if group.reals_from in (None, group.domain) else f", with the reals of {group.reals_from.name}"
    figure.suptitle(
        f"Scores of the test videos of {group.domain.name}{against}", x=0.01, ha="left", fontsize=11, color=INK
    )
    return figure


def _video_rows(rows: Sequence[EvaluationRow], group: str | None = None) -> list[EvaluationRow]:
    return [row for row in rows if row.level == "video" and group in (None, row.group)]


def _draw_roc(axes: Axes, group: Group, rows: Sequence[EvaluationRow], config: EvaluationConfig, seed: int) -> None:
    title = f"{group.domain.name}, {'in-domain' if group.is_in_domain else 'out-of-domain'}"
    dress(axes, title, "False-positive rate", "True-positive rate")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    if all(row.metrics is None for row in rows):
        explain_absence(axes, fill(f"No curve: {rows[0].reasons['auc']}.", 36))
        return
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=":")
    for index, row in enumerate(rows):
        colour, line = score_colour(row.score, index), GROUP_LINES[index % len(GROUP_LINES)]
        if row.metrics is None:
            axes.plot([], [], linestyle="none", label=_label(row))
            continue
        _draw_band(axes, group, row.score, config, seed, colour)
        labels, scores, _ = _scored(group, row.score)
        false_positive, true_positive, _ = roc_curve(labels, scores, drop_intermediate=False)
        axes.plot(
            false_positive, true_positive, color=colour, linestyle=line, linewidth=1.8, zorder=4, label=_label(row)
        )
    against = "" if group.reals_from in (None, group.domain) else f" of {rows[0].reals_from}"
    people = f"{rows[0].n_identities} identit{'ies' if rows[0].n_identities != 1 else 'y'}"
    legend = axes.legend(
        loc="upper left",
        bbox_to_anchor=(0.0, -0.16),
        borderaxespad=0,
        frameon=False,
        fontsize=8.5,
        handlelength=2.6,
        title=f"AUC [{config.confidence:.0%} interval over identities]\n"
        f"{rows[0].n_fake} fake, {rows[0].n_real} real{against}, {people}",
        title_fontsize=8.5,
    )
    legend.set_alignment("left")


def _label(row: EvaluationRow) -> str:
    if row.metrics is None:
        return f"{row.score}: {row.reasons['auc']}"
    interval = row.intervals["auc"]
    bounds = "[not estimable]" if interval.low is None else f"[{interval.low:.3f}, {interval.high:.3f}]"
    return f"{row.score}   {row.metrics.auc:.3f} {bounds}"


def _scored(group: Group, score: str) -> tuple[list[int], list[float], list[str]]:
    found = [
        (video.label, value, video.identity)
        for video in (*group.reals, *group.fakes)
        if (value := video.scores.get(score)) is not None
    ]
    return [label for label, _, _ in found], [value for _, value, _ in found], [name for _, _, name in found]


def _draw_band(axes: Axes, group: Group, score: str, config: EvaluationConfig, seed: int, colour: str) -> None:
    rng = derive_rng(seed, "evaluation", "roc_band", group.domain.name)
    grid = np.linspace(0, 1, 201)
    band = bootstrap_roc_band(*_scored(group, score), grid, config.bootstrap_resamples, config.confidence, rng)
    if band is not None:
        axes.fill_between(grid, band.low, band.high, color=colour, alpha=0.13, linewidth=0)


def _draw_aucs(axes: Axes, placed: Sequence[tuple[float, EvaluationRow]], score: str, index: int) -> None:
    colour, marker = score_colour(score, index), _MARKERS[index % len(_MARKERS)]
    defined = [(height, row.metrics.auc, row.intervals["auc"]) for height, row in placed if row.metrics is not None]
    for height, _, interval in defined:
        if interval.low is not None and interval.high is not None:
            axes.plot([interval.low, interval.high], [height, height], color=colour, linewidth=1.6, alpha=0.6)
    axes.plot([auc for _, auc, _ in defined], [height for height, _, _ in defined], marker, color=colour, label=score)
    for height, row in placed:
        if row.metrics is None and index == 0:
            axes.text(1.0, round(height), row.reasons["auc"], ha="right", va="center", fontsize=8, color=FAINT)


def _line_label(row: EvaluationRow) -> str:
    counts = f"{row.n_fake} fake, {row.n_real} real"
    if row.group != OVERALL:
        return f"{row.group} ({counts})"
    return f"{row.domain}, {'in-domain' if row.in_domain else 'out-of-domain'} ({counts})"


def _shown_aucs(rows: Sequence[EvaluationRow]) -> list[float]:
    ends = [row.intervals["auc"].low for row in rows]
    return [end for end in ends if end is not None] + [row.metrics.auc for row in rows if row.metrics is not None]


def _draw_lanes(axes: Axes, score: str, lanes: Sequence[Lane], threshold: float | None) -> None:
    dress(axes, SCORE_TITLES.get(score, score), "Score (higher is more anomalous)", "", title_gap_pt=20)
    everything = np.concatenate([np.empty(0), *(lane.scores for lane in lanes)])
    if not len(everything):
        explain_absence(axes, "No video has this score.")
        return
    limits = score_limits(everything, [] if threshold is None else [threshold])
    bins = np.linspace(*limits, int(np.clip(2 * np.sqrt(len(everything)), 12, 60)))
    for base, lane in enumerate(reversed(lanes)):
        draw_lane(axes, lane, bins, base)
    axes.set_yticks(
        np.arange(len(lanes)) + LANE_CENTRE, [f"{lane.name}\nn = {len(lane.scores)}" for lane in reversed(lanes)]
    )
    axes.set(xlim=limits, ylim=(-0.38, len(lanes) - 0.3))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0, labelsize=9)
    if threshold is not None:
        draw_threshold(axes, lanes, threshold)
