"""Trainings that do not train, or go wrong, as users see them."""

import json
from pathlib import Path
from typing import Any

import pytest

from data_catalog.home import Home
from data_catalog.schemas import TableName
from tests.flows.conftest import Bench, copy_faces

pytestmark = [pytest.mark.xdist_group("flows"), pytest.mark.slow]


def test_without_pseudo_fakes_the_initial_weights_judge_and_give_no_fake_probability(
    bench: Bench, finished: tuple[Path, Any], tmp_path: Path
) -> None:
    copy_faces(finished[0], tmp_path)
    run = bench.run(tmp_path, bench.config("none", pseudo_fakes={"variant": "none"}))
    assert run.returncode == 0, run.stderr
    assert "initial weights, not trained" in run.stdout
    lake = Home(tmp_path).lake
    embeddings = lake.read(TableName.EMBEDDINGS, ["face_id", "fake_probability"])
    assert 0 < embeddings["fake_probability"].null_count == embeddings.num_rows
    scores = lake.read(TableName.SCORES, ["status", "score", "fake_probability"]).to_pylist()
    assert any(row["status"] == "scored" for row in scores)
    assert all(row["fake_probability"] is None for row in scores)


def test_a_diverged_training_says_what_to_do_and_a_rerun_does_not_repeat_it(
    bench: Bench, finished: tuple[Path, Any], tmp_path: Path
) -> None:
    copy_faces(finished[0], tmp_path)
    diverging = {"learning_rate": 10.0, "weight_decay": 1.0, "momentum": 0.0, "sam_rho": 0.0, "epochs": 40}
    config = bench.config("diverging", backbone=diverging)
    first = bench.run(tmp_path, config)
    assert first.returncode == 1
    assert "error DivergedError" in first.stderr
    assert "lower backbone.learning_rate" in " ".join(first.stderr.split())
    checkpoints = {path: path.stat().st_mtime_ns for path in Home(tmp_path).work.rglob("*.safetensors")}

    again = bench.run(tmp_path, config)
    assert again.returncode == 1
    assert "this very training diverged before" in " ".join(again.stderr.split())
    assert {path: path.stat().st_mtime_ns for path in Home(tmp_path).work.rglob("*.safetensors")} == checkpoints


def test_a_backbone_nobody_knows_ends_the_run_before_any_video_is_read(bench: Bench, tmp_path: Path) -> None:
    run = bench.run(tmp_path, bench.config("unknown", backbone={"model": "efficientnet_b9", "pretrained": "none"}))
    assert run.returncode == 1
    assert "knows no model 'efficientnet_b9'" in " ".join(run.stderr.split())
    assert Home(tmp_path).lake.count(TableName.EXTRACTION_LOG) == 0


def test_training_videos_are_learnt_from_encoded_anew_too_and_only_once(
    bench: Bench, finished: tuple[Path, Any], tmp_path: Path
) -> None:
    copy_faces(finished[0], tmp_path)
    # With what the laptop's configuration has beside the paper's.
    config = bench.config(
        "recompressed",
        data={"recompressed": [{"crf": 28}, {"codec": "vp9", "crf": 50}]},
        pseudo_fakes={"variant": "diverse"},
        backbone={"epochs": 1, "augmentation": "robust", "average_decay": 0.9, "decay_fraction": 1.0},
        pairs={"draw": "spread"},
        density={"against": "pseudo_fakes", "model": "ledoit_wolf"},
        fusion={"copies_per_video": 3, "faces_per_copy": 5, "drifts": ["jitter", "landmarks", "redrawn"]},
    )
    run = bench.run(tmp_path, config)
    assert run.returncode == 0, run.stderr
    home = Home(tmp_path)
    rows = home.lake.read(TableName.FACES, ["video_sha256", "extraction", "track_id"]).to_pylist()
    contents: dict[str, set[str]] = {}
    for row in rows:
        contents.setdefault(row["extraction"], set()).add(row["video_sha256"])
    clean, *recompressed = sorted(contents.values(), key=len, reverse=True)
    # Each training video once more, at one of the factors; nobody else.
    assert 1 <= len(recompressed) <= 2
    assert sum(map(len, recompressed)) == len(set().union(*recompressed))
    assert set().union(*recompressed) < clean
    splits = home.lake.read(TableName.VIDEOS, ["sha256", "split", "label"]).to_pylist()
    of_training = {row["sha256"] for row in splits if row["split"] == "train" and row["label"] == "real"}
    assert set().union(*recompressed) == of_training & clean
    (record,) = (home.artefacts.root / "backbone").glob("*/record.json")
    faces = json.loads(record.read_text())["facts"]["faces"]
    ok = set(home.lake.read(TableName.EXTRACTION_LOG, ["video_sha256"], {"status": ["ok"]})["video_sha256"].to_pylist())
    learnt_from = of_training & ok
    assert faces == sum(row["video_sha256"] in learnt_from and row["track_id"] == 0 for row in rows)

    before = home.lake.count(TableName.FACES)
    again = bench.run(tmp_path, config)
    assert again.returncode == 0, again.stderr
    assert home.lake.count(TableName.FACES) == before
    assert "reused" in again.stdout
