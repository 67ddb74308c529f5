import io
import json
import os
from pathlib import Path

import fsspec
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from difffake.detector import Detector
from difffake.errors import ArtefactError, DataError
from difffake.judgement import COLUMNS
from difffake.limits import InputLimits
from tasks.models import find_detector
from tasks.score_files import SCHEMA, encode, examine_files, table_of
from tasks.score_inputs import expand_inputs, reference_files
from tests.helpers.detector import face_clip, saved_detector, small_detector
from tests.helpers.s3 import BUCKET, s3_server


@pytest.fixture(scope="module")
def detector() -> Detector:
    return small_detector()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "clips" / "deep").mkdir(parents=True)
    face_clip(tmp_path / "clips" / "a.mp4")
    face_clip(tmp_path / "clips" / "deep" / "b.MP4")
    (tmp_path / "clips" / "notes.txt").write_text("no video")
    (tmp_path / "clips" / "photo.jpg").write_bytes(b"")
    return tmp_path


def names(places: list[str]) -> list[str]:
    return [Path(entry.name).name for entry in expand_inputs(places)]


def test_folders_patterns_and_uris_become_files_each_once(folder: Path) -> None:
    clips = folder / "clips"
    assert names([str(clips)]) == ["a.mp4", "b.MP4"]
    assert names([f"{clips}/*.mp4", str(clips / "a.mp4"), clips.as_uri()]) == ["a.mp4", "b.MP4"]
    assert names([f"{clips}/**/*.M*4"]) == ["b.MP4"]
    # What is named itself is scored whatever it is called.
    assert names([str(clips / "notes.txt"), str(clips / "photo.jpg")]) == ["notes.txt", "photo.jpg"]


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("missing.mp4", "there is no such file or folder"),
        ("*.nothing", "no file matches this pattern"),
        ("empty", "the folder holds no video"),
        ("https://example.org/a.mp4", "no place this installation can read"),
        ("s3://key:secret@bucket/a.mp4", "carries credentials"),
        ("~nobody-of-this-name/a.mp4", "home directory"),
        ("http://[x/y.mp4", "is no URI"),
        ("/proc/self/fd/../mem/a.mp4", "there is no such file"),
    ],
)
def test_what_gives_no_file_says_why_and_tells_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    (entry,) = expand_inputs([place])
    assert reason in entry.reason
    assert "secret" not in entry.name + entry.reason


def test_every_input_is_a_judgement_under_its_own_name(detector: Detector, folder: Path) -> None:
    places = [str(folder / "clips" / "a.mp4"), "missing.mp4", str(folder / "clips" / "notes.txt")]
    judged = [examined.judgement for examined in examine_files(detector, expand_inputs(places), (), "cpu")]
    assert [judgement.path for judgement in judged] == places
    assert [judgement.status for judgement in judged] == ["scored", "failed", "failed"]
    assert judged[0].outcome == detector.score(places[0], "cpu").outcome
    assert judged[1].reason == "unreadable: there is no such file or folder"
    limits = InputLimits(max_duration_s=0.5)
    (refused,) = examine_files(detector, expand_inputs(places[:1]), (), "cpu", limits)
    assert refused.judgement.reason.startswith("refused: a video of 1 s")


def test_all_formats_hold_the_same_rows(detector: Detector, folder: Path) -> None:
    places = [str(folder / "clips" / "a.mp4"), "missing.mp4"]
    judged = [examined.judgement for examined in examine_files(detector, expand_inputs(places), (), "cpu")]
    table = table_of(judged)
    assert table.schema == SCHEMA
    assert tuple(table.column_names) == COLUMNS
    rows = table.to_pylist()
    assert json.loads(encode(judged, "json")) == rows
    assert pq.read_table(io.BytesIO(encode(judged, "parquet"))).to_pylist() == rows
    read = pyarrow.csv.read_csv(io.BytesIO(encode(judged, "csv"))).to_pylist()
    assert [row["score"] for row in read] == [row["score"] for row in rows]
    assert [row["reason"] for row in read] == [row["reason"] for row in rows]


def test_references_are_a_file_or_all_footage_below_a_folder(folder: Path) -> None:
    clips = folder / "clips"
    assert reference_files(str(clips / "a.mp4")) == [clips / "a.mp4"]
    assert [path.name for path in reference_files(str(clips))] == ["a.mp4", "b.MP4", "photo.jpg"]
    (folder / "empty").mkdir()
    for place, said in (("nowhere", "no such file"), (str(folder / "empty"), "no video and no photo")):
        with pytest.raises(DataError, match=said):
            reference_files(place)


def test_a_detector_is_found_by_folder_or_mlflow_model_and_its_absence_says_how_to_make_one(
    detector: Detector, tmp_path: Path
) -> None:
    from data_catalog.home import Home

    home = Home(tmp_path / "home")
    stored = saved_detector(detector, tmp_path)
    assert find_detector(str(stored), home) == stored
    assert find_detector(stored.as_uri(), home) == stored
    with pytest.raises(ArtefactError, match=r"no trained model .* difffake demo .* --model"):
        find_detector(None, home)
    with pytest.raises(ArtefactError, match="it is not there"):
        find_detector(str(tmp_path / "nothing"), home)
    assert not home.root.exists()

    model = tmp_path / "model"
    (model / "artifacts").mkdir(parents=True)
    stored.rename(model / "artifacts" / "abc")
    flavor = "flavors: {python_function: {artifacts: {detector: {path: %s}}}}"
    (model / "MLmodel").write_text(flavor % "artifacts/abc")
    assert Detector.load(model).settings == detector.settings
    for path in ("../detector", "/etc"):
        (model / "MLmodel").write_text(flavor % path)
        with pytest.raises(ArtefactError, match="outside its folder"):
            Detector.load(model)
    (model / "MLmodel").write_text("flavors: {}")
    with pytest.raises(ArtefactError, match="no model of DiffFake"):
        Detector.load(model)
    with pytest.raises(ArtefactError, match=r"no installed package reads models from gopher:/ .*models"):
        Detector.load("gopher://difffake/1")


def test_names_need_not_be_utf_8_nor_hold_no_markup(detector: Detector, tmp_path: Path) -> None:
    clip = face_clip(tmp_path / "clip.mp4")
    odd = os.fsencode(tmp_path) + b"/caf\xe9.mp4"
    clip.rename(os.fsdecode(odd))
    for places in ([str(tmp_path)], [os.fsdecode(odd)]):
        judged = [examined.judgement for examined in examine_files(detector, expand_inputs(places), (), "cpu")]
        assert [judgement.status for judgement in judged] == ["scored"]
        assert judged[0].path.endswith("caf\\xe9.mp4")
        for form in ("json", "csv", "parquet"):
            assert encode(judged, form)


def test_buckets_are_read_by_folder_and_by_pattern(monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server() as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        store = fsspec.filesystem("s3", skip_instance_cache=True)
        for key in ("clips/a.mp4", "clips/b.mov", "clips/deep/c.mp4", "notes.txt"):
            store.pipe_file(f"{BUCKET}/{key}", b"x")
        root = f"s3://{BUCKET}"
        assert [entry.uri for entry in expand_inputs([f"{root}/clips/*.mp4"])] == [f"{root}/clips/a.mp4"]
        assert names([f"{root}/clips/**/*.mp4"]) == ["a.mp4", "c.mp4"]
        assert names([f"{root}/clips"]) == ["a.mp4", "b.mov", "c.mp4"]
        (none,) = expand_inputs([f"{root}/clips/*.avi"])
        assert none.reason == "no file matches this pattern"
        with pytest.raises(DataError, match="must lie on this machine"):
            reference_files(f"{root}/clips")
