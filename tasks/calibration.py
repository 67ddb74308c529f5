"""Calibration: held-out real videos in, a whole detector out."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from data_catalog.fingerprints import fingerprint
from data_catalog.schemas import TableName
from difffake import detector as detector_module
from difffake.backbone.checkpoints import load_weights
from difffake.config import ScoreName
from difffake.detector import DENSITY, Detector
from difffake.differential import calibration
from difffake.differential import conditions as conditions_module
from difffake.differential.calibration import Calibration, fit_calibration
from difffake.differential.conditions import ConditionName, Conditions, measure_faces, measure_video
from difffake.errors import CalibrationError
from difffake.evaluation.figures import calibration_figure
from difffake.evaluation.plot_style import png
from difffake.scores import SCORE_NAMES, VideoScore
from tasks.backbone import weights_path
from tasks.density import STAGE as DENSITY_STAGE
from tasks.density import load_densities
from tasks.experiment import Experiment, StageRecord, made, of_role, reused, stage_task
from tasks.fusion import load_fusion
from tasks.pairs import digest_of_judged, pairs_of_roles
from tasks.scoring import detector_settings, score_videos

STAGE = "calibration"
FIGURE = "calibration.png"


@stage_task(STAGE)
def calibrate(
    experiment: Experiment,
    extraction: str,
    backbone: StageRecord,
    embeddings: StageRecord,
    pairs: StageRecord,
    fitted: StageRecord,
    fused: StageRecord,
) -> StageRecord:
    """Score the held-out real videos and put the detector together."""
    config = experiment.config
    settings = detector_settings(experiment, extraction, config.calibration.verdict)
    faces = of_role(experiment.usable_faces(extraction), "calibration")
    selected = pairs_of_roles(experiment, pairs, extraction, ("calibration",))
    inputs = {
        "backbone": backbone.digest,
        "density": fitted.digest,
        "fusion": fused.digest,
        "calibrated_on": digest_of_judged(experiment, faces, selected),
        "settings": settings.model_dump(mode="json", exclude={"faces"}),
    }
    versions = (calibration.STAGE_VERSION, conditions_module.STAGE_VERSION, detector_module.STAGE_VERSION)
    name = fingerprint(STAGE, versions, config.calibration, inputs)
    store = experiment.home.artefacts
    found = store.find(STAGE, name)
    if found is not None and STAGE not in experiment.force:
        return reused(STAGE, name, found, _summary(found.facts))

    weights = weights_path(experiment, backbone)
    network, densities = load_weights(weights), load_densities(experiment, fitted)
    fusion = load_fusion(experiment, fused)
    outcomes: dict[str, VideoScore] = {}
    for density, some in densities.split(faces):
        uncalibrated = Detector(settings, network, density, fusion)
        outcomes |= score_videos(experiment, uncalibrated, embeddings.fingerprint, some, selected)
    calibrations = _calibrations(outcomes, settings.verdict, config.calibration.false_positive_rate)
    provenance = _provenance(experiment, inputs)
    conditions = _conditions(
        experiment, extraction, [key for key, outcome in outcomes.items() if outcome.score is not None]
    )
    detector = Detector(settings, network, densities.density, fusion, calibrations, provenance, conditions)
    facts = _facts(experiment, outcomes, calibrations[settings.verdict])
    with store.staging(STAGE, name) as folder:
        detector.save(folder, weights, store.require(DENSITY_STAGE, fitted.fingerprint).path(DENSITY))
        (folder / FIGURE).write_bytes(png(calibration_figure(calibrations[settings.verdict], [])))
        scores = {score_name: made_of.to_json() for score_name, made_of in calibrations.items()}
        content = fingerprint(
            STAGE, versions, None, inputs | {"calibration": scores, "conditions": conditions.to_json()}
        )
        artefact = store.publish(folder, STAGE, name, facts, content)
    return made(STAGE, name, artefact, _summary(facts))


def _calibrations(
    outcomes: Mapping[str, VideoScore], verdict: ScoreName, false_positive_rate: float
) -> dict[ScoreName, Calibration]:
    """One for each score the videos have.

    Raises:
        CalibrationError: no video has the score that decides.
    """
    calibrations: dict[ScoreName, Calibration] = {}
    for name in SCORE_NAMES:
        scores = [value for outcome in outcomes.values() if (value := outcome.value_of(name)) is not None]
        if scores:
            calibrations[name] = fit_calibration(scores, false_positive_rate)
    if verdict not in calibrations:
        raise CalibrationError(
            f"none of the {len(outcomes)} calibration videos has the score {verdict!r}, which is to decide: set "
            f"calibration.verdict to one of {', '.join(calibrations) or 'no score at all: see the outcomes above'}"
        )
    return calibrations


def _conditions(experiment: Experiment, extraction: str, video_keys: list[str]) -> Conditions:
    """Under which the calibration videos were recorded, by their main persons' faces and their files."""
    columns = ["video_key", "sha256", "width_px", "height_px", "frames", "fps", "size_bytes", "media"]
    videos = experiment.lake.read(TableName.VIDEOS, columns, {"video_key": video_keys}).to_pylist()
    where = {"video_sha256": sorted({video["sha256"] for video in videos}), "extraction": [extraction], "track_id": [0]}
    faces: dict[str, list[tuple[float, float]]] = {}
    for face in experiment.lake.read(TableName.FACES, ["video_sha256", "bbox_xyxy_px", "sharpness"], where).to_pylist():
        left, top, right, bottom = face["bbox_xyxy_px"]
        faces.setdefault(face["video_sha256"], []).append(((right - left + bottom - top) / 2, face["sharpness"]))
    return Conditions.of(_recorded(video, faces[video["sha256"]]) for video in videos)


def _recorded(video: dict[str, Any], faces: list[tuple[float, float]]) -> dict[ConditionName, float]:
    sides_px, sharpness = zip(*faces, strict=True)
    values = measure_faces(sides_px, sharpness)
    if video["media"] == "video" and video["frames"]:
        values |= measure_video(
            video["width_px"], video["height_px"], video["frames"], video["fps"], video["size_bytes"]
        )
    return values


def _facts(experiment: Experiment, outcomes: Mapping[str, VideoScore], fitted: Calibration) -> dict[str, Any]:
    scored = [video_key for video_key, outcome in outcomes.items() if outcome.score is not None]
    rows = experiment.lake.read(TableName.VIDEOS, ["identity"], {"video_key": scored})
    people = len(set(rows["identity"].to_pylist()))
    return {
        "videos": len(scored),
        "identities": people,
        "threshold": fitted.threshold,
        "stated_false_positive_rate": fitted.stated_false_positive_rate,
        "warning": fitted.warning,
        "dependence": (
            f"the {len(scored)} calibration videos show {people} people: videos of one person are alike, so the "
            "false-positive rate on other people may be higher than stated"
        )
        if people < len(scored)
        else None,
    }


def _provenance(experiment: Experiment, inputs: dict[str, Any]) -> dict[str, Any]:
    return {
        "config": experiment.config.model_dump(mode="json"),
        "datasets": experiment.names,
        "inputs": inputs,
        "difffake": version("difffake"),
        "scikit-learn": version("scikit-learn"),
        "torch": version("torch"),
        "timm": version("timm"),
    }


def _summary(facts: dict[str, Any]) -> str:
    text = (
        f"{facts['videos']} real videos of {facts['identities']} people, "
        f"false-positive rate {facts['stated_false_positive_rate']:.0%}"
    )
    return f"{text}. {facts['warning']}" if facts["warning"] else text
