"""What an evaluation leaves behind: its table for people, its metrics for MLflow, its pairs and frames."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient

from difffake.config import EvaluationConfig
from difffake.evaluation.results import DIFFERENTIAL, FAKE_PROBABILITY
from difffake.evaluation.table import evaluate_videos
from difffake.scores import Examination, VideoScore
from tasks.evaluation_files import FRAMES, PAIRS, write_samples, write_table
from tasks.tracking import evaluation_metrics
from tests.helpers.results import many, video

ROWS = evaluate_videos(
    [*many({"swap (v2)": 1.0, "..": 0.5}, 5), video("x:1", 1.0, "swap", dataset="celeb")],
    [DIFFERENTIAL, FAKE_PROBABILITY],
    EvaluationConfig(bootstrap_resamples=0),
    seed=0,
    learnt_from={"ff"},
)


def test_one_line_a_row_and_each_reason_once(tmp_path: Path) -> None:
    write_table(ROWS, tmp_path / "metrics.csv")
    with (tmp_path / "metrics.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))

    assert len(lines) == len(ROWS) == 2 * (3 + 2)
    assert len({(line["domain"], line["group"], line["score"], line["level"]) for line in lines}) == len(lines)
    for line, row in zip(lines, ROWS, strict=True):
        assert line["auc"] == ("" if row.metrics is None else f"{row.metrics.auc:.6g}")
    assert list(lines[0])[:5] == ["domain", "in_domain", "group", "level", "score"]
    assert list(lines[0])[-1] == "reasons"
    assert lines[0]["reasons"].count("no resamples were asked for") == 1
    assert "auc_low, auc_high" in lines[0]["reasons"]


def test_metrics_are_names_mlflow_takes_and_the_headline_has_short_ones(tmp_path: Path, mlflow_database: Path) -> None:
    metrics = evaluation_metrics([row.to_dict() for row in ROWS])
    headline = ROWS[0].metrics
    assert headline is not None
    assert metrics["overall.auc"] == metrics["ff_c23/overall/video/differential/auc"] == headline.auc
    assert "ff_c23/swap _v2_/video/differential/true_positive_rate_at_1_percent" in metrics
    assert not any("celeb" in name and name.endswith("/auc") for name in metrics)
    client = MlflowClient(f"sqlite:///{shutil.copy(mlflow_database, tmp_path)}")
    run = client.create_run(client.create_experiment("metrics"))
    for name, value in metrics.items():
        client.log_metric(run.info.run_id, name, value)
    assert client.get_run(run.info.run_id).data.metrics == metrics


def test_pairs_and_frames_of_scored_videos_are_kept(tmp_path: Path) -> None:
    scored = Examination(
        VideoScore("scored", score=2.0, track_id=1),
        [("a", "b"), ("c", "b")],
        np.array([-1.0, -3.0]),
        ["a", "b", "c"],
        np.array([0.1, 0.2, 0.3], np.float32),
    )
    abstained = Examination(VideoScore("abstained", track_id=0), (), np.empty(0), ["d"], np.ones(1, np.float32))
    write_samples({"ff/2": scored, "ff/1": abstained}, tmp_path)
    pairs, frames = pq.read_table(tmp_path / PAIRS).to_pylist(), pq.read_table(tmp_path / FRAMES).to_pylist()

    assert pairs == [
        {"video_key": "ff/2", "track_id": 1, "base_id": "a", "partner_id": "b", "log_likelihood": -1.0},
        {"video_key": "ff/2", "track_id": 1, "base_id": "c", "partner_id": "b", "log_likelihood": -3.0},
    ]
    assert [row["face_id"] for row in frames] == ["a", "b", "c"]
    assert [row["fake_probability"] for row in frames] == pytest.approx([0.1, 0.2, 0.3])
    write_samples({}, tmp_path)
    assert pq.read_table(tmp_path / PAIRS).schema == pq.read_schema(tmp_path / PAIRS)
    assert pq.read_table(tmp_path / FRAMES).num_rows == 0
