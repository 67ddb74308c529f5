"""The figures show the table's numbers, every video and every reason."""

import io
import warnings

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from difffake.config import EvaluationConfig
from difffake.evaluation.groups import Group, group_videos
from difffake.evaluation.results import DIFFERENTIAL, FAKE_PROBABILITY, VideoResult
from difffake.evaluation.rows import EvaluationRow
from difffake.evaluation.score_figures import auc_figure, roc_figure, score_histogram_figure
from difffake.evaluation.table import evaluate_videos
from tests.helpers.results import many, video

CONFIG = EvaluationConfig(bootstrap_resamples=100)
BOTH = (DIFFERENTIAL, FAKE_PROBABILITY)
TINY = [
    video("ann", -5210.0, others={FAKE_PROBABILITY: 0.1}),
    video("bob", -5190.0, others={FAKE_PROBABILITY: 0.9}),
    video("cid", -5300.0, others={FAKE_PROBABILITY: 0.3}),
    video("ann", -5100.0, "FaceSwap", others={FAKE_PROBABILITY: 0.2}),
    video("bob", -5195.0, "FaceSwap", others={FAKE_PROBABILITY: 0.8}),
    video("cid", -4900.0, label=1, others={FAKE_PROBABILITY: None}),
]
UNSCORED = [video("ann", None, status="abstained"), video("bob", None, "Real", status="failed")]
ELSEWHERE = [video("x:1", 1.0, "swap", dataset="celeb", compression=None)]


def _large() -> list[VideoResult]:
    strengths = {name: index / 3 for index, name in enumerate(["Real", "Fake", "Deepfakes", "FaceSwap", "a", "b"])}
    return [*many(strengths, 40), video("person_0", 1e6, "Deepfakes", name="extreme"), *UNSCORED]


def _evaluated(videos: list[VideoResult]) -> tuple[tuple[Group, ...], tuple[EvaluationRow, ...]]:
    return group_videos(videos, {"ff"}), evaluate_videos(videos, BOTH, CONFIG, 0, learnt_from={"ff"})


def _render(figure: Figure) -> list[Axes]:
    """Draw without a warning, and hand back the axes."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(io.BytesIO(), format="png")
    return figure.axes


def _texts(axes: Axes) -> str:
    legend = axes.get_legend()
    shown = [*axes.texts, *axes.get_yticklabels(), *(legend.get_texts() if legend else [])]
    return "\n".join([axes.get_title("left"), *(text.get_text() for text in shown)]).replace("−", "-")


def test_one_panel_a_domain_and_one_curve_a_score_that_encloses_the_area_of_the_table() -> None:
    groups, rows = _evaluated([*TINY, *ELSEWHERE])
    inside, outside = _render(roc_figure(groups, rows, CONFIG, seed=0))
    curves = [line for line in inside.lines if not str(line.get_label()).startswith("_")]

    assert [str(line.get_label()).split()[0] for line in curves] == list(BOTH)
    for line, row in zip(curves, rows, strict=False):
        assert row.metrics is not None
        assert np.trapezoid(*np.asarray(line.get_data())[::-1]) == pytest.approx(row.metrics.auc)
        assert f"{row.metrics.auc:.3f} [" in str(line.get_label())
    legend = inside.get_legend()
    assert legend is not None
    assert "3 fake, 3 real, 3 identities" in legend.get_title().get_text()
    assert "ff/c23, in-domain" in _texts(inside)
    assert "celeb, out-of-domain" in _texts(outside)
    assert "No curve: the domain has no real" in _texts(outside)


def test_a_domain_without_reals_of_its_own_says_whose_it_meets() -> None:
    borrowing = video("ffpp:1", 2.0, "DF", dataset="deeper", compression=None)
    lending = [video("ffpp:1", 1.0), video("ffpp:2", 1.5), video("ffpp:2", 1.6, "swap")]
    groups, rows = _evaluated([*lending, borrowing])
    legend = _render(roc_figure(groups, rows, CONFIG, 0))[1].get_legend()

    assert legend is not None
    assert "1 fake, 2 real of ff/c23" in legend.get_title().get_text()
    histogram = score_histogram_figure(groups[-2], [DIFFERENTIAL], {})
    assert "deeper, with the reals of ff/c23" in histogram.get_suptitle()


@pytest.mark.parametrize("videos", [TINY[:3], TINY[3:], UNSCORED])
def test_figures_without_a_curve_say_why(videos: list[VideoResult]) -> None:
    groups, rows = _evaluated(videos)

    assert "No curve: " in _texts(_render(roc_figure(groups, rows, CONFIG, 0))[0])
    assert rows[0].reasons["auc"] in _texts(_render(auc_figure(rows, CONFIG))[0])
    if videos is UNSCORED:
        assert "No video has this score" in _texts(_render(score_histogram_figure(groups[0], BOTH, {}))[0])


def test_a_single_score_that_is_missing_leaves_the_others() -> None:
    groups, rows = _evaluated([*many({"swap": 1.0}, 5)])
    shown = _texts(_render(roc_figure(groups, rows, CONFIG, 0))[0])

    assert "fake_probability: no real video was scored" in shown


def test_every_auc_of_the_table_is_a_dot() -> None:
    _, rows = _evaluated([*_large(), *ELSEWHERE])
    (axes,) = _render(auc_figure(rows, CONFIG))
    dots = next(line for line in axes.lines if line.get_label() == DIFFERENTIAL)
    expected = [row.metrics.auc for row in rows if row.score == DIFFERENTIAL and row.metrics is not None]

    assert np.asarray(dots.get_xdata()).tolist() == expected
    assert "ff/c23, in-domain (241 fake, 40 real)" in _texts(axes)
    assert "celeb, out-of-domain (1 fake, 0 real)" in _texts(axes)


def test_score_lanes_hold_every_video_and_its_verdict() -> None:
    groups, _ = _evaluated(TINY)
    left, right = _render(score_histogram_figure(groups[0], BOTH, {DIFFERENTIAL: -5100.0}))
    shown = _texts(left)

    for words in ("Real\nn = 3", "FaceSwap\nn = 2", "Other fakes\nn = 1", "0% called fake", "50% called fake"):
        assert words in shown
    assert "threshold -5,100" in shown
    assert "Other fakes\nn = 0" in _texts(right)
    assert "called fake" not in _texts(right)
    for axes, score in ((left, DIFFERENTIAL), (right, FAKE_PROBABILITY)):
        drawn = sorted(float(x) for dots in axes.collections for x in np.asarray(dots.get_offsets())[:, 0])
        assert drawn == sorted(value for one in TINY if (value := one.scores[score]) is not None)


def test_manipulations_named_like_the_classes_keep_their_own_lanes() -> None:
    groups, _ = _evaluated(_large())
    ticks = [text.get_text() for text in _render(score_histogram_figure(groups[0], BOTH, {}))[0].get_yticklabels()]

    assert ticks.count("Real\nn = 40") == 2


def test_extreme_scores_do_not_squash_the_axis_and_are_counted() -> None:
    groups, _ = _evaluated(_large())
    axes = _render(score_histogram_figure(groups[0], BOTH, {DIFFERENTIAL: 2.0}))[0]

    assert axes.get_xlim()[1] < 100
    assert "1 beyond" in _texts(axes)
