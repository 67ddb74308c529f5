"""Answers that are kept: given again while the question and the tables are the same, and never else."""

import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from data_catalog import lake as lake_module
from data_catalog.lake import Lake
from data_catalog.schemas import TABLES, TableName
from tests.helpers.lake_rows import video

SCHEMA = pa.schema([(name, pa.string()) for name in ("dataset", "role", "split")])


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    made = Lake(tmp_path / "lake")
    store(made, "own/a")
    return made


def store(lake: Lake, *keys: str) -> None:
    lake.create()
    rows = [video(key, f"sha of {key}", split="train") for key in keys]
    lake.append_missing(TableName.VIDEOS, pa.Table.from_pylist(rows, schema=TABLES[TableName.VIDEOS].schema))


def ask(
    lake: Lake, quality: str = "c23", role: str = "train", split: str = "train", is_asked_often: bool = True
) -> pa.Table:
    wanted = pa.Table.from_pylist([{"dataset": "own", "role": role, "split": split}], schema=SCHEMA)
    parameters = {"train_compression": quality, "test_compressions": [quality]}
    return lake.query("assign_roles", parameters, {"dataset_roles": wanted}, is_asked_often=is_asked_often)


def keys(answer: pa.Table) -> list[str]:
    return [str(key) for key in answer["video_key"].to_pylist()]


def test_the_same_question_is_answered_once(lake: Lake) -> None:
    first = ask(lake)
    assert keys(first) == ["own/a"]
    assert ask(Lake(lake.folder.path)) is first


def test_another_question_has_another_answer(lake: Lake) -> None:
    assert ask(lake)["role"].to_pylist() == ["train"]
    assert ask(lake, role="density")["role"].to_pylist() == ["density"]
    first = ask(lake)
    assert ask(lake, quality="c40") is not first


def test_what_is_written_is_seen(lake: Lake) -> None:
    ask(lake)
    store(lake, "own/b")
    assert keys(ask(lake)) == ["own/a", "own/b"]


def test_another_lake_and_one_made_anew_are_asked(lake: Lake, tmp_path: Path) -> None:
    ask(lake)
    other = Lake(tmp_path / "other")
    store(other, "own/c")
    assert keys(ask(other)) == ["own/c"]
    ask(lake)
    shutil.rmtree(lake.folder.path)
    store(lake, "own/d")
    assert keys(ask(lake)) == ["own/d"]


def test_a_copy_that_went_its_own_way_and_a_lake_restored_from_one_are_asked(lake: Lake, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(lake.folder.path, copy)
    store(lake, "own/b")
    assert keys(ask(lake)) == ["own/a", "own/b"]
    store(Lake(copy), "own/c")
    assert keys(ask(Lake(copy))) == ["own/a", "own/c"]
    assert keys(ask(lake)) == ["own/a", "own/b"]
    shutil.rmtree(lake.folder.path)
    copy.rename(lake.folder.path)
    assert keys(ask(lake)) == ["own/a", "own/c"]


def test_who_asks_seldom_is_answered_anew(lake: Lake) -> None:
    first = ask(lake)
    again = ask(lake, is_asked_often=False)
    assert again is not first
    assert again.equals(first)
    assert ask(lake) is first


@pytest.mark.parametrize("split", ["train", "of nobody"])
def test_a_large_answer_and_a_large_question_are_not_kept(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, split: str
) -> None:
    monkeypatch.setattr(lake_module, "_MOST_KEPT_BYTES", 100)
    role = "train" if split == "train" else "r" * 300
    first = ask(lake, role=role, split=split)
    again = ask(lake, role=role, split=split)
    # A large answer to a small question, and no rows for a large one.
    assert first.num_rows == int(split == "train")
    assert (first.nbytes > 100) == (split == "train")
    assert again is not first
    assert again.equals(first)
