"""Windows of training pictures: where they lie, that both of a pair get one, and that whole pictures come last."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from difffake.backbone.data import TrainingBatches
from difffake.backbone.windows import draw_window
from difffake.config import BackboneConfig, parse_config
from difffake.errors import ConfigError
from tests.helpers.synthetic_faces import synthetic_faces
from tests.helpers.tiny_training import FAKES, assert_same_outcome, run, stop_after, tiny_config

WINDOWS = {"input_size_px": 64, "window_px": 32, "window_share": 0.5}


@given(seed=st.integers(0, 2**32), row=st.integers(0, 39), column=st.integers(0, 39), side_px=st.integers(1, 40))
def test_a_window_lies_within_the_picture_and_holds_what_the_mask_weighs(
    seed: int, row: int, column: int, side_px: int
) -> None:
    mask = np.zeros((40, 40), np.float32)
    mask[row, column] = 0.25
    rows, columns = draw_window(mask, side_px, np.random.default_rng(seed))
    assert rows.stop - rows.start == columns.stop - columns.start == side_px
    assert 0 <= rows.start <= row < rows.stop <= 40
    assert 0 <= columns.start <= column < columns.stop <= 40


def test_pixels_are_drawn_with_their_weight_and_every_place_is_as_likely() -> None:
    mask = np.zeros((41, 41), np.float32)
    mask[10, 20], mask[30, 20] = 0.75, 0.25
    rng = np.random.default_rng(0)
    tops = np.array([draw_window(mask, 5, rng)[0].start for _ in range(4000)])
    assert set(tops) == {6, 7, 8, 9, 10, 26, 27, 28, 29, 30}
    assert np.mean(tops <= 10) == pytest.approx(0.75, abs=0.03)
    assert np.bincount(tops)[6:11] / np.sum(tops <= 10) == pytest.approx([0.2] * 5, abs=0.03)


def test_without_a_mask_any_window_will_do() -> None:
    rng = np.random.default_rng(0)
    tops = {draw_window(np.zeros((8, 8), np.float32), 4, rng)[0].start for _ in range(200)}
    assert tops == {0, 1, 2, 3, 4}


def test_the_first_epochs_see_windows_and_the_last_ones_whole_pictures() -> None:
    config = tiny_config(epochs=4, **WINDOWS)
    assert [config.side_in_epoch(epoch) for epoch in (1, 2, 3, 4)] == [32, 32, 64, 64]
    batches = TrainingBatches(synthetic_faces(2, 3), config, FAKES, seed=1)
    for epoch in (1, 2, 3):
        (batch, *_) = batches.epoch(epoch)
        side_px = config.side_in_epoch(epoch)
        assert batch.images.shape[1:] == (side_px, side_px, 3)


@pytest.mark.parametrize("loader_workers", [0, 1])
def test_a_pair_is_cut_at_one_place_of_its_whole_pictures(loader_workers: int) -> None:
    faces = synthetic_faces(2, 3)
    whole = TrainingBatches(faces, tiny_config(input_size_px=64, augmentation="robust"), FAKES, seed=1).epoch(1)
    config = tiny_config(augmentation="robust", **WINDOWS)
    cut = TrainingBatches(faces, config, FAKES, seed=1, loader_workers=loader_workers).epoch(1)
    for large, small in zip(whole, cut, strict=True):
        count = len(large.labels) // 2
        for row in range(count):
            real, fake = large.images[row], large.images[row + count]
            places = [
                (top, left)
                for top in range(33)
                for left in range(33)
                if np.array_equal(real[top : top + 32, left : left + 32], small.images[row])
                and np.array_equal(fake[top : top + 32, left : left + 32], small.images[row + count])
            ]
            assert len(places) == 1
            assert not np.array_equal(small.images[row], small.images[row + count])


def test_boundaries_are_those_of_the_window() -> None:
    config = tiny_config(boundary_weight=1.0, **WINDOWS)
    (batch, *_) = TrainingBatches(synthetic_faces(2, 3), config, FAKES, seed=1).epoch(1)
    (whole, *_) = TrainingBatches(synthetic_faces(2, 3), config, FAKES, seed=1).epoch(3)
    assert batch.boundaries is not None
    assert whole.boundaries is not None
    assert batch.boundaries.shape == whole.boundaries.shape
    # A fine line of the whole is a broad one of its window.
    assert batch.boundaries.sum() > 1.2 * whole.boundaries.sum()


def test_a_killed_training_goes_on_with_its_windows(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", **WINDOWS)
    stop_after(2, tmp_path / "killed", **WINDOWS)
    assert_same_outcome(run(tmp_path / "killed", **WINDOWS), whole)


def test_windows_larger_than_pictures_are_refused() -> None:
    with pytest.raises(ConfigError, match="window_px is 256, more than input_size_px"):
        parse_config({"backbone": {"window_px": 256}}, "")
    with pytest.raises(ConfigError, match="before it has seen a whole picture"):
        parse_config({"backbone": {"window_px": 64, "early_stop_epochs": 2}}, "")


def test_trainings_without_windows_keep_their_names() -> None:
    assert "window_px" not in BackboneConfig().effective()
    assert {"window_px", "window_share"} <= BackboneConfig(window_px=96).effective().keys()
