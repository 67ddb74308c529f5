"""Batch scoring as its users run it: thousands of videos are these few, many times."""

import csv
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from data_catalog.home import Home
from data_catalog.schemas import TableName
from difffake.detector import Detector
from tests.flows.conftest import Program
from tests.helpers.detector import face_clip, saved_detector, saved_for_this_installation, small_detector

pytestmark = [pytest.mark.xdist_group("batch"), pytest.mark.slow]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector made for the extraction of this installation."""
    return saved_for_this_installation(tmp_path_factory.mktemp("model"))


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    (folder / "sent" / "today").mkdir(parents=True)
    for number, name in enumerate(("a.mp4", "b.mp4", "sent/a.mp4", "sent/today/c.mov")):
        face_clip(folder / name, 7 * number)
    (folder / "broken.mp4").write_text("no video")
    (folder / "notes.txt").write_text("no video either")
    return folder


def batch(program: Program, home: Path, videos: Path, model: Path, *more: str) -> subprocess.CompletedProcess[str]:
    place = ("--home", str(home), "--root", str(videos), "--model", str(model), "--workers", "2")
    return program.call("score-batch", *place, *more)


def test_a_folder_is_scored_as_one_by_one_and_only_what_is_new_is_done_again(
    program: Program, tmp_path: Path, videos: Path, model: Path
) -> None:
    home = tmp_path / "home"
    run = batch(program, home, videos, model, "--out", str(tmp_path / "scores.csv"))
    assert run.returncode == 2, run.stderr
    assert "5 videos (4 scored, 1 failed)" in run.stdout
    assert "5 scored now" in run.stdout
    assert "failed suspects/videos/broken.mp4: unreadable" in run.stdout

    detector = Detector.load(model)
    rows = {row["video_key"]: row for row in csv.DictReader((tmp_path / "scores.csv").open())}
    assert list(rows)[-1] == "suspects/videos/broken.mp4"
    for key in ("videos/a.mp4", "videos/b.mp4", "videos/sent/a.mp4", "videos/sent/today/c.mov"):
        row = rows[f"suspects/{key}"]
        alone = detector.score(videos / key.removeprefix("videos/"), "cpu")
        assert float(row["score"]) == pytest.approx(alone.score, rel=1e-6)
        assert float(row["p_value"]) == alone.p_value
        assert row["label"] == "unknown"
    assert [float(row["score"]) for row in rows.values() if row["score"]] == sorted(
        (float(row["score"]) for row in rows.values() if row["score"]), reverse=True
    )

    again = batch(program, home, videos, model)
    assert "0 videos opened now" in again.stdout
    assert "0 scored now" in again.stdout
    face_clip(videos / "new.mp4", 50)
    (videos / "b.mp4").unlink()
    (videos / "broken.mp4").unlink()
    third = batch(program, home, videos, model)
    assert third.returncode == 0, third.stderr
    assert "1 videos opened now" in third.stdout
    assert "4 videos (4 scored); " in third.stdout
    assert "1 scored now" in third.stdout
    stored = Home(home).lake.read(TableName.SCORES, ["video_key", "video_sha256", "detector"]).to_pylist()
    assert len(stored) == len({tuple(row.values()) for row in stored}) == 6


def test_a_list_beside_the_videos_says_which_are_scored(
    program: Program, tmp_path: Path, videos: Path, model: Path
) -> None:
    (videos / "videos.csv").write_text("path,note\nsent/a.mp4,x\n./a.mp4,\nlost.mp4,\n")
    run = batch(program, tmp_path / "home", videos, model)
    assert run.returncode == 0, run.stderr
    assert "2 videos (2 scored)" in run.stdout
    assert "lost.mp4: videos.csv names it, and there is no such file" in run.stdout


def test_killed_it_goes_on_where_it_stopped(program: Program, tmp_path: Path, videos: Path, model: Path) -> None:
    for number in range(20):
        face_clip(videos / f"more{number}.mp4", number)
    home = tmp_path / "home"
    running = program.start("score-batch", "--home", str(home), "--root", str(videos), "--model", str(model))
    deadline = time.monotonic() + 240
    while running.poll() is None and time.monotonic() < deadline:
        if (home / "lake" / "scores" / "_delta_log").is_dir() and Home(home).lake.read(TableName.SCORES).num_rows:
            os.killpg(running.pid, signal.SIGKILL)
        time.sleep(0.1)
    running.wait(timeout=60)
    before = Home(home).lake.read(TableName.SCORES, ["video_key"]).num_rows
    assert before
    run = batch(program, home, videos, model, "--out", str(tmp_path / "scores.json"))
    assert f"{25 - before} scored now" in run.stdout
    rows = json.loads((tmp_path / "scores.json").read_text())
    assert len(rows) == len({row["video_key"] for row in rows}) == 25


def test_a_detector_of_other_face_models_is_refused_before_anything_is_scored(
    program: Program, tmp_path: Path, videos: Path
) -> None:
    stored = saved_detector(small_detector(), tmp_path)
    run = batch(program, tmp_path / "home", videos, stored)
    assert run.returncode == 1
    assert "the detector was made with test" in " ".join(run.stderr.split())
    assert "Traceback" not in run.stderr
