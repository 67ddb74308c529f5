"""The diagnostics' figure: what stands in it, and reasons where something cannot."""

from difffake.differential.diagnostics import Grid, GridCell
from difffake.differential.drift import DriftRow
from difffake.evaluation.diagnostics_figure import diagnostics_figure


def texts(figure: object) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(match=lambda artist: hasattr(artist, "get_text")))  # type: ignore[attr-defined]


def row(dataset: str, role: str) -> DriftRow:
    return DriftRow(dataset, role, 3, 2, 30, 1.0, 0.5, (0.0, 0.5, 1.0, 1.5, 2.0), -1.25, 0.1, 0.4)


def test_every_fitted_cell_is_a_point_and_every_group_a_row() -> None:
    cells = [
        GridCell(shape, count, "fitted", held_out=float(count), held_out_by_fold=(0.5, count), bic=90.0)
        for shape in ("full", "diag") for count in (1, 2)
    ]  # fmt: skip
    grid = Grid((*cells, GridCell("tied", 1, "left_out", "too few")), vectors=30, dimensions=4, folds=3)
    figure = diagnostics_figure(
        grid, [1.0, 2.0, 2.5], [0.2, 0.8], [row("a$b", "density"), row("c", "test")], ("density",), 1.5
    )
    held_out, criterion, convergence, weights, drift = figure.axes

    assert [container.get_label() for container in held_out.containers] == ["full", "diag"]
    assert held_out.containers[0].lines[0].get_ydata().tolist() == [1.0, 2.0]
    assert criterion.containers[0].lines[0].get_ydata().tolist() == [3.0, 3.0]
    assert convergence.lines[0].get_ydata().tolist() == [1.0, 2.0, 2.5]
    assert [bar.get_height() for bar in weights.patches] == [0.8, 0.2]
    assert [label.get_text() for label in drift.get_yticklabels()] == ["a$b · density", "c · test"]
    assert "shift −1.25 sd, KS 0.40, 30 vectors of 3 videos, 2 people" in texts(figure)
    assert "configured\ndensity" in texts(figure)


def test_what_is_missing_is_said() -> None:
    figure = diagnostics_figure(Grid((), 9, "all 9 vectors show one person"), [], [], [], ())

    assert texts(figure).count("all 9 vectors show one person") == 2
    assert "fitted in one step" in texts(figure)
    assert "no mixture" in texts(figure)
    assert "no real video" in texts(figure)
