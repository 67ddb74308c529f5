"""One look for every figure: drawn without pyplot or a display, readable without colour vision."""

import io
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

DPI = 150
INK, FAINT = "#222222", "#8c8c8c"
REAL, FAKE = "#0072B2", "#D55E00"
GROUP_COLOURS = ("#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A5195", "#8C6D31")
"""Okabe & Ito's palette, for eyes of every kind, and two more; the line styles tell groups apart as well."""
GROUP_LINES = ("-", (0, (5, 1.5)), (0, (1.5, 1)), "-.", (0, (8, 2)), (0, (3, 1, 1, 1, 1, 1)), (0, (1, 2)))

SCORE_COLOURS = {"differential": "#0072B2", "fake_probability": "#D55E00", "fusion": "#009E73"}
SCORE_TITLES = {
    "differential": "Differential: minus the mean log-likelihood of a video's pairs",
    "fake_probability": "Backbone alone: mean fake probability of a video's faces",
    "fusion": "Fusion of both",
}

OUTLIER_SPREADS = 4.0
"""Scores further than this many interquartile ranges beyond the quartiles are drawn at the axis' edge."""

Floats = npt.NDArray[np.float64]


def new_figure(width_in: float, height_in: float) -> Figure:
    """An empty figure of the given size in inches."""
    figure = Figure(figsize=(width_in, height_in), dpi=DPI)
    figure.set_layout_engine("constrained", w_pad=0.14, h_pad=0.12)
    return figure


def png(figure: Figure, dpi: float = DPI) -> bytes:
    """A figure that is drawn this once as a PNG file, with the pixels `Figure.savefig` gives.

    `savefig` draws everything twice, and packs it so tightly that this takes a sixth of its time; files grow by about
    a tenth. The figure keeps the resolution, `dpi` dots per inch, and the canvas.
    """
    figure.set_dpi(dpi)
    canvas, engine = FigureCanvasAgg(figure), figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    figure.set_layout_engine("none")
    # Matplotlib's canvas has no annotations.
    canvas.draw()  # type: ignore[no-untyped-call]
    figure.set_layout_engine(engine)
    picture = io.BytesIO()
    drawn = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    Image.fromarray(drawn).save(picture, "png", compress_level=1, dpi=(dpi, dpi))
    return picture.getvalue()


def dress(axes: Axes, title: str, x_label: str, y_label: str, title_gap_pt: float = 10.0) -> None:
    """Title at the left, labels, a faint grid and only the two axes that carry a scale."""
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK, pad=title_gap_pt)
    axes.set_xlabel(x_label, fontsize=9, color=INK)
    axes.set_ylabel(y_label, fontsize=9, color=INK)
    axes.tick_params(labelsize=8, colors=INK, length=3)
    axes.grid(color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT)


def explain_absence(axes: Axes, reason: str) -> None:
    """Say in the middle of an empty plot why it is empty."""
    axes.set(xticks=[], yticks=[])
    axes.text(0.5, 0.5, reason, transform=axes.transAxes, ha="center", va="center", fontsize=9, color=FAINT, wrap=True)


def legend_beside(axes: Axes, title: str | None = None) -> None:
    """A frameless legend right of the plot."""
    legend = axes.legend(
        loc="upper left",
        bbox_to_anchor=(1.03, 1.0),
        borderaxespad=0,
        frameon=False,
        fontsize=8.5,
        handlelength=2.6,
        labelspacing=0.9,
        title=title,
        title_fontsize=8.5,
    )
    legend.set_alignment("left")


def score_colour(score: str, index: int) -> str:
    """The colour of a score wherever it is drawn; of an unknown name, by its place among the scores."""
    return SCORE_COLOURS.get(score, GROUP_COLOURS[(index + 2) % len(GROUP_COLOURS)])


def number(value: float) -> str:
    """A score for a label: four digits, or whole thousands, with a true minus."""
    text = f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"
    return text.replace("-", "−")


def score_limits(scores: Iterable[float], always_shown: Iterable[float]) -> tuple[float, float]:
    """An axis that a few extreme scores do not squash: quartiles ± `OUTLIER_SPREADS` ranges, with a margin."""
    values = np.fromiter(scores, dtype=np.float64)
    lower, upper = np.quantile(values, (0.25, 0.75))
    reach = OUTLIER_SPREADS * (upper - lower)
    inliers = values[(values >= lower - reach) & (values <= upper + reach)]
    shown = np.concatenate([inliers, np.fromiter(always_shown, dtype=np.float64)])
    low, high = float(shown.min()), float(shown.max())
    margin = 0.05 * (high - low) or 0.5 * max(abs(low), 1.0)
    return low - margin, high + margin
