"""The tracking store, written by several processes at once."""

from collections.abc import Callable, Iterator
from pathlib import Path
from time import time
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, Metric
from mlflow.exceptions import MlflowException
from sqlalchemy import event
from sqlalchemy.engine import Engine

from data_catalog.home import Home
from tasks.tracking import client_of
from tests.helpers.mlflow_database import give_database

WRITES: dict[str, Callable[[MlflowClient, str], object]] = {
    "tags": lambda client, run: client.set_tag(run, "note", "ours"),
    "model_version_tags": lambda client, _run: client.set_model_version_tag("model", "1", "note", "ours"),
    "metrics": lambda client, run: client.log_batch(run, metrics=[Metric("auc", 0.5, int(time() * 1000), 0)]),
    "datasets": lambda client, run: client.log_inputs(run, [DatasetInput(Dataset("faces", "d", "delta_table", "{}"))]),
}


@pytest.fixture
def client(tmp_path: Path, mlflow_database: Path) -> MlflowClient:
    home = Home(tmp_path / "home")
    home.create()
    give_database(home, mlflow_database)
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
        "model_version_tags": client.get_model_version("model", "1").tags == {"note": "ours"},
        "metrics": found.data.metrics == {"auc": 0.5},
        "datasets": [one.dataset.name for one in found.inputs.dataset_inputs] == ["faces"],
    }[table]


def test_another_refusal_is_one(client: MlflowClient) -> None:
    with pytest.raises(MlflowException, match="not found"):
        client.set_tag("0" * 32, "note", "ours")
