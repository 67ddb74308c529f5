"""Refresh as its users run it: every layout, changes, and drills with kills, a full disk and two at once."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import cv2
import fsspec
import numpy as np
import pyarrow.compute as pc
import pytest
from mlflow import MlflowClient

from data_catalog.datasets import ADAPTERS
from data_catalog.home import Home
from data_catalog.lake import Lake
from data_catalog.schemas import TableName
from difffake.video_writing import write_video
from tests.flows.conftest import SMALL_SHARDS, Program
from tests.helpers.layouts import LAYOUTS
from tests.helpers.media import aged, astronaut_rgb
from tests.helpers.prefect_api import ask_prefect
from tests.helpers.preloaded import Started
from tests.helpers.s3 import BUCKET, s3_server

pytestmark = [pytest.mark.xdist_group("refresh"), pytest.mark.slow]

# Which run wrote a row when, and of which copy of the test's folder.
PASSING = ("extracted_at", "registered_at", "scanned_at", "scan_id", "uri", "modified_ns")


def face_clip(path: Path, number: int, frames: int = 8) -> None:
    """A clip with a face, of other content for every number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    face = np.roll(astronaut_rgb()[:256, 100:356], number, axis=1)
    write_video(path, [np.roll(face, shift, axis=0) for shift in range(frames)], fps=10, crf=20)


def make_videos(root: Path) -> None:
    for number, name in enumerate(("real/ann", "real/bob", "real/cid", "fake/ann", "fake/bob", "fake/cid")):
        face_clip(root / f"{name}.mp4", number)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_videos(tmp_path / "videos")
    return tmp_path / "videos"


def source(root: Path | str, name: str = "own") -> tuple[str, ...]:
    return ("--dataset", "folder", "--root", str(root), "--name", name)


def refresh(program: Program, home: Path, *more: str, **environment: str) -> subprocess.CompletedProcess[str]:
    config = str(program.config("base"))
    return program.call("refresh", "--config", config, "--home", str(home), *more, **one_store(program) | environment)


def one_store(program: Program) -> dict[str, str]:
    """One MLflow database for all of these tests: making one takes longer than most of them."""
    return {"MLFLOW_TRACKING_URI": f"sqlite:///{program.folder}/mlflow.db"}


def rows(lake: Lake, table: TableName) -> list[dict[str, Any]]:
    kept = lake.read(table).drop_columns([name for name in PASSING if name in lake.read(table).column_names])
    return sorted(kept.to_pylist(), key=repr)


def stored(lake: Lake) -> dict[TableName, list[dict[str, Any]]]:
    return {table: rows(lake, table) for table in (TableName.VIDEOS, TableName.EXTRACTION_LOG, TableName.FACES)}


def statuses(lake: Lake) -> dict[str, str]:
    return {row["video_key"]: row["status"] for row in rows(lake, TableName.EXTRACTION_LOG)}


def test_every_layout_is_read_and_every_video_has_one_status(program: Program, tmp_path: Path) -> None:
    def write(path: Path) -> None:
        rng = np.random.default_rng(crc32(str(path.relative_to(tmp_path)).encode()))
        if path.suffix in {".jpg", ".png"}:
            cv2.imwrite(str(path), rng.integers(0, 255, (64, 64, 3)).astype(np.uint8))
        else:
            write_video(path, list(rng.integers(0, 255, (3, 48, 64, 3)).astype(np.uint8)), fps=10, crf=40)

    expected = {name: {f"{name}/{key}" for key in build(tmp_path / name, write)} for name, build in LAYOUTS.items()}
    assert set(expected) == set(ADAPTERS)
    aged(tmp_path)
    datasets = [{"name": name, "adapter": name, "root": str(tmp_path / name)} for name in expected]
    # Only what a dataset is by default: some of the trees put people into several splits, as their datasets do.
    config = str(program.config("layouts", datasets, runner={"videos_per_shard": 100}))
    run = program.call("refresh", "--config", config, "--home", str(tmp_path / "home"), **one_store(program))
    assert run.returncode == 0, run.stdout + run.stderr
    lake = Home(tmp_path / "home").lake
    videos = lake.read(TableName.VIDEOS, ["video_key", "dataset", "state"]).to_pylist()
    assert {name: {row["video_key"] for row in videos if row["dataset"] == name} for name in expected} == expected
    assert {row["state"] for row in videos} == {"present"}
    answer = lake.ask(
        "SELECT count(*), count(DISTINCT videos.video_key), count(status) FROM videos "
        "LEFT JOIN extraction_log ON extraction_log.video_sha256 = videos.sha256"
    )[1]
    assert answer == [(len(videos),) * 3]
    report = next((tmp_path / "home" / "reports" / "data").rglob("report.html")).read_text()
    assert all(name in report for name in expected)


def test_added_changed_renamed_and_removed(program: Program, folder: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert refresh(program, home, *source(folder, "changing")).returncode == 0
    lake = Home(home).lake
    faces = lake.count(TableName.FACES)
    assert faces == 6 * 8
    before = {row["video_key"]: row["sha256"] for row in rows(lake, TableName.VIDEOS)}
    version = lake.version(TableName.VIDEOS)
    log_version = lake.version(TableName.EXTRACTION_LOG)

    face_clip(folder / "real/dan.mp4", 50)
    face_clip(folder / "real/ann.mp4", 51)
    (folder / "real/bob.mp4").rename(folder / "real/robert.mp4")
    (folder / "fake/cid.mp4").unlink()
    run = refresh(program, home, *source(folder, "changing"))
    assert run.returncode == 0, run.stderr
    assert "2 videos opened now" in run.stdout
    (scan, _) = sorted(lake.read(TableName.SCANS).to_pylist(), key=lambda row: row["scanned_at"], reverse=True)
    assert {kind: scan[kind] for kind in ("present", "added", "changed", "renamed", "removed", "unchanged")} == {
        "present": 6, "added": 1, "changed": 1, "renamed": 1, "removed": 1, "unchanged": 3,
    }  # fmt: skip
    assert lake.count(TableName.FACES) == faces + 2 * 8
    after = {row["video_key"]: row for row in rows(lake, TableName.VIDEOS)}
    assert after["changing/real/robert"]["sha256"] == before["changing/real/bob"]
    assert after["changing/fake/cid"]["state"] == "removed"
    # The content that was replaced is still there, under the table's older version.
    old = lake.read(TableName.VIDEOS, ["sha256"], {"video_key": ["changing/real/ann"]}, version=version)
    assert old["sha256"].to_pylist() == [before["changing/real/ann"]] != [after["changing/real/ann"]["sha256"]]
    assert lake.read(TableName.FACES, ["face_id"], {"video_sha256": [before["changing/real/ann"]]}).num_rows == 8

    versions = {table: lake.version(table) for table in TableName}
    again = refresh(program, home, *source(folder, "changing"))
    assert "0 videos opened now" in again.stdout
    assert {table: lake.version(table) for table in TableName} == versions
    assert log_version < versions[TableName.EXTRACTION_LOG]
    client = MlflowClient(one_store(program)["MLFLOW_TRACKING_URI"])
    experiment = client.get_experiment_by_name("data")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], "tags.`difffake.datasets` = 'changing'")
    assert len(found) == 2


def test_an_unreadable_video_is_tried_again_when_asked_and_findings_are_told_on_command_line_and_server(
    program: Program, folder: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    (folder / "real/bob.mp4").write_text("not a video")
    run = refresh(program, home, *source(folder))
    assert run.returncode == 0, run.stderr
    assert last_state(program, home)["name"] == "Completed"
    lake = Home(home).lake
    assert statuses(lake)["own/real/bob"] == "unreadable"
    assert refresh(program, home, *source(folder), "--retry", "ok").returncode == 2

    shutil.copy(folder / "real/ann.mp4", folder / "fake/copy.mp4")
    run = refresh(program, home, *source(folder), "--retry", "unreadable")
    # The copy's content is known: the one that is opened is the one tried again.
    assert "1 videos opened now" in run.stdout
    assert statuses(lake)["own/real/bob"] == "unreadable"
    assert run.returncode == 1, run.stdout + run.stderr
    assert "Traceback" not in run.stderr
    state = last_state(program, home)
    assert (state["type"], state["name"]) == ("COMPLETED", "Findings")
    assert state["message"].startswith("1 findings of the checks: ")
    assert "one content is labelled real and fake" in state["message"]


def last_state(program: Program, home: Path) -> dict[str, Any]:
    body = {"flows": {"name": {"any_": ["refresh"]}}, "sort": "START_TIME_DESC"}
    runs = ask_prefect(program.environment["PREFECT_API_URL"], "flow_runs/filter", body)
    state: dict[str, Any] = next(run["state"] for run in runs if str(home) in json.dumps(run["parameters"]))
    return state


@pytest.fixture(scope="session")
def refreshed(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder after an undisturbed refresh of the folder: to be copied, not to be changed."""
    place = tmp_path_factory.mktemp("undisturbed")
    make_videos(place / "videos")
    run = refresh(program, place / "home", *source(place / "videos"))
    assert run.returncode == 0, run.stderr
    return place / "home"


@pytest.fixture(scope="session")
def undisturbed(refreshed: Path) -> dict[TableName, list[dict[str, Any]]]:
    """What it has stored; less the places of the files, which differ between tests."""
    return stored(Home(refreshed).lake)


def start(program: Program, home: Path, *more: str, **environment: str) -> Started:
    config = str(program.config("small", runner=SMALL_SHARDS))
    return program.start("refresh", "--config", config, "--home", str(home), *more, **one_store(program) | environment)


def wait_for_first_faces(process: Started, lake: Path) -> None:
    deadline = time.monotonic() + 120
    while not list((lake / "faces").glob("*.parquet")):
        assert process.poll() is None, "the refresh ended before it could be disturbed"
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("victim", ["everybody", "a worker"])
def test_after_a_kill_the_next_refresh_equals_an_undisturbed_one(
    program: Program, folder: Path, tmp_path: Path, undisturbed: dict[TableName, list[dict[str, Any]]], victim: str
) -> None:
    home = tmp_path / "killed"
    process = start(program, home, *source(folder))
    wait_for_first_faces(process, home / "lake")
    if victim == "everybody":
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    else:
        workers = subprocess.run(
            ["pgrep", "-P", str(process.pid), "-f", "spawn_main"], capture_output=True, text=True, check=False
        ).stdout.split()
        if workers:
            os.kill(int(workers[0]), signal.SIGKILL)
        _, errors = process.communicate(timeout=120)
        assert "Traceback" not in errors
        if process.returncode:
            assert "a worker process ended by force" in " ".join(errors.split())
    run = refresh(program, home, *source(folder))
    assert run.returncode == 0, run.stderr
    assert stored(Home(home).lake) == undisturbed


def test_two_refreshes_at_once_write_every_row_once(
    program: Program, folder: Path, tmp_path: Path, undisturbed: dict[TableName, list[dict[str, Any]]]
) -> None:
    # Two machines: a work folder each, one lake.
    lake = tmp_path / "shared lake"
    Lake(lake).create()
    both = [start(program, tmp_path / name, *source(folder), "--lake", str(lake)) for name in ("one", "two")]
    ended = [process.communicate(timeout=240) for process in both]
    assert [process.returncode for process in both] == [0, 0], ended
    assert stored(Lake(lake)) == undisturbed


def test_a_second_refresh_of_one_work_folder_waits(program: Program, folder: Path, tmp_path: Path) -> None:
    both = [start(program, tmp_path / "home", *source(folder)) for _ in range(2)]
    ended = [process.communicate(timeout=240) for process in both]
    assert [process.returncode for process in both] == [0, 0], ended
    opened = sorted("6 videos opened now" in output for output, _ in ended)
    assert opened == [False, True]
    assert any("waiting for process" in errors for _, errors in ended)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "small disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(place)], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_is_one_clear_message_and_harms_nothing(
    program: Program,
    folder: Path,
    tmp_path: Path,
    small_disk: Path,
    undisturbed: dict[TableName, list[dict[str, Any]]],
) -> None:
    home = tmp_path / "home"
    full = refresh(program, home, *source(folder), "--lake", str(small_disk / "lake"))
    assert full.returncode == 1, full.stdout
    assert "cannot be written" in " ".join(full.stderr.split())
    assert "No space left" in " ".join(full.stderr.split())
    assert "Traceback" not in full.stderr
    subprocess.run(["mount", "-o", "remount,size=200m", str(small_disk)], check=True)
    run = refresh(program, home, *source(folder), "--lake", str(small_disk / "lake"))
    assert run.returncode == 0, run.stderr
    assert stored(Lake(small_disk / "lake")) == undisturbed


def test_source_and_lake_in_an_object_store(
    program: Program, folder: Path, tmp_path: Path, undisturbed: dict[TableName, list[dict[str, Any]]]
) -> None:
    with s3_server() as environment:
        filesystem = fsspec.filesystem("s3", skip_instance_cache=True)
        for path in folder.rglob("*.mp4"):
            filesystem.put(str(path), f"s3://{BUCKET}/videos/{path.relative_to(folder)}")
        home = tmp_path / "home"
        place = f"s3://{BUCKET}/lake"
        run = refresh(program, home, *source(f"s3://{BUCKET}/videos"), "--lake", place, **environment)
        assert run.returncode == 0, run.stdout + run.stderr
        assert "nanobind" not in run.stderr
        lake = Lake(place)
        assert rows(lake, TableName.FACES) == undisturbed[TableName.FACES]
        assert pc.all(pc.starts_with(lake.read(TableName.VIDEOS)["uri"], f"s3://{BUCKET}/videos/")).as_py()
        again = refresh(program, home, *source(f"s3://{BUCKET}/videos"), "--lake", place, **environment)
        assert "0 videos opened now" in again.stdout
        written = (
            run.stdout
            + run.stderr
            + "".join(
                path.read_text(errors="replace")
                for path in home.rglob("*")
                if path.suffix in {".log", ".html", ".json"}
            )
        )
        assert environment["AWS_SECRET_ACCESS_KEY"] not in written


def test_a_video_replaced_while_it_waits_is_left_for_the_next_refresh(
    program: Program, folder: Path, tmp_path: Path, undisturbed: dict[TableName, list[dict[str, Any]]]
) -> None:
    home = tmp_path / "home"
    config = program.config("slow", runner={"videos_per_shard": 1})
    process = program.start(
        "refresh", "--config", str(config), "--home", str(home), *source(folder), **one_store(program)
    )
    lake = Home(home).lake
    deadline = time.monotonic() + 120
    while not (lake.has(TableName.VIDEOS) and (videos := rows(lake, TableName.VIDEOS))):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    # All files are scanned by now; one is replaced before, or while, its turn comes.
    contents = {row["name"]: row["sha256"] for row in videos}
    last = max(contents, key=lambda name: contents[name])
    replaced = next(row for row in videos if row["sha256"] == contents[last])
    victim = folder / f"{replaced['video_key'].removeprefix('own/')}.mp4"
    whole = victim.read_bytes()
    face_clip(victim, 99)
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 1, output + errors
    assert "a present video has no outcome" in errors
    victim.write_bytes(whole)
    run = refresh(program, home, *source(folder))
    assert run.returncode == 0, run.stderr
    assert stored(lake) == undisturbed


def test_ctrl_c_ends_everything_with_one_line(program: Program, folder: Path, tmp_path: Path) -> None:
    process = start(program, tmp_path / "home", *source(folder))
    wait_for_first_faces(process, tmp_path / "home" / "lake")
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "interrupted" in errors
    assert "Traceback" not in errors


def test_upkeep_merges_files_and_keeps_the_rows(
    program: Program, refreshed: Path, undisturbed: dict[TableName, list[dict[str, Any]]], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    shutil.copytree(refreshed, home)
    lake = Home(home).lake
    assert len(list((home / "lake" / "faces").glob("*.parquet"))) > 1
    run = program.call("maintain", "--home", str(home), "--retention-hours", "0")
    assert run.returncode == 0, run.stderr
    assert stored(lake) == undisturbed
    assert len(list((home / "lake" / "faces").glob("*.parquet"))) == 1
    shown = program.call("catalog", "--home", str(home))
    assert "faces" in shown.stdout
    asked = program.call("sql", "SELECT count(*) AS n FROM faces", "--home", str(home), "--format", "csv")
    assert asked.stdout.split() == ["n", "48"]
    refused = program.call("sql", "DROP VIEW faces", "--home", str(home))
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr


def test_people_on_both_sides_are_refused_by_a_run_and_reported_by_a_refresh(
    program: Program, folder: Path, tmp_path: Path
) -> None:
    (folder / "metadata.csv").write_text(
        "path,label,identity,split,method\nreal/ann.mp4,real,ann,train,\nreal/bob.mp4,real,ann,test,\n"
    )
    roles = {"train": ["train"], "density": ["train"], "validation": ["val"], "calibration": ["val"], "test": ["test"]}
    dataset = {"name": "own", "adapter": "folder", "root": str(folder), "roles": roles}
    config = program.config("crossing", [dataset])
    run = program.call("run", "--config", str(config), "--home", str(tmp_path / "home"), **one_store(program))
    assert run.returncode == 1
    assert "person own:ann" in run.stderr
    assert "own/real/ann" in run.stderr
    refreshed = program.call("refresh", "--config", str(config), "--home", str(tmp_path / "home"), **one_store(program))
    assert refreshed.returncode == 1
    assert "person own:ann" in refreshed.stderr
    assert Home(tmp_path / "home").lake.count(TableName.EXTRACTION_LOG) == 6
