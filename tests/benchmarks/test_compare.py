"""Comparing measurements, and how growth is judged."""

import json
import math
from dataclasses import asdict
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

from benchmarks import compare
from benchmarks.growth import exponent
from benchmarks.measure import Figure


def written(path: Path, commit: str, *figures: Figure) -> Path:
    content = {"commit": commit, "machine": "one", "figures": [{"benchmark": "b"} | asdict(one) for one in figures]}
    path.write_text(json.dumps(content))
    return path


def compared(tmp_path: Path, before: list[Figure], after: list[Figure]) -> tuple[int, str, str]:
    app = Typer()
    app.command()(compare.main)
    page = tmp_path / "page.md"
    files = written(tmp_path / "a.json", "aaa", *before), written(tmp_path / "b.json", "bbb", *after)
    done = CliRunner().invoke(app, [*map(str, files), "--markdown", str(page)], env={"COLUMNS": "200"})
    return done.exit_code, done.output, page.read_text()


def test_a_bar_that_was_met_and_is_missed_fails_and_is_named(tmp_path: Path) -> None:
    fast, slow = Figure("step", 1.0, "x", bar=1.05), Figure("step", 1.2, "x", bar=1.05)
    code, told, page = compared(tmp_path, [fast], [slow])
    assert code == 1
    assert "missed now: step" in told
    assert "| b | step | 1 x | 1.2 x | +20.0% | ≤ 1.05 | no |" in page
    assert compared(tmp_path, [slow], [fast])[0] == 0
    # Missed before and after is no loss; nor is what was not measured before.
    assert compared(tmp_path, [slow], [slow])[0] == 0
    assert compared(tmp_path, [], [slow])[0] == 0


def test_figures_only_one_measurement_has_are_shown(tmp_path: Path) -> None:
    old, new = Figure("old", 2.0, "s"), Figure("new", 400.0, "a CPU s", bar=300, better="higher")
    code, _, page = compared(tmp_path, [old], [new])
    assert code == 0
    assert "| b | new | – | 400 a CPU s |  | ≥ 300 | yes |" in page
    assert "| b | old | 2 s | – |  |  |  |" in page


def test_two_figures_of_one_name_are_refused(tmp_path: Path) -> None:
    twice = written(tmp_path / "twice.json", "aaa", Figure("step", 1.0, "x"), Figure("step", 2.0, "x"))
    with pytest.raises(ValueError, match=r"two figures of one name: \('b', 'step', 'x'\)"):
        compare.read(twice)


def test_a_bar_is_met_on_its_better_side_and_at_itself() -> None:
    assert Figure("informs", 3.0, "s").is_met is None
    assert [Figure("lower", value, "s", bar=2.0).is_met for value in (1.0, 2.0, 3.0)] == [True, True, False]
    assert [Figure("higher", value, "s", 2.0, "higher").is_met for value in (1.0, 2.0, 3.0)] == [False, True, True]


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_the_exponent_is_that_of_the_last_step(power: float) -> None:
    curve = [(1000, 7.0), (10_000, 10_000**power), (100_000, 100_000**power)]
    assert exponent(curve) == pytest.approx(power)
    assert exponent(list(reversed(curve))) == pytest.approx(power)


def test_n_log_n_is_within_the_bar_of_growth_and_a_square_is_not() -> None:
    from benchmarks.growth import _MOST

    assert exponent([(n, n * math.log(n)) for n in (10_000, 100_000)]) < _MOST < 2
