"""Robustness: a detector and the test videos in, perturbed and scored again; AUC over severity out."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from data_catalog.artefacts import Artefact
from data_catalog.fingerprints import fingerprint
from data_catalog.schemas import TableName
from difffake import detector as detector_module
from difffake.backbone.device import resolve_device
from difffake.config import ExperimentConfig, RobustnessConfig
from difffake.detector import Detector
from difffake.evaluation.plot_style import png
from difffake.evaluation.results import VideoResult
from difffake.evaluation.robustness import CLEAN, STAGE_VERSION, Resampling, evaluate_robustness
from difffake.evaluation.robustness_figure import robustness_figure
from difffake.faces.finder import build_face_finder
from difffake.perturbations.perturbation import H264_CRF, Perturbation
from difffake.randomness import derive_seed
from difffake.scores import VideoScore
from tasks.calibration import STAGE as DETECTOR_STAGE
from tasks.evaluation_files import write_table
from tasks.experiment import Experiment, StageRecord, made, progress, reused, stage_task
from tasks.faces import PendingVideo, extraction_fingerprint
from tasks.judged_videos import by_weight, judged_videos, result_of
from tasks.perturbed_faces import perturbed_faces

STAGE = "robustness"
CONDITION_STAGE = "robustness_scores"
TABLE = "robustness.csv"
FIGURE = "robustness.png"
SCORES_FILE = "scores.json"

Row = Mapping[str, Any]


@stage_task(STAGE)
def measure_robustness(
    experiment: Experiment, extraction: str, detector: StageRecord, evaluated: StageRecord
) -> StageRecord:
    """Score the test videos under every condition and compare with the clean ones."""
    config, store = experiment.config, experiment.home.artefacts
    judged, learnt_from = judged_videos(experiment, extraction)
    videos = choose_videos(list(judged.values()), config.robustness.videos_per_label, config.seed)
    names = _condition_names(config, detector, videos)
    inputs = {
        "conditions": [[condition.name, condition.level, name] for condition, name in names.items()],
        "clean": evaluated.fingerprint,
        "intervals": [config.evaluation.bootstrap_resamples, config.evaluation.confidence],
        "seed": config.seed,
    }
    name = fingerprint(STAGE, STAGE_VERSION, config.robustness, inputs)
    found = store.find(STAGE, name)
    if found is not None and STAGE not in experiment.force:
        return reused(STAGE, name, found, _summary(found.facts))

    artefacts = _score_conditions(experiment, extraction, detector, names, videos)
    clean = _clean_results(experiment, detector.digest, videos)
    perturbed = {condition: _stored_results(artefact, videos) for condition, artefact in artefacts.items()}
    resampling = Resampling(config.evaluation.bootstrap_resamples, config.evaluation.confidence, config.seed)
    table = evaluate_robustness(clean, perturbed, by_weight(config.calibration.verdict), learnt_from, resampling)
    facts = {"rows": [row.to_dict() for row in table], "videos": len(videos), "conditions": len(names)}
    with store.staging(STAGE, name) as folder:
        write_table(table, folder / TABLE)
        for number, domain in enumerate(dict.fromkeys(row.domain for row in table)):
            figure = robustness_figure([row for row in table if row.domain == domain], config.evaluation.confidence)
            place = folder / (FIGURE if number == 0 else f"robustness_{domain.replace('/', '_')}.png")
            place.write_bytes(png(figure))
        artefact = store.publish(folder, STAGE, name, facts)
    return made(STAGE, name, artefact, _summary(facts))


def conditions_of(config: RobustnessConfig, seed: int) -> list[Perturbation]:
    """Every perturbation at every severity, then the rate factors."""
    severities = [
        Perturbation(name, severity, seed) for name in config.perturbations for severity in sorted(config.severities)
    ]
    return severities + [Perturbation(H264_CRF, crf, seed) for crf in sorted(config.crf)]


def choose_videos(videos: Sequence[Row], most_per_label: int | None, seed: int) -> list[Row]:
    """All videos, or at most so many reals and so many fakes of each dataset and quality; the order stays.

    Drawn by name: the videos of a smaller number are among those of a larger one.
    """
    ranked = sorted(videos, key=lambda row: (derive_seed(seed, STAGE, row["video_key"]), row["video_key"]))
    members: dict[tuple[Any, ...], list[str]] = {}
    for row in ranked:
        members.setdefault((row["dataset"], row["compression"], row["label"]), []).append(row["video_key"])
    chosen = {key for keys in members.values() for key in keys[:most_per_label]}
    return [row for row in videos if row["video_key"] in chosen]


def _condition_names(config: ExperimentConfig, detector: StageRecord, videos: Sequence[Row]) -> dict[Perturbation, str]:
    """The artefact of each condition: scores depend on the detector, on what is done, and on the contents."""
    finder = build_face_finder(config.faces)
    contents = sorted({row["sha256"] for row in videos})
    return {
        condition: fingerprint(
            CONDITION_STAGE,
            detector_module.STAGE_VERSION,
            None,
            {
                "detector": detector.digest,
                "extraction": extraction_fingerprint(config.faces, finder, condition),
                "contents": contents,
            },
        )
        for condition in conditions_of(config.robustness, config.seed)
    }


def _score_conditions(
    experiment: Experiment,
    extraction: str,
    detector: StageRecord,
    names: Mapping[Perturbation, str],
    videos: Sequence[Row],
) -> dict[Perturbation, Artefact]:
    """The scores of each condition, made where they are missing."""
    store = experiment.home.artefacts
    if STAGE in experiment.force:
        for name in names.values():
            store.remove(CONDITION_STAGE, name)
    # By name: two conditions that do the same are scored once.
    missing = {name: condition for condition, name in names.items() if store.find(CONDITION_STAGE, name) is None}
    if missing:
        _score_missing(experiment, extraction, detector, missing, videos)
    return {condition: store.require(CONDITION_STAGE, name) for condition, name in names.items()}


def _score_missing(
    experiment: Experiment,
    extraction: str,
    detector: StageRecord,
    missing: Mapping[str, Perturbation],
    videos: Sequence[Row],
) -> None:
    """Score one condition after the other; each is stored as soon as it is done."""
    config, store = experiment.config, experiment.home.artefacts
    contents = {row["sha256"]: _pending(row) for row in videos}
    loaded = Detector.load(store.require(DETECTOR_STAGE, detector.fingerprint).folder)
    device = resolve_device(config.backbone.device)
    workers = config.runner.workers or os.cpu_count() or 1
    with perturbed_faces(config.faces, extraction, workers) as faces, progress(STAGE, "perturbed videos") as report:
        for number, (name, condition) in enumerate(missing.items()):
            scores = {}
            for video, outcome in faces.extract(contents.values(), condition):
                scores[video.sha256] = vars(loaded.score_extraction(outcome, device))
                report(number * len(contents) + len(scores), len(missing) * len(contents))
            with store.staging(CONDITION_STAGE, name) as folder:
                (folder / SCORES_FILE).write_text(json.dumps(scores, allow_nan=False), encoding="utf-8")
                store.publish(folder, CONDITION_STAGE, name, {"name": condition.name, "level": condition.level})


def _pending(row: Row) -> PendingVideo:
    return PendingVideo(
        row["video_key"], row["sha256"], row["uri"], row["size_bytes"], row["modified_ns"], row["media"]
    )


def _clean_results(experiment: Experiment, detector: str, videos: Sequence[Row]) -> list[VideoResult]:
    columns = ["video_key", *(field.name for field in fields(VideoScore))]
    rows = experiment.lake.read(TableName.SCORES, columns, {"detector": [detector]}).to_pylist()
    scores = {row.pop("video_key"): row for row in rows}
    return [result_of(row, VideoScore(**scores[row["video_key"]]), {}) for row in videos]


def _stored_results(artefact: Artefact, videos: Sequence[Row]) -> list[VideoResult]:
    scores = json.loads(artefact.path(SCORES_FILE).read_text(encoding="utf-8"))
    return [result_of(row, VideoScore(**scores[row["sha256"]]), {}) for row in videos]


def _summary(facts: Mapping[str, Any]) -> str:
    size = f"{facts['conditions']} conditions of {facts['videos']} test videos"
    first = facts["rows"][0]
    headline = [row for row in facts["rows"] if (row["domain"], row["score"]) == (first["domain"], first["score"])]
    perturbed = [row for row in headline if row["perturbation"] != CLEAN and row["auc"] is not None]
    if first["auc"] is None or not perturbed:
        return f"{size}; too few were scored for an AUC"
    worst = min(perturbed, key=lambda row: float(row["auc"]))
    lowest = f"lowest {worst['auc']:.3f} ({worst['perturbation']} {worst['level']})"
    return f"{size}; {first['domain']}: AUC {first['auc']:.3f} clean, {lowest}"
