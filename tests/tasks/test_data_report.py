"""The data report: a page that needs nothing beside it, one MLflow run a refresh, none for a refresh without news."""

import base64
import re
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from data_catalog import home
from data_catalog.home import Home
from data_catalog.schemas import TableName
from difffake.config import DatasetSpec, ExperimentConfig
from difffake.errors import ArtefactError, ServiceError
from tasks import data_report, services, tracking
from tasks.data_report import BuiltReport, build_report
from tasks.experiment import Experiment, StageRecord
from tests.helpers.lake_rows import EXTRACTION, face, fill, outcome, scan, video
from tests.helpers.mlflow_database import give_database

NASTY = "<script>alert('x')</script>"
COUNTS = ("present", "added", "changed", "renamed", "relabelled", "growing", "removed", "unchanged", "without_split",
          "unplaced")  # fmt: skip


@pytest.fixture(scope="module")
def work_folder(tmp_path_factory: pytest.TempPathFactory, mlflow_database: Path) -> Home:
    """One for all tests, each of which has its own datasets."""
    made = Home(tmp_path_factory.mktemp("home"))
    made.create()
    give_database(made, mlflow_database)
    return made


def experiment_on(work_folder: Home, *names: str) -> Experiment:
    specs = tuple(DatasetSpec(name=name, adapter="folder", root="/videos") for name in names)
    return Experiment(ExperimentConfig(), work_folder, specs)


def records(reused: bool = False, digest: str = "d", **found: dict[str, int]) -> dict[str, StageRecord]:
    """What ingest and faces say, with the given counts of each dataset."""
    facts = {dataset: dict.fromkeys(COUNTS, 0) | counts for dataset, counts in found.items()}
    ingest = StageRecord(
        stage="ingest", fingerprint="", digest="", reused=reused, summary=f"{NASTY} scanned", facts=facts
    )
    faces = StageRecord(
        stage="faces", fingerprint=EXTRACTION, digest=digest, reused=reused, summary="faces found", facts={}
    )
    return {"ingest": ingest, "faces": faces}


def store(experiment: Experiment, dataset: str) -> None:
    """Five videos: two that are ok, of which one is fake, and one each that is unreadable, growing and removed."""
    lake = experiment.lake
    fake = {"label": "fake", "manipulation": f"swap {NASTY}", "compression": "c23", "split": "test"}
    videos = [
        video(f"{dataset}/real", f"{dataset}-real", split="train"),
        video(f"{dataset}/fake", f"{dataset}-fake", **fake),
        video(f"{dataset}/{NASTY}", f"{dataset}-broken"),
        video(f"{dataset}/growing", f"{dataset}-growing", state="growing"),
        video(f"{dataset}/gone", f"{dataset}-gone", state="removed"),
    ]
    outcomes = [
        outcome(f"{dataset}-real", faces_found=3),
        outcome(f"{dataset}-fake", faces_found=2),
        outcome(f"{dataset}-broken", "unreadable", frames_sampled=0, reason=f"broken {NASTY}"),
    ]
    changes = [
        {"change": "added", "video_key": f"{dataset}/{NASTY}", "detail": ""},
        {"change": "removed", "video_key": f"{dataset}/gone", "detail": f"{NASTY}"},
    ]
    unplaced = [{"file": f"{NASTY}.mp4", "reason": f"{NASTY} is in no list"}]
    fill(lake, TableName.VIDEOS, videos)
    fill(lake, TableName.EXTRACTION_LOG, outcomes)
    fill(lake, TableName.FACES, [face(f"{dataset}-real", number) for number in range(3)])
    fill(lake, TableName.FACES, [face(f"{dataset}-fake", number) for number in range(2)])
    last = scan(f"{dataset}-1", dataset, 1, present=4, added=1, removed=1, changes=changes, unplaced=unplaced)
    fill(lake, TableName.SCANS, [scan(f"{dataset}-0", dataset, 0, present=3, added=3), last])


def build(experiment: Experiment, said: dict[str, StageRecord], checks: tuple[str, ...] = ()) -> BuiltReport:
    return build_report(experiment, EXTRACTION, said, checks)


def runs_of(experiment: Experiment) -> list[Run]:
    """The MLflow runs of its datasets, newest first."""
    client = tracking.connect(experiment)
    found = client.get_experiment_by_name(data_report.MLFLOW_EXPERIMENT)
    wanted = f"tags.`{data_report.DATASETS_TAG}` = '{'+'.join(experiment.names)}'"
    order = ["attributes.start_time DESC"]
    return list(client.search_runs([found.experiment_id], wanted, order_by=order)) if found else []


def page_of(built: BuiltReport) -> str:
    return built.report.html.read_text(encoding="utf-8")


def words(page: str) -> str:
    """What a reader sees, without the markup."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page.partition("<body>")[2]))


def test_the_page_stands_alone_and_says_what_there_is(work_folder: Home) -> None:
    experiment = experiment_on(work_folder, "one", "two")
    store(experiment, "one")
    store(experiment, "two")
    said = records(one={"present": 4, "added": 1, "removed": 1, "unplaced": 1}, two={"present": 4, "unchanged": 4})
    built = build(experiment, said)

    assert built.report.html == work_folder.reports / "data" / "one+two" / "report.html"
    assert {path.name for path in built.report.html.parent.iterdir()} == {
        "report.html", "status.png", "distributions.png", "faces.png",
    }  # fmt: skip
    page = page_of(built)
    sources = re.findall(r'src="([^"]*)"', page)
    for source, name in zip(sources, ("status.png", "distributions.png", "faces.png"), strict=True):
        png = base64.b64decode(source.removeprefix("data:image/png;base64,"))
        assert png == built.report.html.with_name(name).read_bytes()
    assert re.findall(r'href="([^"]*)"', page) == [built.report.mlflow_url]
    assert "<script" not in page

    shown = words(page)
    assert "6 videos present" in shown
    assert "10 faces" in shown
    assert "4 usable 66.7 % of the videos" in shown
    assert "4 without usable faces" in shown
    assert "The tables are sound." in shown
    # One of the two datasets has news; what the other's last scan found is older.
    assert "Videos that changed 2" in shown
    assert "Where nothing changed now: what a scan last found 2" in shown
    assert "unreadable not a single frame could be decoded 2 25.0 % 0" in shown
    assert "or there under another name; what is known of it is kept 2 0" in shown
    assert "one train 1 0 3 0" in shown
    assert "one test 0 1 0 2" in shown
    assert "Videos without usable faces 4" in shown
    assert "Files not placed 2" in shown
    assert EXTRACTION in shown
    assert str(experiment.lake.folder) in shown


def test_names_from_folders_are_never_markup(work_folder: Home) -> None:
    experiment = experiment_on(work_folder, "nasty")
    store(experiment, "nasty")
    built = build(experiment, records(nasty={"present": 4, "added": 1}), (f"finding on {NASTY}\n  and a second line",))
    page = page_of(built)
    assert "<script" not in page
    escaped = "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"
    for shown in (
        f"nasty/{escaped}", f"broken {escaped}", f"swap {escaped}", f"{escaped}.mp4", f"{escaped} is in no list",
        f"finding on {escaped}",
    ):  # fmt: skip
        assert shown in page
    assert "1 finding of the table checks" in words(page)
    assert "<script" not in built.summary
    assert "1 not as they must be" in built.summary


def test_a_refresh_is_one_mlflow_run_with_its_numbers_inputs_and_files(work_folder: Home) -> None:
    experiment = experiment_on(work_folder, "logged")
    store(experiment, "logged")
    build(experiment, records(logged={"present": 4, "added": 1, "renamed": 2, "growing": 1, "removed": 1}))

    (run,) = runs_of(experiment)
    assert run.info.status == "FINISHED"
    assert re.fullmatch(r"logged-\d{4}-\d\d-\d\d", run.info.run_name)
    assert run.data.tags[data_report.EXTRACTION_TAG] == EXTRACTION
    assert run.data.metrics == {
        "present": 4, "added": 1, "changed": 0, "renamed": 2, "relabelled": 0, "growing": 1, "removed": 1,
        "videos": 3, "faces": 5,
        "videos.ok": 2, "videos.unreadable": 1, "videos.growing": 1, "videos.removed": 1,
    }  # fmt: skip
    client: MlflowClient = tracking.connect(experiment)
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {"report.html", "figures"}
    assert {file.path for file in client.list_artifacts(run.info.run_id, "figures")} == {
        "figures/status.png", "figures/distributions.png", "figures/faces.png",
    }  # fmt: skip
    inputs = {item.dataset.name: item.dataset.digest for item in run.inputs.dataset_inputs}
    assert inputs == {
        "logged/videos": f"v{experiment.lake.version(TableName.VIDEOS)}",
        "logged/extraction_log": f"v{experiment.lake.version(TableName.EXTRACTION_LOG)}",
        "logged/faces": "d",
        "logged/scans": f"v{experiment.lake.version(TableName.SCANS)}",
    }


def test_without_news_the_report_is_reused_and_a_lost_page_written_again(work_folder: Home) -> None:
    experiment = experiment_on(work_folder, "quiet")
    store(experiment, "quiet")
    first = build(experiment, records(quiet={"present": 4, "added": 4}))
    written = first.report.html.stat().st_mtime_ns
    assert not first.is_reused

    again = build(experiment, records(reused=True, quiet={"present": 4, "unchanged": 4}))
    assert again.is_reused
    assert again.report == first.report
    assert again.report.html.stat().st_mtime_ns == written
    assert "Nothing changed" in again.summary

    first.report.html.unlink()
    restored = build(experiment, records(reused=True, quiet={"present": 4, "unchanged": 4}))
    assert restored.is_reused
    assert words(page_of(restored)).startswith(" Data report quiet")
    assert len(runs_of(experiment)) == 1


def test_news_make_a_new_run_and_the_page_says_by_how_much_it_differs(work_folder: Home) -> None:
    experiment = experiment_on(work_folder, "night")
    store(experiment, "night")
    build(experiment, records(night={"present": 4}))
    fill(experiment.lake, TableName.VIDEOS, [video("night/new", "night-new"), video("night/more", "night-new")])
    fill(experiment.lake, TableName.EXTRACTION_LOG, [outcome("night-new", faces_found=4)])
    fill(experiment.lake, TableName.FACES, [face("night-new", number) for number in range(4)])

    # Another run has extracted them: this refresh itself found nothing to do.
    built = build(experiment, records(reused=True, night={"present": 6, "unchanged": 6}))
    assert not built.is_reused
    shown = words(page_of(built))
    assert "5 +2 videos" in shown
    assert "13 +8 faces" in shown
    assert "differences are to the report of" in shown
    assert len(runs_of(experiment)) == 2

    # Videos were tried again, with the outcome they had.
    assert not build(experiment, records(night={"present": 6})).is_reused
    assert len(runs_of(experiment)) == 3


def test_a_report_that_failed_is_completed_by_the_next_refresh(work_folder: Home) -> None:
    experiment = experiment_on(work_folder, "cut")
    store(experiment, "cut")
    whole = [face("cut-fake", number) for number in range(2)]
    fill(experiment.lake, TableName.FACES, [row | {"crop_jpeg": b"no picture"} for row in whole])
    with pytest.raises(ArtefactError, match="is not a picture"):
        build(experiment, records(cut={"present": 4}))
    (failed,) = runs_of(experiment)
    assert failed.info.status == "FAILED"
    assert not (work_folder.reports / "data" / "cut").exists()

    fill(experiment.lake, TableName.FACES, whole)
    assert not build(experiment, records(reused=True, cut={"present": 4})).is_reused
    (completed,) = runs_of(experiment)
    assert completed.info.run_id == failed.info.run_id
    assert completed.info.status == "FINISHED"


def test_a_lake_without_a_video_is_reported_too(work_folder: Home) -> None:
    experiment = experiment_on(work_folder, "nothing")
    built = build(experiment, records(nothing={}))
    shown = words(page_of(built))
    assert "0 videos present" in shown
    assert "Every present video gave usable faces." in shown
    assert built.counts == []


def test_many_long_names_still_make_a_folder_of_their_own(work_folder: Home) -> None:
    names = [f"a_dataset_with_a_rather_long_name_{number}" for number in range(12)]
    folders = set()
    for chosen in (names, names[:11]):
        built = build(experiment_on(work_folder, *chosen), records(**{name: {} for name in chosen}))
        folders.add(built.report.html.parent)
    assert len(folders) == 2


def test_a_tracking_server_that_does_not_answer_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = f"http://127.0.0.1:{services.free_port()}"
    monkeypatch.setattr(home, "_NAMED_MLFLOW_URI", closed)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(ServiceError, match=f"{closed} cannot be used"):
        build(experiment_on(Home(tmp_path), "any"), records(any={}))
