import json
from pathlib import Path

import pytest
from mlflow import MlflowClient

from data_catalog import home
from data_catalog.home import Home
from difffake.config import DatasetSpec, ExperimentConfig
from difffake.errors import ServiceError
from tasks import registry, services, tracking
from tasks.experiment import Experiment, StageRecord
from tasks.registry import AUC_TAG, CHAMPION, MODEL, PROTOCOL_TAG

FF = DatasetSpec(name="ff", adapter="faceforensics", root="FF++")


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    experiment = Experiment(ExperimentConfig(), Home(tmp_path_factory.mktemp("home")), (FF,))
    experiment.home.mlflow.mkdir(parents=True)
    return experiment


def challenge(experiment: Experiment, auc: float | None, protocol: str = "same") -> tuple[str, str, str]:
    """Register a version, let it challenge; its number, the decision, and the champion's number afterwards."""
    client: MlflowClient = tracking.connect(experiment)
    registry._ensure_model(client)
    run = client.create_run("0")
    tags = {AUC_TAG: json.dumps(auc), PROTOCOL_TAG: protocol}
    version = client.create_model_version(MODEL, f"{experiment.home.root}/model", run.info.run_id, tags=tags)
    record = StageRecord(
        stage="registry", fingerprint="f", digest="f", reused=False, summary="", facts={"version": int(version.version)}
    )
    decision = registry.promote.fn(experiment, record)
    assert registry.promote.fn(experiment, record)
    return str(version.version), decision, str(client.get_model_version_by_alias(MODEL, CHAMPION).version)


def test_the_first_becomes_champion_and_only_a_better_one_on_the_same_videos_replaces_it(
    experiment: Experiment,
) -> None:
    first, decision, champion = challenge(experiment, 0.7)
    assert champion == first
    assert "first" in decision

    _, decision, champion = challenge(experiment, 0.7)
    assert champion == first
    assert "not better" in decision

    _, decision, champion = challenge(experiment, 0.9, protocol="other videos")
    assert champion == first
    assert "measured on other videos" in decision

    _, decision, champion = challenge(experiment, None)
    assert champion == first

    better, decision, champion = challenge(experiment, 0.71)
    assert champion == better
    assert "better" in decision


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
