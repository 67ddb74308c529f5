"""The tracking store, written by several processes at once."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, Param
from mlflow.exceptions import MlflowException
from sqlalchemy import event
from sqlalchemy.engine import Engine

from data_catalog.home import Home
from difffake.config import ExperimentConfig
from tasks.experiment import Experiment
from tasks.registry import _ensure_model
from tasks.registry_names import MODEL
from tasks.tracking import client_of, ensure_experiment
from tests.helpers.mlflow_database import give_database

WRITES: dict[str, Callable[[MlflowClient, str], object]] = {
    "tags": lambda client, run: client.set_tag(run, "note", "ours"),
    "model_version_tags": lambda client, _run: client.set_model_version_tag("model", "1", "note", "ours"),
    "params": lambda client, run: client.log_batch(run, params=[Param("epochs", "3")]),
    "registered_model_tags": lambda client, _run: client.set_registered_model_tag("model", "note", "ours"),
    "registered_model_aliases": lambda client, _run: client.set_registered_model_alias("model", "champion", "1"),
    "datasets": lambda client, run: client.log_inputs(run, [DatasetInput(Dataset("faces", "d", "delta_table", "{}"))]),
}


@pytest.fixture
def home(tmp_path: Path, mlflow_database: Path) -> Home:
    made = Home(tmp_path / "home")
    made.create()
    give_database(made, mlflow_database)
    return made


@pytest.fixture
def client(home: Home) -> MlflowClient:
    return client_of(home)


@pytest.fixture
def overtaken() -> Iterator[Callable[[str, Callable[[], object]], None]]:
    """Let another write come between: done once, when the store is about to insert into a table it has looked into."""
    waiting: dict[str, Callable[[], object]] = {}

    def come_between(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        table = statement.removeprefix("INSERT INTO ").partition(" ")[0]
        if statement.startswith("INSERT INTO") and table in waiting:
            waiting.pop(table)()

    event.listen(Engine, "before_cursor_execute", come_between)
    yield waiting.__setitem__
    event.remove(Engine, "before_cursor_execute", come_between)
    assert not waiting


@pytest.mark.parametrize("table", WRITES)
def test_what_another_process_writes_in_the_same_moment_is_no_failure(
    client: MlflowClient, overtaken: Callable[[str, Callable[[], object]], None], table: str
) -> None:
    run = client.create_run(client.create_experiment("shared")).info.run_id
    client.create_registered_model("model")
    client.create_model_version("model", f"runs:/{run}/model", run)
    overtaken(table, lambda: WRITES[table](client, run))
    WRITES[table](client, run)
    found = client.get_run(run)
    assert {
        "tags": found.data.tags.get("note") == "ours",
        "params": found.data.params == {"epochs": "3"},
        "model_version_tags": client.get_model_version("model", "1").tags == {"note": "ours"},
        "registered_model_tags": client.get_registered_model("model").tags == {"note": "ours"},
        "registered_model_aliases": "champion" in client.get_registered_model("model").aliases,
        "datasets": [one.dataset.name for one in found.inputs.dataset_inputs] == ["faces"],
    }[table]


def test_another_refusal_is_told_at_once(client: MlflowClient) -> None:
    questions: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        questions.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    with pytest.raises(MlflowException, match="not found"):
        client.set_tag("0" * 32, "note", "ours")
    event.remove(Engine, "before_cursor_execute", note)
    assert len([statement for statement in questions if "FROM runs" in statement]) == 1


def test_an_experiment_and_a_model_made_by_another_process_in_the_same_moment_are_used(
    client: MlflowClient, home: Home, overtaken: Callable[[str, Callable[[], object]], None]
) -> None:
    experiment = Experiment(ExperimentConfig(), home, ())
    overtaken("experiments", lambda: client.create_experiment("first runs"))
    found = ensure_experiment(client, experiment, "first runs")
    known = client.get_experiment_by_name("first runs")
    assert known is not None
    assert found == known.experiment_id
    overtaken("registered_models", lambda: client.create_registered_model(MODEL))
    _ensure_model(client)
    assert [model.name for model in client.search_registered_models()] == [MODEL]
