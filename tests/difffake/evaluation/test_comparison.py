import pytest

from difffake.evaluation.comparison import RunResult, ScoreResult, compare
from difffake.evaluation.comparison_figure import comparison_figure

CELLS = [("base", "–"), ("knn", "density.model=knn"), ("broken", "density.components=99")]


def run(cell: str, seed: int, *aucs: float | None, reused: tuple[str, ...] = ("backbone",)) -> RunResult:
    scores = tuple(
        ScoreResult("ff/c23", score, auc, None if auc is None else auc - 0.1, None if auc is None else auc + 0.1)
        for score, auc in zip(("differential", "fake_probability"), aucs, strict=False)
    )
    return RunResult(cell, seed, scores, 2.0, reused)


def results() -> list[RunResult]:
    return [
        run("base", 0, 0.70, 0.60, reused=()),
        run("knn", 0, 0.80, 0.60, reused=("backbone", "pairs")),
        RunResult("broken", 0, reason="DensityError: fewer pairs than components"),
        run("base", 1, 0.90, 0.60),
        run("knn", 1, 0.94, None),
        run("base", 2, 0.80, 0.60),
        run("knn", 2, 0.84, 0.70),
    ]


def test_means_spreads_and_differences_by_hand() -> None:
    rows = {(row.cell, row.score): row for row in compare(CELLS, results(), "base")}
    assert list(rows) == [(cell, score) for cell, _ in CELLS for score in ("differential", "fake_probability")]
    base, knn = rows["base", "differential"], rows["knn", "differential"]
    assert (base.auc_mean, base.auc_sd) == pytest.approx((0.8, 0.1))
    assert (knn.auc_mean, knn.auc_sd) == pytest.approx((0.86, 0.0721110))
    # Seed by seed 0.10, 0.04, 0.04: the spread of the seeds themselves cancels.
    assert (knn.difference_mean, knn.difference_sd) == pytest.approx((0.06, 0.0346410))
    assert (knn.auc_low, knn.auc_high) == pytest.approx((0.7, 0.9))
    assert (base.difference_mean, base.difference_sd) == pytest.approx((0.0, 0.0))
    assert (knn.runs, knn.failed, knn.seconds, knn.reused) == (3, 0, 6.0, ("backbone",))
    assert base.reused == ()


def test_a_seed_without_an_auc_counts_for_nothing() -> None:
    row = next(row for row in compare(CELLS, results(), "base") if (row.cell, row.score) == ("knn", "fake_probability"))
    assert row.runs == 2
    assert row.auc_mean == pytest.approx(0.65)
    assert row.difference_mean == pytest.approx(0.05)


def test_one_seed_has_no_spread() -> None:
    row = compare([("base", "–")], [run("base", 0, 0.7)], "base")[0]
    assert row.auc_mean == 0.7
    assert row.auc_sd is None
    assert row.difference_sd is None


def test_domains_are_compared_apart_and_drawn_apart() -> None:
    figures = (
        ScoreResult("ff/c23", "differential", 0.9, None, None),
        ScoreResult("celeb", "differential", 0.5, 0.4, 0.6),
    )
    found = [RunResult("base", 0, figures)]
    rows = compare(CELLS[:1], found, "base")
    assert [(row.domain, row.auc_mean, row.auc_high) for row in rows] == [("ff/c23", 0.9, None), ("celeb", 0.5, 0.6)]
    panels = comparison_figure(rows, found, "base", 0.95).axes
    assert [axes.get_title(loc="left") for axes in panels] == ["ff/c23", "celeb"]


def test_a_failed_cell_is_a_row_with_its_reason() -> None:
    row = compare(CELLS, results(), "base")[-1]
    assert (row.cell, row.runs, row.failed, row.auc_mean) == ("broken", 0, 1, None)
    assert row.reason == "DensityError: fewer pairs than components"


def test_without_a_single_score_every_cell_has_a_row() -> None:
    failed = [RunResult("base", 0, reason="no"), RunResult("knn", 0, reason="neither")]
    rows = compare(CELLS[:2], failed, "base")
    assert [(row.cell, row.score, row.reason) for row in rows] == [("base", None, "no"), ("knn", None, "neither")]
    axes = comparison_figure(rows, failed, "base", 0.95).axes[0]
    assert "No run gave a score." in [text.get_text() for text in axes.texts]


def test_the_figure_shows_means_intervals_and_why_a_cell_failed() -> None:
    rows = compare(CELLS, results(), "base")
    axes = comparison_figure(rows, results(), "base", 0.95, "seen").axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["base", "knn", "broken"]
    assert axes.get_yticks()[0] > axes.get_yticks()[1]
    dots = {
        round(float(line.get_xdata()[0]), 6)
        for line in axes.lines
        if line.get_marker() == "o" and len(line.get_xdata())
    }
    assert dots == {round(row.auc_mean, 6) for row in rows if row.auc_mean is not None}
    assert any("failed: DensityError" in text.get_text() for text in axes.texts)
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend[:2] == ["differential", "fake_probability"]
