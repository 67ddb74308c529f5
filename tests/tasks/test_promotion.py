"""Promotion over a real registry (SQLite) and a real lake; only the network is left out: scores are written by hand."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient

from data_catalog import home
from data_catalog.home import Home
from data_catalog.schemas import TableName
from difffake.config import DatasetSpec, ExperimentConfig
from difffake.errors import ArtefactError, ServiceError
from difffake.scores import VideoScore
from tasks import promotion, registry, services, tracking
from tasks.experiment import Experiment, StageRecord
from tasks.promotion import (
    APPROVED,
    DECISION_TAG,
    NOT_BETTER,
    PROMOTED,
    REJECTED,
    STATE_TAG,
    WAITING,
    decide_by_hand,
    find_rival,
    history,
    promote,
    roll_back,
    versions,
)
from tasks.registry_names import AUC_TAG, CHALLENGER, CHAMPION, DETECTOR_TAG, MODEL
from tests.helpers.embedded_lake import experiment_of, with_settings
from tests.helpers.lake_rows import EXTRACTION, Row, fill, video
from tests.helpers.mlflow_database import give_database

FF = DatasetSpec(name="ff", adapter="faceforensics", root="FF++")
PEOPLE = 12


def judged_rows() -> list[Row]:
    rows = []
    for person in range(PEOPLE):
        for label in ("real", "fake"):
            name = f"{label}-{person}"
            rows.append(
                video(
                    f"d/test/{name}", name, split="test", label=label, identity=f"d:{person}",
                    manipulation="swap" if label == "fake" else "original",
                )
            )  # fmt: skip
    return rows


@pytest.fixture
def experiment(tmp_path: Path, mlflow_database: Path) -> Experiment:
    made = experiment_of(tmp_path / "home", judged_rows(), evaluation={"bootstrap_resamples": 200})
    give_database(made.home, mlflow_database)
    return made


def score(experiment: Experiment, detector: str, noise: float, rows: list[Row] | None = None) -> None:
    """Let a detector score the test videos: fakes 1, reals 0, blurred by noise."""
    rng = np.random.default_rng(len(detector))
    found = [
        {
            "video_key": row["video_key"],
            "video_sha256": row["sha256"],
            "detector": detector,
            **vars(VideoScore("scored", "", score=(row["label"] == "fake") + noise * rng.standard_normal())),
        }
        for row in rows or judged_rows()
    ]
    fill(experiment.lake, TableName.SCORES, found)


def registered(experiment: Experiment, detector: str, auc: float | None = 0.7) -> StageRecord:
    """Register a version of a detector that has scored something."""
    client: MlflowClient = tracking.connect(experiment)
    registry._ensure_model(client)
    run = client.create_run("0")
    tags = {AUC_TAG: json.dumps(auc), DETECTOR_TAG: detector}
    version = client.create_model_version(MODEL, f"{experiment.home.root}/model", run.info.run_id, tags=tags)
    client.set_registered_model_alias(MODEL, CHALLENGER, version.version)
    facts = {"version": int(version.version), "run_id": run.info.run_id}
    return StageRecord(stage="registry", fingerprint="f", digest="f", reused=False, summary="", facts=facts)


def challenge(experiment: Experiment, detector: str, noise: float) -> tuple[str, str]:
    """Score, register and promote; the version and the decision."""
    score(experiment, detector, noise)
    record = registered(experiment, detector)
    return str(record.facts["version"]), promote.fn(experiment, EXTRACTION, record)


def champion(experiment: Experiment) -> str:
    return str(tracking.connect(experiment).get_model_version_by_alias(MODEL, CHAMPION).version)


def tags_of(experiment: Experiment, version: str) -> dict[str, Any]:
    tags: dict[str, Any] = tracking.connect(experiment).get_model_version(MODEL, version).tags
    return tags


def test_the_first_becomes_champion_and_only_a_better_one_on_the_same_videos_replaces_it(
    experiment: Experiment,
) -> None:
    first, decision = challenge(experiment, "first", noise=3.0)
    assert champion(experiment) == first
    assert "first version" in decision

    same, decision = challenge(experiment, "same-as-it", noise=3.0)
    assert champion(experiment) == first
    assert tags_of(experiment, same)[STATE_TAG] == NOT_BETTER
    assert "stays challenger: not better than champion version 1" in decision

    better, decision = challenge(experiment, "better", noise=0.1)
    assert champion(experiment) == better
    assert "is champion now: better than champion version 1: AUC 1.000 against" in decision
    tags = tags_of(experiment, better)
    assert tags[STATE_TAG] == PROMOTED
    assert tags[DECISION_TAG] in decision

    client = tracking.connect(experiment)
    run_id = client.get_model_version(MODEL, better).run_id
    figures = client.get_run(run_id).data.metrics
    assert figures["promotion.change"] > figures["promotion.low"] > 0
    assert [reign.version for reign in history(client)] == [first, better]


def test_again_decides_the_same_and_remembers_it_once(experiment: Experiment) -> None:
    challenge(experiment, "first", noise=3.0)
    score(experiment, "better", 0.1)
    record = registered(experiment, "better")
    promote.fn(experiment, EXTRACTION, record)
    assert "is the champion already" in promote.fn(experiment, EXTRACTION, record)
    assert [reign.version for reign in history(tracking.connect(experiment))] == ["1", "2"]


def test_a_decision_cut_short_after_the_crowning_is_completed(experiment: Experiment) -> None:
    challenge(experiment, "first", noise=3.0)
    score(experiment, "better", 0.1)
    record = registered(experiment, "better")
    client = tracking.connect(experiment)
    # Killed between the memory and the alias, then between the alias and the version's state.
    promotion.crown(client, "2", "")
    client.set_registered_model_alias(MODEL, CHAMPION, "1")
    for _ in range(2):
        promote.fn(experiment, EXTRACTION, record)
        assert champion(experiment) == "2"
        assert [reign.version for reign in history(client)] == ["1", "2"]
        assert tags_of(experiment, "2")[STATE_TAG] == PROMOTED
        client.delete_model_version_tag(MODEL, "2", STATE_TAG)


def test_a_champion_that_lacks_test_videos_has_to_score_them_first(experiment: Experiment) -> None:
    rows = judged_rows()
    score(experiment, "first", 1.0, rows[:-2])
    promote.fn(experiment, EXTRACTION, registered(experiment, "first"))
    score(experiment, "second", 0.1)
    record = registered(experiment, "second")
    rival = find_rival.fn(experiment, EXTRACTION, record)
    assert rival is not None
    assert (rival.version, rival.detector, rival.unscored) == ("1", "first", True)

    refused = promote.fn(experiment, EXTRACTION, record, "its face models are not installed")
    assert "could not be compared: its face models are not installed" in refused
    assert champion(experiment) == "1"

    score(experiment, "first", 1.0, rows[-2:])
    rival = find_rival.fn(experiment, EXTRACTION, record)
    assert rival is not None
    assert rival.unscored is False
    assert find_rival.fn(experiment, EXTRACTION, registered_as(record, 1)) is None


def registered_as(record: StageRecord, version: int) -> StageRecord:
    return record.model_copy(update={"facts": record.facts | {"version": version}})


def test_scores_of_an_earlier_content_of_a_video_do_not_count(experiment: Experiment) -> None:
    rows = judged_rows()
    outdated = [row | {"sha256": "before " + row["sha256"]} for row in rows]
    score(experiment, "first", 0.1, outdated)
    promote.fn(experiment, EXTRACTION, registered(experiment, "first"))
    score(experiment, "second", 0.1)
    rival = find_rival.fn(experiment, EXTRACTION, registered(experiment, "second"))
    assert rival is not None
    assert rival.unscored is True


def test_a_champion_from_elsewhere_is_said_to_be_one(experiment: Experiment) -> None:
    score(experiment, "second", 0.1)
    client = tracking.connect(experiment)
    registry._ensure_model(client)
    foreign = client.create_model_version(MODEL, "file:///elsewhere", client.create_run("0").info.run_id)
    client.set_registered_model_alias(MODEL, CHAMPION, foreign.version)
    with pytest.raises(ArtefactError, match=r"was not registered by this program; .*--despite"):
        find_rival.fn(experiment, EXTRACTION, registered(experiment, "second"))


def test_a_better_one_waits_for_a_person_if_approval_is_required(experiment: Experiment) -> None:
    asking = with_settings(experiment, promotion={"approval": "required"})
    first, decision = challenge(asking, "first", noise=3.0)
    assert "awaits approval" in decision
    assert f"difffake promote {first} --approve" in decision
    with pytest.raises(ArtefactError, match="no champion"):
        roll_back(asking.home, None, "")
    told = decide_by_hand(asking.home, None, approve=True, note="Ada: looked at the report")
    assert told == f"version {first} is champion now: approved by hand: Ada: looked at the report"
    assert tags_of(asking, first)[STATE_TAG] == APPROVED

    better, _ = challenge(asking, "better", noise=0.1)
    assert champion(asking) == first
    assert tags_of(asking, better)[STATE_TAG] == WAITING
    # The same run again does not ask twice, nor does it undo what was decided.
    again = registered_as(StageRecord(stage="r", fingerprint="f", digest="f", reused=True, summary=""), int(better))
    assert "awaits approval" in promote.fn(asking, EXTRACTION, again)
    decide_by_hand(asking.home, better, approve=False, note="")
    assert tags_of(asking, better)[STATE_TAG] == REJECTED
    assert "rejected" in promote.fn(asking, EXTRACTION, again)
    assert champion(asking) == first

    with pytest.raises(ArtefactError, match="does not wait for approval"):
        decide_by_hand(asking.home, better, approve=True, note="")
    decide_by_hand(asking.home, better, approve=True, note="", despite=True)
    assert champion(asking) == better
    assert "already" in decide_by_hand(asking.home, better, approve=True, note="")


def test_back_to_the_champion_before_and_the_same_run_does_not_undo_it(experiment: Experiment) -> None:
    challenge(experiment, "first", noise=3.0)
    with pytest.raises(ArtefactError, match="the only champion there was"):
        roll_back(experiment.home, None, "")
    challenge(experiment, "better", noise=0.1)
    told = roll_back(experiment.home, None, "misjudges our cameras")
    assert told == "version 1 is champion again: rolled back from version 2: misjudges our cameras"
    assert champion(experiment) == "1"
    again = registered_as(StageRecord(stage="r", fingerprint="f", digest="f", reused=True, summary=""), 2)
    assert "rolled back" in promote.fn(experiment, EXTRACTION, again)
    assert champion(experiment) == "1"
    assert [reign.version for reign in history(tracking.connect(experiment))] == ["1", "2", "1"]

    roll_back(experiment.home, "2", "")
    assert champion(experiment) == "2"
    with pytest.raises(ArtefactError, match="no version '9'"):
        roll_back(experiment.home, "9", "")


def test_versions_are_listed_newest_first_with_what_was_decided(experiment: Experiment) -> None:
    challenge(experiment, "first", noise=3.0)
    challenge(experiment, "same-as-it", noise=3.0)
    second, first = versions(experiment.home)
    assert (second["version"], second["aliases"], second["state"]) == (2, CHALLENGER, NOT_BETTER)
    assert (first["version"], first["aliases"], first["state"]) == (1, CHAMPION, PROMOTED)
    assert first["auc"] == 0.7
    assert "not better than champion version 1" in second["decision"]


def test_a_work_folder_without_a_registry_says_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="difffake run"):
        versions(Home(tmp_path / "empty"))


def test_the_history_fits_into_a_tag_however_long(experiment: Experiment) -> None:
    client = tracking.connect(experiment)
    registry._ensure_model(client)
    for detector in ("a", "b"):
        registered(experiment, detector)
    for number in range(80):
        promotion.crown(client, str(number % 2 + 1), "x" * 500)
    reigns = history(client)
    assert len(reigns) == 25
    assert reigns[-1].version == "2"


def test_nested_sections_become_dotted_parameters() -> None:
    assert tracking.flatten({"a": 1, "b": {"c": {"d": 2}, "e": []}}) == {"a": 1, "b.c.d": 2, "b.e": []}


def test_a_tracking_server_that_does_not_answer_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = f"http://127.0.0.1:{services.free_port()}"
    monkeypatch.setattr(home, "_NAMED_MLFLOW_URI", closed)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    faces = StageRecord(stage="faces", fingerprint="f", digest="f", reused=False, summary="")
    with pytest.raises(ServiceError, match=f"{closed} cannot be used"):
        registry.open_training_run.fn(Experiment(ExperimentConfig(), Home(tmp_path), (FF,)), faces)
