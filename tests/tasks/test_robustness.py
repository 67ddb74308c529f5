"""The stage on real video with a real detector: what it stores, what it makes again, and what it leaves alone."""

import csv
import hashlib
import signal
import tempfile
from dataclasses import replace
from multiprocessing import active_children
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from data_catalog.home import Home
from data_catalog.schemas import TableName
from difffake.backbone.checkpoints import save_weights
from difffake.backbone.embedder import build_backbone
from difffake.config import (
    BackboneConfig,
    DatasetSpec,
    EvaluationConfig,
    ExperimentConfig,
    FacesConfig,
    PairsConfig,
    PerturbationName,
    RobustnessConfig,
    RunnerConfig,
    load_config,
    parse_config,
)
from difffake.detector import Detector, Settings
from difffake.differential.calibration import fit_calibration
from difffake.differential.combination import differences
from difffake.differential.density import GaussianMixtureDensity
from difffake.differential.pairs import draw_pairs
from difffake.errors import ConfigError, DataError
from difffake.faces.extraction import extract_faces
from difffake.faces.finder import build_face_finder
from difffake.perturbations.perturbation import Perturbation
from difffake.scores import VideoScore
from difffake.video import read_frames
from difffake.video_writing import write_video
from tasks.experiment import Experiment, StageRecord
from tasks.faces import PendingVideo, extraction_fingerprint
from tasks.perturbed_faces import PerturbedFaces, perturbed_faces
from tasks.robustness import CONDITION_STAGE, STAGE, TABLE, choose_videos, conditions_of, measure_robustness
from tests.helpers.lake_rows import fill, video
from tests.helpers.media import astronaut_rgb, carphone_path

FACES = FacesConfig(detector="blazeface", frames_per_video=6, crop_size_px=64)
EXTRACTION = extraction_fingerprint(FACES, build_face_finder(FACES))
CONFIG = ExperimentConfig(
    seed=3,
    faces=FACES,
    backbone=BackboneConfig(device="cpu"),
    evaluation=EvaluationConfig(bootstrap_resamples=50),
    robustness=RobustnessConfig(perturbations=("gaussian_noise", "video_compression"), severities=(1,), crf=(30, 45)),
    runner=RunnerConfig(workers=2),
)
RECORD = StageRecord(stage="", fingerprint="detector", digest="digest", reused=False, summary="")
CPU = torch.device("cpu")


def tiny_detector() -> Detector:
    config = BackboneConfig(model="test_efficientnet", pretrained="none", input_size_px=64, device="cpu")
    backbone = build_backbone(config, seed=0)
    names = [f"face{number}" for number in range(20)]
    settings = Settings(
        faces=FACES,
        pairs=PairsConfig(),
        combination="squared",
        l2_normalise=True,
        seed=3,
        extraction=EXTRACTION,
        face_models=build_face_finder(FACES).fingerprint_parts(),
    )
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(20, backbone.embedding_dim)).astype(np.float32)
    vectors = differences(names, embeddings, draw_pairs(names, PairsConfig(), 0), "squared", True)
    density = GaussianMixtureDensity(components=1, covariance="diag", covariance_floor=1e-4).fit(vectors)
    return Detector(settings, backbone, density, None, {"differential": fit_calibration(range(20), 0.05)})


def clips(folder: Path) -> dict[str, Path]:
    """Two clips called real, two called fake, and one that shows nobody."""
    man = [frame.rgb for frame in read_frames(carphone_path(), range(40))]
    head = [np.ascontiguousarray(astronaut_rgb()[index : 256 + index, 90:346]) for index in range(20)]
    shown = {
        "real/man": man[:20],
        "real/head": head,
        "fake/man": [np.ascontiguousarray(rgb[:, ::-1]) for rgb in man[20:]],
        "fake/head": [np.ascontiguousarray(rgb[:, ::-1]) for rgb in head],
        "fake/nobody": [np.full((64, 64, 3), 90, np.uint8)] * 8,
    }
    paths = {}
    for name, frames in shown.items():
        paths[name] = folder / f"{name.replace('/', '_')}.mp4"
        write_video(paths[name], frames, fps=25, crf=12)
    return paths


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def detector() -> Detector:
    return tiny_detector()


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="module")
def clean(detector: Detector, paths: dict[str, Path]) -> dict[str, VideoScore]:
    return {name: detector.score(path, "cpu").outcome for name, path in paths.items()}


@pytest.fixture(scope="module")
def experiment(
    tmp_path_factory: pytest.TempPathFactory, detector: Detector, paths: dict[str, Path], clean: dict[str, VideoScore]
) -> Experiment:
    home = Home(tmp_path_factory.mktemp("home"), None)
    home.create()
    rows = []
    for name, path in paths.items():
        stat = path.stat()
        rows.append(
            video(
                f"ds/{name}",
                digest(path),
                label=name.partition("/")[0],
                split="test",
                identity=name,
                uri=path.as_uri(),
                size_bytes=stat.st_size,
                modified_ns=stat.st_mtime_ns,
            )
        )
    fill(home.lake, TableName.VIDEOS, rows)
    fill(
        home.lake,
        TableName.SCORES,
        [
            {"video_key": f"ds/{name}", "video_sha256": digest(paths[name]), "detector": "digest", **vars(score)}
            for name, score in clean.items()
        ],
    )
    with home.artefacts.staging("calibration", "detector") as folder:
        save_weights(detector.backbone, home.work / "weights")
        detector.density.save(home.work / "density")
        detector.save(folder, home.work / "weights", home.work / "density")
        home.artefacts.publish(folder, "calibration", "detector", {})
    spec = DatasetSpec(name="ds", adapter="folder", root=str(home.root), roles={"test": ("test",)})
    return Experiment(CONFIG, home, (spec,))


def measure(experiment: Experiment) -> StageRecord:
    return StageRecord.model_validate(measure_robustness.fn(experiment, EXTRACTION, RECORD, RECORD).data)


@pytest.fixture(scope="module")
def measured(experiment: Experiment) -> StageRecord:
    return measure(experiment)


def conditions(experiment: Experiment) -> dict[str, int]:
    """When each stored condition was written."""
    folder = experiment.home.root / "artefacts" / CONDITION_STAGE
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def rows_of(record: StageRecord) -> dict[tuple[str, int, str], dict[str, Any]]:
    return {(row["perturbation"], row["level"], row["score"]): row for row in record.facts["rows"]}


@pytest.mark.slow
def test_every_condition_has_a_row_a_score_and_the_clean_one_is_the_evaluations(
    measured: StageRecord, clean: dict[str, VideoScore]
) -> None:
    rows = rows_of(measured)
    levels = {("clean", 0), ("gaussian_noise", 1), ("video_compression", 1), ("h264_crf", 30), ("h264_crf", 45)}
    assert set(rows) == {
        (*level, score) for level in levels for score in ("differential", "fake_probability", "fusion")
    }
    reals = [clean[name].score for name in ("real/man", "real/head")]
    fakes = [clean[name].score for name in ("fake/man", "fake/head")]
    wins = [fake > real for fake in fakes for real in reals if fake is not None and real is not None]
    assert rows["clean", 0, "differential"]["auc"] == pytest.approx(np.mean(wins))
    assert rows["clean", 0, "differential"]["n_unscored"] == 1
    assert rows["gaussian_noise", 1, "differential"]["coverage_fake"] == pytest.approx(2 / 3)
    assert "4 conditions of 5 test videos" in measured.summary


@pytest.mark.slow
def test_scores_are_those_of_perturbed_frames_with_the_pairs_of_the_clean_ones(
    measured: StageRecord, detector: Detector, paths: dict[str, Path]
) -> None:
    finder = build_face_finder(FACES)
    wanted = {}
    for name in ("real/man", "real/head", "fake/man", "fake/head"):
        noise = Perturbation("gaussian_noise", 1, seed=3)
        outcome = extract_faces(paths[name], digest(paths[name]), EXTRACTION, FACES, finder, "video", noise)
        wanted[name] = detector.score_extraction(outcome, CPU).score
    wins = [wanted[fake] > wanted[real] for fake in ("fake/man", "fake/head") for real in ("real/man", "real/head")]
    assert rows_of(measured)["gaussian_noise", 1, "differential"]["auc"] == pytest.approx(np.mean(wins))


@pytest.mark.slow
def test_two_names_of_one_effect_are_scored_once(measured: StageRecord, experiment: Experiment) -> None:
    assert len(conditions(experiment)) == 3
    rows = rows_of(measured)
    severity, crf = rows["video_compression", 1, "fake_probability"], rows["h264_crf", 30, "fake_probability"]
    assert severity["auc"] == crf["auc"]
    assert severity["value"] == crf["value"] == 30


@pytest.mark.slow
def test_the_table_is_written_and_no_face_of_a_perturbed_video_is_stored(
    measured: StageRecord, experiment: Experiment
) -> None:
    path = experiment.home.artefacts.require(STAGE, measured.fingerprint).path(TABLE)
    with path.open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 5 * 3
    for table in (TableName.FACES, TableName.EXTRACTION_LOG, TableName.EMBEDDINGS):
        assert experiment.lake.count(table) == 0


@pytest.mark.slow
def test_again_does_nothing_and_what_is_lost_or_new_alone_is_made(
    measured: StageRecord, experiment: Experiment
) -> None:
    before = conditions(experiment)
    again = measure(experiment)
    assert again.reused
    assert again.facts == measured.facts
    assert conditions(experiment) == before

    lost = sorted(before)[0]
    experiment.home.artefacts.remove(CONDITION_STAGE, lost)
    wider = CONFIG.robustness.model_copy(update={"severities": (1, 2)})
    # The number of workers changes nothing.
    alone = CONFIG.model_copy(update={"runner": CONFIG.runner.model_copy(update={"workers": 1})})
    assert measure(replace(experiment, config=alone)).fingerprint == measured.fingerprint
    third = measure(replace(experiment, config=alone.model_copy(update={"robustness": wider})))
    assert not third.reused
    assert third.fingerprint != measured.fingerprint
    rows = rows_of(third)
    assert {key: rows[key] for key in rows_of(measured)} == rows_of(measured)
    after = conditions(experiment)
    assert {name for name in before if before[name] != after[name]} == {lost}
    assert len(after) == len(before) + 2


def pending(path: Path, name: str, **changes: Any) -> PendingVideo:
    stat = path.stat()
    return replace(PendingVideo(name, name, path.as_uri(), stat.st_size, stat.st_mtime_ns, "video"), **changes)


@pytest.mark.slow
def test_workers_and_their_files_end_with_the_block_when_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    frames = [np.random.default_rng(0).integers(0, 256, (360, 640, 3), dtype=np.uint8)] * 400
    write_video(tmp_path / "long.mp4", frames, fps=25, crf=30)
    gone, long = pending(carphone_path(), "gone", size_bytes=1), pending(tmp_path / "long.mp4", "long")
    before, workers = set(active_children()), []

    def ask(faces: PerturbedFaces) -> None:
        outcomes = faces.extract([pending(carphone_path(), "short"), gone, long, long], Perturbation("h264_crf", 20))
        assert next(outcomes)[1].status == "ok"
        workers.extend(set(active_children()) - before)
        next(outcomes)

    with pytest.raises(DataError, match="gone changed or went away"), perturbed_faces(FACES, EXTRACTION, 2) as asked:
        ask(asked)
    assert [worker.exitcode for worker in workers] == [-signal.SIGTERM] * 2
    assert not list(scratch.iterdir())


def test_conditions_come_by_perturbation_then_severity() -> None:
    config = RobustnessConfig(perturbations=("pixelation", "block_wise"), severities=(5, 1), crf=(40, 23))
    assert [(condition.name, condition.level) for condition in conditions_of(config, 7)] == [
        ("pixelation", 1), ("pixelation", 5), ("block_wise", 1), ("block_wise", 5), ("h264_crf", 23), ("h264_crf", 40),
    ]  # fmt: skip
    assert {condition.seed for condition in conditions_of(config, 7)} == {7}
    assert not RobustnessConfig().is_wanted


def test_the_protocol_is_seven_perturbations_at_five_severities_and_six_rate_factors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FACEFORENSICS_ROOT", "/data")
    config = load_config(Path(__file__).parents[2] / "configs/protocols/robustness.yaml")
    conditions = conditions_of(config.robustness, config.seed)
    assert {condition.name for condition in conditions} == {*get_args(PerturbationName), "h264_crf"}
    assert len(set(conditions)) == 7 * 5 + 6


def test_chosen_videos_grow_with_the_number_and_hold_both_labels_of_every_dataset() -> None:
    videos = [
        {"video_key": f"{dataset}/{label}/{number}", "dataset": dataset, "compression": None, "label": label}
        for dataset in ("b", "a")
        for label in ("real", "fake")
        for number in range(9)
    ]
    few, more = (choose_videos(videos, count, seed=1) for count in (2, 5))
    for dataset in ("a", "b"):
        assert sorted(row["label"] for row in few if row["dataset"] == dataset) == ["fake", "fake", "real", "real"]
    assert len(more) == 20
    keys, more_keys = ([row["video_key"] for row in chosen] for chosen in (few, more))
    assert set(keys) < set(more_keys)
    assert choose_videos(videos, None, seed=1) == videos
    assert {row["video_key"] for row in choose_videos(videos[::-1], 2, seed=1)} == set(keys)
    assert {row["video_key"] for row in choose_videos(videos, 2, seed=2)} != set(keys)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("perturbations", ["glitter"], "glitter"),
        ("perturbations", ["pixelation", "pixelation"], "named twice"),
        ("severities", [0], "greater than or equal to 1"),
        ("crf", [52], "less than or equal to 51"),
        ("videos_per_label", 0, "greater than or equal to 1"),
    ],
)
def test_faulty_settings_are_named(key: str, value: object, told: str) -> None:

    with pytest.raises(ConfigError, match=told):
        parse_config({"robustness": {key: value}}, "a file")
