"""The detection benchmark's own parts: what may be changed, where rows go, who teaches and who is judged."""

from pathlib import Path

import numpy as np
import pytest
import typer

from benchmarks.detection import _check_table, _parsed, _parsed_seeds
from benchmarks.detection_data import _PHOTO_SHARES, _VIDEO_SHARES, _split, lay_out
from benchmarks.detection_results import Value, _auc
from difffake.errors import DataError, DiffFakeError


def test_changes_are_laid_into_sections() -> None:
    parsed = _parsed(["backbone.augmentation=robust", "backbone.sam_rho=0.05", "fusion.drifts=[jitter, redrawn]"])
    assert parsed == {
        "backbone": {"augmentation": "robust", "sam_rho": 0.05},
        "fusion": {"drifts": ["jitter", "redrawn"]},
    }
    with pytest.raises(typer.BadParameter, match="is not KEY=VALUE"):
        _parsed(["backbone.augmentation"])


def test_seeds_are_whole_numbers_each_once() -> None:
    assert _parsed_seeds("1,0,1") == [1, 0]
    with pytest.raises(typer.BadParameter, match="no list of whole numbers"):
        _parsed_seeds("1,x")


def test_a_table_of_other_columns_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    table = tmp_path / "tries.csv"
    _check_table(table, ["a", "b"])
    table.write_text("a,b\n1,2\n")
    _check_table(table, ["a", "b"])
    with pytest.raises(DiffFakeError, match="has other columns"):
        _check_table(table, ["a", "c"])
    table.write_text("")
    with pytest.raises(DiffFakeError, match="has other columns"):
        _check_table(table, ["a"])


def test_a_person_is_on_one_side_and_the_shares_are_kept() -> None:
    sides = [_split(f"person {number}", _VIDEO_SHARES) for number in range(2000)]
    assert sides == [_split(f"person {number}", _VIDEO_SHARES) for number in range(2000)]
    shares = [sides.count(side) / 2000 for side in ("train", "val", "test")]
    np.testing.assert_allclose(shares, [0.6, 0.2, 0.2], atol=0.04)
    assert {_split(f"person {number}", _PHOTO_SHARES) for number in range(500)} == {"train", "val"}


def test_a_folder_without_the_sample_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"videos\.csv is missing"):
        lay_out(tmp_path, tmp_path / "place")


def test_a_figure_needs_both_classes_and_counts_ties_half() -> None:
    reals = [{"identity": f"r{number}", "video_key": ""} for number in range(2)]
    fakes = [{"identity": f"f{number}", "video_key": ""} for number in range(2)]
    assert _auc(reals, [], [0.1, 0.2], 0) == Value(None, note="2 real, 0 fake")
    assert _auc(reals, fakes, [0.1, 0.5, 0.5, 0.9], 0).value == pytest.approx(3.5 / 4)
