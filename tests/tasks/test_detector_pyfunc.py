from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from tasks.detector_pyfunc import DetectorModel
from tests.helpers.detector import face_clip, saved_detector, small_detector


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> DetectorModel:
    loaded = DetectorModel()
    folder = saved_detector(small_detector(), tmp_path_factory.mktemp("model"))
    context: Any = SimpleNamespace(artifacts={"detector": str(folder)})
    loaded.load_context(context)
    return loaded


def ask(model: DetectorModel, **columns: list[Any]) -> pd.DataFrame:
    context: Any = None
    return model.predict(context, pd.DataFrame(columns))


def test_one_bad_row_of_a_request_spoils_no_other(
    model: DetectorModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "open"
    root.mkdir()
    face_clip(root / "good.mp4")
    (root / "loop.mp4").symlink_to(root / "loop.mp4")
    monkeypatch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true")
    monkeypatch.setenv("DIFFFAKE_SERVE_INPUT_ROOT", str(root))
    names = ["good.mp4", "a\0b.mp4", "a" * 300, "loop.mp4", "file://[x", "../open/none.mp4", None]
    answer = ask(model, path=names)
    assert answer["status"].tolist() == ["scored", *["failed"] * 6]
    assert all(reason.startswith("refused: ") for reason in answer["reason"][1:])
    assert not any(str(tmp_path) in reason for reason in answer["reason"])
    assert answer["path"].iloc[-1] == "content"

    contents = [(root / "good.mp4").read_bytes(), "é", "no base64!", b"no video", "", float("nan")]
    answer = ask(model, content=contents)
    assert answer["status"].tolist() == ["scored", *["failed"] * 5]


def test_a_served_model_takes_no_paths_unless_a_folder_is_named(
    model: DetectorModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = face_clip(tmp_path / "clip.mp4")
    assert ask(model, path=[str(clip)])["status"][0] == "scored"
    monkeypatch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true")
    answer = ask(model, path=[str(clip), None], content=[None, clip.read_bytes()])
    assert answer["status"].tolist() == ["failed", "scored"]
    assert "paths are not accepted here" in answer["reason"][0]


def test_a_bucket_is_asked_only_where_it_is_allowed(model: DetectorModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true")
    assert "ALLOW_REMOTE" in ask(model, path=["s3://bucket/a.mp4"])["reason"][0]
    monkeypatch.setenv("DIFFFAKE_SERVE_ALLOW_REMOTE", "true")
    assert "is no URI" in ask(model, path=["http://[x"])["reason"][0]
