"""The product as its users run it: the command line, real video, real servers, real kills."""

import base64
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient

from data_catalog.home import Home
from data_catalog.schemas import TableName
from data_catalog.storage import local_path
from difffake.config import load_config
from difffake.detector import Detector
from difffake.judgement import COLUMNS
from tests.flows.conftest import BAD_VIDEOS, SMALL_SHARDS, Bench

pytestmark = [pytest.mark.xdist_group("flows"), pytest.mark.slow]

STAGES = ("ingest", "faces", "pseudo_fakes", "backbone", "embeddings", "pairs", "density", "fusion",
          "calibration", "diagnostics", "evaluation", "registry")  # fmt: skip


def outcomes(stdout: str) -> dict[str, str]:
    rows = re.findall(r"^│ (\w+)\s+│ (done|reused)\s+│", stdout, re.MULTILINE)
    return dict(rows)


def table_rows(home: Path, table: TableName, *leave_out: str) -> list[dict[str, Any]]:
    rows = Home(home).lake.read(table).to_pylist()
    kept = [{key: value for key, value in row.items() if key not in leave_out} for row in rows]
    return sorted(kept, key=repr)


def stored(home: Path) -> dict[TableName, list[dict[str, Any]]]:
    """Every row of every table, less the times at which they were written."""
    times = ("extracted_at", "registered_at", "scanned_at", "scan_id")
    return {table: table_rows(home, table, *times) for table in TableName}


def test_one_command_makes_a_registered_detector_from_video(
    bench: Bench, finished: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    home, run = finished
    assert run.returncode == 0, run.stderr
    assert outcomes(run.stdout) == dict.fromkeys(STAGES, "done")
    assert "nanobind" not in run.stderr

    log = table_rows(home, TableName.EXTRACTION_LOG)
    # Fakes of the training and validation splits teach nothing and are not opened: the test pair's two are.
    assert len(log) == bench.footage.real_videos + bench.footage.faceless_videos + 2 + len(BAD_VIDEOS)
    faceless = [row for row in log if row["status"] == "no_face"]
    assert len(faceless) == bench.footage.faceless_videos
    assert all(row["reason"] for row in faceless)
    faces = Home(home).lake.read(TableName.FACES, ["face_id"]).num_rows
    assert faces == sum(row["faces_found"] for row in log)

    embeddings = Home(home).lake.read(TableName.EMBEDDINGS, ["face_id"])["face_id"].to_pylist()
    assert len(embeddings) == len(set(embeddings))

    client = MlflowClient(Home(home).mlflow_uri)
    version = client.get_model_version_by_alias("difffake", "champion")
    assert version.version == client.get_model_version_by_alias("difffake", "challenger").version
    assert "### Results" in version.description
    assert f"commit `{version.tags['difffake.commit']}`" in version.description
    mlflow_run = client.get_run(version.run_id)
    assert mlflow_run.info.status == "FINISHED"
    assert mlflow_run.data.params["backbone.epochs"] == "3"
    repeated = load_config(
        Path(
            mlflow.artifacts.download_artifacts(
                run_id=version.run_id, artifact_path="config.yaml", tracking_uri=Home(home).mlflow_uri
            )
        )
    )
    assert repeated.backbone.epochs == 3
    assert [dataset.root for dataset in repeated.datasets] == [str(bench.footage.root)]
    assert [metric.step for metric in client.get_metric_history(version.run_id, "validation_auc")] == [1, 2, 3]
    assert "overall.auc" in mlflow_run.data.metrics
    assert {item.dataset.name for item in mlflow_run.inputs.dataset_inputs} == {
        f"faceforensics/{table}" for table in ("videos", "faces", "pairs")
    }
    figures = {item.path for item in client.list_artifacts(version.run_id, "figures")}
    assert figures >= {"figures/roc.png", "figures/scores.png", "figures/pseudo_fakes.png"}
    assert not list(Home(home).mlflow.rglob("*.pkl"))
    page = home / "reports" / "tiny" / "report.html"
    assert str(page) in run.stdout
    logged = Path(client.download_artifacts(version.run_id, "report.html", str(home / "work")))
    assert logged.read_bytes() == page.read_bytes()
    assert "Where it is most wrong" in page.read_text(encoding="utf-8")


def test_processes_that_extract_load_neither_torch_nor_mlflow(
    finished: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    loaded = set(re.findall(r"^import time:.*\| +(\S+)$", finished[1].stderr, re.MULTILINE))
    assert "tasks.faces" in loaded
    assert not loaded & {"torch", "timm", "mlflow", "sklearn", "matplotlib"}


def test_prefect_knows_every_task_and_both_sides_are_linked(
    bench: Bench, finished: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    home, _ = finished
    client = MlflowClient(Home(home).mlflow_uri)
    version = client.get_model_version_by_alias("difffake", "champion")
    flow_run_id = client.get_run(version.run_id).data.tags["prefect.flow_run_id"]

    def ask(path: str, body: dict[str, Any]) -> Any:
        request = Request(  # noqa: S310 - loopback
            f"{bench.environment['PREFECT_API_URL']}/{path}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urlopen(request) as response:  # noqa: S310
            return json.load(response)

    flow_runs, generation = [flow_run_id], [flow_run_id]
    while generation:
        children = ask("flow_runs/filter", {"flow_runs": {"parent_flow_run_id": {"any_": generation}}})
        generation = [child["id"] for child in children]
        flow_runs += generation
    tasks = ask("task_runs/filter", {"flow_runs": {"id": {"any_": flow_runs}}, "limit": 200})
    assert {task["state_type"] for task in tasks} == {"COMPLETED"}
    names = [task["name"] for task in tasks]
    assert set(STAGES) <= set(names)
    shards = sum(name.startswith("extract-faceforensics/") for name in names)
    videos = Home(home).lake.count(TableName.EXTRACTION_LOG)
    assert videos / 6 <= shards < videos
    artifacts = ask("artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [flow_run_id]}}})
    link = next(item["data"] for item in artifacts if item["key"] == "mlflow-run")
    assert version.run_id in link


def test_the_same_command_again_reuses_everything(
    bench: Bench, finished: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    home, first = bench.folder / "again", finished[1]
    shutil.copytree(finished[0], home)
    lake = Home(home).lake
    before = {table: lake.version(table) for table in TableName}
    page = (home / "reports" / "tiny" / "report.html").read_bytes()
    again = bench.run(home, bench.config("base"))
    assert again.returncode == 0, again.stderr
    assert (home / "reports" / "tiny" / "report.html").read_bytes() == page
    assert outcomes(again.stdout) == dict.fromkeys(STAGES, "reused")
    assert {table: lake.version(table) for table in TableName} == before
    assert re.findall(r"AUC overall.*", again.stdout) == re.findall(r"AUC overall.*", first.stdout)
    assert len(MlflowClient(Home(home).mlflow_uri).search_model_versions("name = 'difffake'")) == 1


def test_a_changed_training_keeps_the_faces_and_a_forced_or_deleted_result_is_made_again(
    bench: Bench, finished: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    home = bench.folder / "changed"
    shutil.copytree(finished[0], home)
    changed = bench.config("changed", backbone={"learning_rate": 0.05})
    run = bench.run(home, changed)
    assert run.returncode == 0, run.stderr
    assert outcomes(run.stdout) == dict.fromkeys(STAGES, "done") | dict.fromkeys(
        ("ingest", "faces", "pseudo_fakes", "pairs"), "reused"
    )
    for density in (home / "artefacts" / "density").iterdir():
        next(density.glob("*.skops")).unlink()
    forced = bench.run(home, changed, "--force", "pairs")
    # The same pairs and the same density come out, so nothing after them has anything new to do.
    assert outcomes(forced.stdout) == dict.fromkeys(STAGES, "reused") | {"density": "done", "pairs": "done"}


def test_another_anomaly_model_redoes_what_follows(
    bench: Bench, finished: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    home = bench.folder / "another_model"
    shutil.copytree(finished[0], home)
    run = bench.run(home, bench.config("neighbours", density={"model": "knn", "neighbours": 3}))
    assert run.returncode == 0, run.stderr
    assert outcomes(run.stdout) == dict.fromkeys(STAGES, "reused") | dict.fromkeys(
        ("density", "fusion", "calibration", "diagnostics", "evaluation", "registry"), "done"
    )


def test_a_second_dataset_is_a_domain_of_its_own_and_scores_are_what_their_pairs_and_frames_say(
    bench: Bench, finished: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    home, elsewhere = bench.folder / "two_domains", bench.folder / "elsewhere"
    shutil.copytree(finished[0], home)
    videos = {row["video_key"]: row for row in table_rows(home, TableName.VIDEOS)}
    judged = [videos[row["video_key"]] for row in table_rows(home, TableName.SCORES)]
    for row in judged:
        place = elsewhere / row["label"] / f"{row['name']}.mp4"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(local_path(row["uri"]), place)
    datasets = [
        {"name": "elsewhere", "adapter": "folder", "root": str(elsewhere)},
        {
            "name": "faceforensics",
            "adapter": "faceforensics",
            "root": str(bench.footage.root),
            "identities": str(bench.footage.identities),
        },
    ]
    config = bench.config("two_domains", datasets, density={"components": 1})
    run = bench.call("run", "--config", str(config), "--home", str(home))
    assert run.returncode == 0, run.stderr
    # The champion scored the videos of the second dataset, which it had not seen: both are compared on all of them.
    assert "than champion version 1: AUC" in " ".join(run.stdout.split())
    (champion,) = {row["detector"] for row in table_rows(finished[0], TableName.SCORES)}
    judgements = table_rows(home, TableName.SCORES)
    of_champion = {row["video_key"] for row in judgements if row["detector"] == champion}
    of_challenger = {row["video_key"]: row for row in judgements if row["detector"] != champion}
    assert of_champion == of_challenger.keys()
    assert len(judgements) == 2 * len(of_champion)

    newest = max((home / "artefacts" / "evaluation").iterdir(), key=lambda folder: folder.stat().st_mtime)
    rows = json.loads((newest / "record.json").read_text())["facts"]["groups"]
    assert rows[0]["domain"] == "faceforensics/c23"
    assert rows[0]["in_domain"]
    domains = {(row["domain"], row["in_domain"]) for row in rows}
    assert domains == {("faceforensics/c23", True), ("elsewhere", False)}
    # The same files: each domain by itself says the same.
    by_domain = [[row for row in rows if row["domain"] == name and row["group"] == "overall"] for name, _ in domains]
    for one, other in zip(*by_domain, strict=True):
        for figure in ("auc", "n_real", "n_fake", "level", "score", "auc_all_videos"):
            assert one[figure] == other[figure]
    assert "elsewhere (out-of-domain)" in run.stdout
    assert (newest / "scores_elsewhere.png").is_file()

    scores = of_challenger
    pairs = pd.read_parquet(newest / "pairs.parquet").groupby("video_key")["log_likelihood"]
    frames = pd.read_parquet(newest / "frames.parquet").groupby("video_key")["fake_probability"]
    assert set(pairs.groups) == {key for key in scores if scores[key]["status"] == "scored"}
    for key, values in pairs:
        assert scores[key]["score"] == pytest.approx(-values.mean())
        assert scores[key]["pairs_used"] == len(values)
        assert scores[key]["fake_probability"] == pytest.approx(frames.get_group(key).mean(), rel=1e-6)


def test_another_false_positive_rate_reaches_verdicts_and_registered_model(
    bench: Bench, finished: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    home = bench.folder / "rate"
    shutil.copytree(finished[0], home)
    before = {row["video_key"]: row["detector"] for row in table_rows(home, TableName.SCORES)}
    run = bench.run(home, bench.config("rate", calibration={"false_positive_rate": 0.5}))
    assert run.returncode == 0, run.stderr
    assert outcomes(run.stdout) == dict.fromkeys(STAGES, "reused") | dict.fromkeys(
        ("calibration", "evaluation", "registry"), "done"
    )
    scores = table_rows(home, TableName.SCORES)
    assert len(scores) == 2 * len(before)
    client = MlflowClient(Home(home).mlflow_uri)
    version = client.get_model_version_by_alias("difffake", "challenger")
    assert str(version.version) == "2"
    mlflow.set_tracking_uri(Home(home).mlflow_uri)
    files = Path(mlflow.artifacts.download_artifacts("models:/difffake@challenger"))
    served = json.loads(next(files.rglob("calibration.json")).read_text())
    assert served["differential"]["requested_false_positive_rate"] == 0.5
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    assert {found.info.status for found in client.search_runs([experiment.experiment_id])} == {"FINISHED"}


def test_killed_while_extracting_and_while_training_then_run_again_equals_an_undisturbed_run(
    bench: Bench, finished: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    home = bench.folder / "killed"
    config = bench.config("small", runner=SMALL_SHARDS)
    is_there: tuple[Callable[[], bool], ...] = (
        lambda: len(list((home / "lake" / "extraction_log").glob("*.parquet"))) >= 2,
        lambda: any((home / "work" / "backbone").glob("*/*.safetensors")),
    )
    for is_in_the_middle in is_there:
        process = bench.start(*bench.arguments(home, config))
        deadline = time.monotonic() + 240
        while not is_in_the_middle():
            assert process.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        # The main process alone: its workers must not outlive it and go on writing.
        process.kill()
        process.wait()

    run = bench.run(home, config)
    assert run.returncode == 0, run.stderr
    assert stored(home) == stored(finished[0])
    client = MlflowClient(Home(home).mlflow_uri)
    assert len(client.search_model_versions("name = 'difffake'")) == 1
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    assert len(client.search_runs([experiment.experiment_id])) == 1


def test_robustness_runs_where_it_is_named_and_loses_one_condition_to_a_kill(
    bench: Bench, finished: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    home = bench.folder / "robustness"
    shutil.copytree(finished[0], home)
    config = bench.config("robust", robustness={"perturbations": ["gaussian_blur"], "severities": [1, 3, 5]})
    process = bench.start(*bench.arguments(home, config))
    conditions = home / "artefacts" / "robustness_scores"
    deadline = time.monotonic() + 240
    while not list(conditions.glob("*/record.json")):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.wait()
    kept = {path: path.stat().st_mtime_ns for path in conditions.glob("[!.]*/record.json")}

    run = bench.run(home, config)
    assert run.returncode == 0, run.stderr
    assert "nanobind" not in run.stderr
    expected = dict.fromkeys((*STAGES, "robustness"), "reused")
    assert outcomes(run.stdout) == expected | {"robustness": "done", "registry": "done"}
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert len(list(conditions.glob("[!.]*/record.json"))) == 3
    assert (home / "reports" / "tiny" / "robustness.png").is_file()
    client = MlflowClient(Home(home).mlflow_uri)
    version = client.get_model_version_by_alias("difffake", "challenger")
    figures = {item.path for item in client.list_artifacts(version.run_id, "figures")}
    assert "figures/robustness.png" in figures
    assert outcomes(bench.run(home, config).stdout) == expected


def test_bad_videos_get_a_row_with_a_reason_and_stop_nobody(finished: tuple[Path, Any]) -> None:
    home, run = finished
    assert "Traceback" not in run.stderr
    log = {row["video_key"][-3:]: row for row in table_rows(home, TableName.EXTRACTION_LOG)}
    assert {name: log[name]["status"] for name in BAD_VIDEOS} == BAD_VIDEOS
    assert all(log[name]["reason"] for name in BAD_VIDEOS)


def test_a_wrong_folder_is_one_clear_message(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "holiday.jpg").write_bytes(b"")
    run = bench.run(tmp_path / "home", bench.config("base"), root=tmp_path / "root")
    assert run.returncode == 1
    assert "not a FaceForensics" in run.stderr
    assert "Traceback" not in run.stderr + run.stdout


def stored_scores(home: Path) -> dict[str, dict[str, Any]]:
    """The scores the evaluation stored, by the path of the video."""
    places = {row["video_key"]: str(local_path(row["uri"])) for row in table_rows(home, TableName.VIDEOS)}
    return {places[row["video_key"]]: row for row in table_rows(home, TableName.SCORES)}


SCORE_COLUMNS = ("score", "p_value", "differential", "fake_probability", "fusion")


def assert_same_scores(row: Mapping[str, Any], stored_row: Mapping[str, Any]) -> None:
    assert row["status"] == stored_row["status"]
    for name in SCORE_COLUMNS:
        # Batches of other sizes round otherwise; in the fusion's sum of two terms of either sign rounding adds up.
        absolute = 1e-5 if name == "fusion" else 0.0
        assert row[name] == pytest.approx(stored_row[name], rel=1e-6, abs=absolute), name
    assert (row["faces_used"], row["pairs_used"]) == (stored_row["faces_used"], stored_row["pairs_used"])


def test_the_registered_model_answers_without_pickle(
    finished: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    home, _ = finished
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    mlflow.set_tracking_uri(Home(home).mlflow_uri)
    model = mlflow.pyfunc.load_model("models:/difffake@champion")
    path, known = next(iter(stored_scores(home).items()))
    answer = model.predict(pd.DataFrame({"path": [path, "missing.mp4"]}))
    assert tuple(answer.columns) == COLUMNS
    assert answer["status"].tolist() == ["scored", "failed"]
    assert_same_scores(answer.iloc[0], known)
    assert answer["reason"][1]
    by_content = model.predict(pd.DataFrame({"path": ["../../etc/passwd"], "content": [Path(path).read_bytes()]}))
    assert_same_scores(by_content.iloc[0], known)


def test_evaluation_library_and_command_line_give_the_same_scores(finished: tuple[Path, Any], bench: Bench) -> None:
    home, _ = finished
    known = stored_scores(home)
    assert len(known) >= 4
    detector = Detector.load(next((home / "artefacts" / "calibration").iterdir()))
    for path, row in known.items():
        assert_same_scores(detector.score(path).rows()[0], row)
        assert detector.score(path).outcome.tracks_judged == 1
    run = bench.call("score", *known, "--home", str(home), "--format", "json")
    assert run.returncode == 0, run.stderr
    rows = json.loads(run.stdout)
    assert [row["path"] for row in rows if row["person"] == 0] == list(known)
    for row in rows:
        if row["person"] == 0:
            assert_same_scores(row, known[row["path"]])


def test_a_served_model_answers_bytes_and_opens_nothing_it_was_not_told_to(
    finished: tuple[Path, Any], tmp_path: Path
) -> None:
    home, _ = finished
    path, known = next(iter(stored_scores(home).items()))
    (tmp_path / "open").mkdir()
    shutil.copy(path, tmp_path / "open" / "clip.mp4")
    (tmp_path / "open" / "link.mp4").symlink_to(path)
    content = base64.b64encode(Path(path).read_bytes()).decode()
    limits = {"DIFFFAKE_SERVE_INPUT_ROOT": str(tmp_path / "open"), "DIFFFAKE_SERVE_MAX_FILE_MB": "10"}
    with served(home, limits) as ask:
        contents = [content, base64.b64encode(b"no video").decode(), "no base64!"]
        scored, *useless = ask([*({"content": one} for one in contents), {"path": None}])
        assert_same_scores(scored, known)
        assert [row["status"] for row in useless] == ["failed"] * 3
        assert [row["reason"].partition(":")[0] for row in useless] == ["unreadable", "refused", "refused"]
        names = ["clip.mp4", "../open/clip.mp4", "link.mp4", path, "/etc/passwd", "s3://bucket/a.mp4", "none.mp4"]
        rows = ask([{"path": name} for name in names])
        assert [row["status"] for row in rows] == ["scored", "scored", *["failed"] * 5]
        assert_same_scores(rows[0], known)
        assert all("outside the folder" in row["reason"] for row in rows[2:5])
        assert "nothing is fetched" in rows[5]["reason"]
        (large,) = ask([{"content": base64.b64encode(bytes(10_000_001)).decode()}])
        assert "10 MB, more than the 10 MB allowed" in large["reason"]


@contextmanager
def served(home: Path, environment: dict[str, str]) -> Iterator[Callable[[list[dict[str, str]]], list[dict[str, Any]]]]:
    """`mlflow models serve` on the champion, and a function that asks it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/difffake@champion", "-p", str(port),
               "--env-manager", "local"]  # fmt: skip
    # It starts its server by name.
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    store = {"MLFLOW_TRACKING_URI": Home(home).mlflow_uri, "PATH": programs}
    log = (home / "logs" / f"serve-{port}.log").open("wb")
    server = subprocess.Popen(
        command, env=os.environ | store | environment, stdout=log, stderr=log, start_new_session=True
    )

    def ask(records: list[dict[str, str]]) -> list[dict[str, Any]]:
        body = json.dumps({"dataframe_records": records}).encode()
        url = f"http://127.0.0.1:{port}/invocations"
        with urlopen(Request(url, body, {"Content-Type": "application/json"}), timeout=120) as answer:
            return list(json.load(answer)["predictions"])

    try:
        for _ in range(240):
            with suppress(OSError), urlopen(f"http://127.0.0.1:{port}/ping", timeout=1):
                break
            assert server.poll() is None, Path(log.name).read_text()
            time.sleep(0.5)
        yield ask
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)
        log.close()
