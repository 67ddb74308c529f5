"""What the figures of the data report draw: every dataset and group, its numbers, and nothing that fails on none."""

import io
import warnings

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from difffake.evaluation.data_figures import (
    DATASET_COLOURS,
    MEASURES,
    Distribution,
    FaceGroup,
    distributions_figure,
    face_sheet,
    percent,
    status_figure,
)
from tests.helpers.landmarks import canonical_landmarks, textured_face

SIZE_PX = 32


def _texts(figure: Figure) -> str:
    """Everything written in a figure that can be drawn without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(io.BytesIO(), format="png")
    shown = []
    for axes in figure.axes:
        shown += [*axes.texts, axes._left_title, axes.xaxis.label, axes.yaxis.label]
        shown += [*axes.get_xticklabels(), *axes.get_yticklabels()]
    return "\n".join(text.get_text() for text in shown)


def _distribution(dataset: str, measure: str, *filled: int) -> Distribution:
    counts = np.zeros(len(MEASURES[measure].edges) - 1)
    for place in filled:
        counts[place] += 1
    return Distribution(dataset, measure, counts, None if measure == "tracks_per_video" else (0.25, 0.5, 0.75))


def test_a_share_is_all_or_nothing_only_when_it_is() -> None:
    assert [percent(*pair) for pair in ((0, 9), (9, 9), (1, 8), (1, 10**6), (10**6 - 1, 10**6), (0, 0))] == [
        "0 %", "100 %", "12.5 %", "<0.1 %", "99.9 %", "0 %",
    ]  # fmt: skip


def test_statuses_are_columns_with_their_sums_and_datasets_rows_with_their_shares() -> None:
    counts = {
        "ok": {"ff": 999_000, "dfdc": 10},
        "unreadable": {"ff": 1000, "dfdc": 30},
        "removed": {"dfdc": 0, "ff": 7},
    }
    figure = status_figure(counts)
    shown = _texts(figure).split("\n")
    assert {"ok", "unreadable", "removed", "999,010", "1,030", "ff", "dfdc"} <= set(shown)
    assert {"999,000  99.9 %", "1,000  0.1 %", "10  25.0 %", "30  75.0 %", "7", "–"} <= set(shown)

    bars = [[bar.get_width() for bar in axes.patches] for axes in figure.axes]
    assert [widths[2:] for widths in bars] == [[999_000, 10], [1000, 30], [7, 0]]
    # The grey track behind is as long as the longest bar of its own status.
    assert [widths[:2] for widths in bars] == [[999_000] * 2, [1000] * 2, [7, 7]]


def test_bars_of_a_single_dataset_are_its_shares() -> None:
    ok, failed, removed = status_figure({"ok": {"ff": 9}, "no_face": {"ff": 1}, "removed": {"ff": 12}}).axes
    assert [bar.get_width() for bar in ok.patches] == [10, 9]
    assert [bar.get_width() for bar in failed.patches] == [10, 1]
    assert [bar.get_width() for bar in removed.patches] == [12, 12]


@pytest.mark.parametrize("datasets", [1, 4, 12, 14])
def test_distributions_are_a_row_a_dataset_and_a_column_a_measure(datasets: int) -> None:
    names = [f"set_{number}" for number in range(datasets)]
    figure = distributions_figure([_distribution(name, measure, 1, 2, 2) for name in names for measure in MEASURES])
    shown = _texts(figure)
    assert len(figure.axes) == datasets * len(MEASURES)
    assert all(name in shown for name in names)
    assert all(measure.title in shown and measure.unit in shown for measure in MEASURES.values())
    assert shown.count("median 0.5") == 4 * datasets
    # One track in one of three videos.
    assert shown.count("just one: 33.3 %") == datasets
    first_column = [axes.patches[0].get_facecolor() for axes in figure.axes[:: len(MEASURES)]]
    assert len({to_hex(colour) for colour in first_column}) == min(datasets, len(DATASET_COLOURS))


def test_axes_run_where_anything_lies_and_shares_over_their_whole_range() -> None:
    filled = {"size_px": 8, "detector_score": 45, "track_share": 19, "tracks_per_video": 8}
    figure = distributions_figure([_distribution("ff", measure, place) for measure, place in filled.items()])
    size, score, share, tracks = figure.axes
    # Bin 8 of the sizes runs from 2^6 px to 2^6.25 px; a bin more is shown at either end.
    assert size.get_xlim() == pytest.approx((2**5.5, 2**6.5))
    assert score.get_xlim() == pytest.approx((0.86, 0.94))
    assert share.get_xlim() == pytest.approx((0, 1))
    assert tracks.get_xlim() == pytest.approx((-0.5, 8.5))
    assert "8+" in _texts(figure)


def test_what_a_dataset_lacks_is_said() -> None:
    items = [
        _distribution("full", "sharpness", 3),
        _distribution("bare", "sharpness"),
        _distribution("full", "size_px"),
    ]
    shown = _texts(distributions_figure(items))
    # The empty histogram, and the measures one of the two has no histogram of.
    assert shown.count("none") == 3
    assert "No face is stored." in _texts(distributions_figure([]))
    assert "No video is registered." in _texts(status_figure({}))
    assert "No face is stored." in _texts(face_sheet([]))


def test_the_sheet_shows_every_face_under_its_names_and_its_points_where_they_belong() -> None:
    faces = [textured_face(SIZE_PX, seed) for seed in range(5)]
    points = [canonical_landmarks(SIZE_PX)] * 2
    groups = [
        FaceGroup("ff", "real", None, faces[:2], points),
        FaceGroup("ff", "fake", "Deepfakes", faces[2:]),
        FaceGroup("pay $5 or $6", "fake", "a name that is far too long to stand beside the faces", faces[:1]),
    ]
    figure = face_sheet(groups)
    shown = _texts(figure)
    (axes,) = figure.axes
    assert len(axes.images) == 6
    for image, face in zip(axes.images, [*faces, faces[0]], strict=True):
        np.testing.assert_array_equal(np.asarray(image.get_array()), face)
    assert shown.count("ff") == 1
    assert "Deepfakes" in shown
    assert "pay $5 or $6" in shown
    assert "a name that is far to…" in shown

    drawn = [line for line in axes.lines if len(line.get_xdata()) == 68]
    assert len(drawn) == 2
    for line, image in zip(drawn, axes.images, strict=False):
        left, right, bottom, top = image.get_extent()
        xy = np.asarray(line.get_data()).T
        expected = (canonical_landmarks(SIZE_PX) + 0.5) / SIZE_PX
        np.testing.assert_allclose((xy - (left, top)) / (right - left, bottom - top), expected, atol=1e-6)


def test_points_for_some_faces_only_are_refused() -> None:
    faces = [textured_face(SIZE_PX)] * 2
    with pytest.raises(ValueError, match="1 sets of points for 2 faces"):
        face_sheet([FaceGroup("ff", "real", None, faces, [canonical_landmarks(SIZE_PX)])])
