"""The card of a registered version: what it tells, and that MLflow's database can take it."""

from typing import Any

import pytest

from data_catalog.home import Home
from data_catalog.schemas import TableName
from difffake.config import DatasetSpec, EvaluationConfig, ExperimentConfig
from difffake.evaluation.results import DIFFERENTIAL
from difffake.evaluation.table import evaluate_videos
from tasks.experiment import Experiment, StageRecord
from tasks.model_card import LONGEST, model_card
from tests.helpers.lake_rows import fill, video
from tests.helpers.results import many


def record(stage: str, **facts: Any) -> StageRecord:
    return StageRecord(
        stage=stage, fingerprint=stage, digest=f"digest-{stage}", reused=False, summary=f"did {stage}", facts=facts
    )


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    spec = DatasetSpec(name="d", adapter="folder", root="/videos", roles={"train": ("train",), "test": ("test",)})
    made = Experiment(ExperimentConfig(name="ours", seed=7), Home(tmp_path_factory.mktemp("home")), (spec,))
    made.home.create()
    rows = [
        video(f"d/real/{n}", f"real-{n}", split="train" if n < 4 else "test", identity=f"d:{n // 2}") for n in range(6)
    ]
    fill(made.lake, TableName.VIDEOS, rows)
    return made


def card(experiment: Experiment, manipulations: dict[str, float]) -> str:
    table = evaluate_videos(many(manipulations), [DIFFERENTIAL], EvaluationConfig(bootstrap_resamples=20), 0)
    records = {
        "faces": record("faces"),
        "pairs": record("pairs"),
        "fusion": record("fusion", warning=None),
        "calibration": record(
            "calibration", videos=9, identities=4, threshold=12.3456, stated_false_positive_rate=0.1,
            warning="Nine calibration videos support 10 % at best.", dependence=None,
        ),
        "evaluation": record("evaluation", groups=[row.to_dict() for row in table]),
    }  # fmt: skip
    return model_card(experiment, records, "abc1234", "#/runs/1", "#/runs/1/artifacts/report.html")


def test_it_says_what_the_version_can_do_and_what_it_was_made_of(experiment: Experiment) -> None:
    text = card(experiment, {"strong": 3.0, "a|b": 0.0})
    (overall,) = [line for line in text.splitlines() if line.startswith("| ff/c23") and "| all |" in line]
    assert "| 60 | 120 |" in overall
    assert "120 of 120" not in overall
    assert "180 of 180" in overall
    # A name may not end its cell.
    assert "a\\|b" in text
    assert "| code | commit `abc1234` |" in text
    assert "4 train (2 people), 2 test (1 people)" in text
    assert f"videos v{experiment.lake.version(TableName.VIDEOS)}" in text
    assert "faces `digest-faces`" in text
    assert "[Training report](#/runs/1/artifacts/report.html)" in text
    assert "above 12.35 a video is anomalous, at a false-positive rate of 10% on 9 held-out" in text
    assert "⚠ Nine calibration videos" in text
    assert "- **pairs**: did pairs" in text


def test_however_many_manipulations_there_are_the_database_takes_it(experiment: Experiment) -> None:
    text = card(experiment, {f"manipulation number {number}": 1.0 for number in range(60)})
    assert LONGEST * 0.9 < len(text) <= LONGEST < 5000
    shown = sum(line.startswith("| ff/c23") for line in text.splitlines())
    # The rows that were left out are counted: 60 manipulations and all fakes.
    assert f"{61 - shown} more rows are in the report." in text
    # What comes after the table is there all the same.
    assert "| code | commit `abc1234` |" in text
