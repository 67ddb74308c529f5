"""Density and calibration: embedded pairs of real videos in, a detector out."""

from dataclasses import asdict, replace
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data_catalog.faces import read_embeddings
from data_catalog.fingerprints import DIGEST_HEX_LENGTH, fingerprint
from data_catalog.schemas import TableName
from difffake import detector as detector_module
from difffake.backbone.checkpoints import load_weights
from difffake.detector import DENSITY, Detector, Settings, VideoScore, differences, most_anomalous
from difffake.differential import calibration, combination, density
from difffake.differential.calibration import fit_calibration
from difffake.differential.density import build_density, load_density
from difffake.evaluation.figures import calibration_figure
from difffake.faces.finder import build_face_finder
from tasks.backbone import weights_path
from tasks.experiment import Experiment, StageRecord, made, of_role, reused, stage_task
from tasks.pairs import read_pairs

DENSITY_STAGE = "density"
DETECTOR_STAGE = "calibration"
CALIBRATION_FIGURE = "calibration.png"


@stage_task(DENSITY_STAGE)
def fit(experiment: Experiment, extraction: str, embeddings: StageRecord, pairs: StageRecord) -> StageRecord:
    """Fit the density on the pairs of the real training videos."""
    config = experiment.config
    selected = of_role(read_pairs(experiment, pairs.fingerprint, extraction), "density")
    inputs = {"embeddings": embeddings.digest, "pairs": pairs.digest, "seed": config.seed}
    name = fingerprint(DENSITY_STAGE, (density.STAGE_VERSION, combination.STAGE_VERSION), config.density, inputs)
    store = experiment.home.artefacts
    found = store.find(DENSITY_STAGE, name)
    if found is not None and DENSITY_STAGE not in experiment.force:
        return reused(DENSITY_STAGE, name, found, _density_summary(found.facts))
    model = build_density(config.density, config.seed).fit(_differences(experiment, embeddings.fingerprint, selected))
    facts = asdict(model.facts_)
    with store.staging(DENSITY_STAGE, name) as folder:
        model.save(folder / DENSITY)
        artefact = store.publish(folder, DENSITY_STAGE, name, facts, model.digest()[:DIGEST_HEX_LENGTH])
    return made(DENSITY_STAGE, name, artefact, _density_summary(facts))


@stage_task(DETECTOR_STAGE)
def calibrate(
    experiment: Experiment,
    extraction: str,
    backbone: StageRecord,
    embeddings: StageRecord,
    pairs: StageRecord,
    fitted: StageRecord,
) -> StageRecord:
    """Score the held-out real videos and put the detector together."""
    config = experiment.config
    selected = of_role(read_pairs(experiment, pairs.fingerprint, extraction), "calibration")
    settings = Settings(
        faces=config.faces,
        pairs=config.pairs,
        combination=config.density.combination,
        l2_normalise=config.density.l2_normalise,
        seed=config.seed,
        extraction=extraction,
        face_models=build_face_finder(config.faces).fingerprint_parts(),
    )
    inputs = {
        "backbone": backbone.digest,
        "density": fitted.digest,
        "embeddings": embeddings.digest,
        "pairs": pairs.digest,
        "settings": settings.model_dump(mode="json", exclude={"faces"}),
    }
    versions = (calibration.STAGE_VERSION, detector_module.STAGE_VERSION)
    name = fingerprint(DETECTOR_STAGE, versions, config.calibration, inputs)
    store = experiment.home.artefacts
    found = store.find(DETECTOR_STAGE, name)
    if found is not None and DETECTOR_STAGE not in experiment.force:
        return reused(DETECTOR_STAGE, name, found, _calibration_summary(found.facts))

    weights = weights_path(experiment, backbone)
    density_file = store.folder(DENSITY_STAGE, fitted.fingerprint) / DENSITY
    uncalibrated = Detector(settings, load_weights(weights), load_density(density_file), None)
    faces = of_role(experiment.usable_faces(extraction), "calibration")
    outcomes = score_videos(experiment, uncalibrated, embeddings.fingerprint, faces, selected)
    scores = {video_key: outcome.score for video_key, outcome in outcomes.items() if outcome.score is not None}
    fitted_calibration = fit_calibration(scores.values(), config.calibration.false_positive_rate)
    provenance = _provenance(experiment, inputs)
    people = _identities(experiment, scores)
    facts = {
        "videos": len(scores),
        "identities": people,
        "threshold": fitted_calibration.threshold,
        "stated_false_positive_rate": fitted_calibration.stated_false_positive_rate,
        "warning": fitted_calibration.warning,
        "dependence": (
            f"the {len(scores)} calibration videos show {people} people: videos of one person are alike, so the "
            "false-positive rate on other people may be higher than stated"
        )
        if people < len(scores)
        else None,
    }
    with store.staging(DETECTOR_STAGE, name) as folder:
        Detector(settings, uncalibrated.backbone, uncalibrated.density, fitted_calibration, provenance).save(
            folder, weights, density_file
        )
        calibration_figure(fitted_calibration, []).savefig(folder / CALIBRATION_FIGURE, dpi=150)
        content = fingerprint(DETECTOR_STAGE, versions, None, inputs | {"calibration": fitted_calibration.to_json()})
        artefact = store.publish(folder, DETECTOR_STAGE, name, facts, content)
    return made(DETECTOR_STAGE, name, artefact, _calibration_summary(facts))


def score_videos(
    experiment: Experiment, detector: Detector, backbone: str, faces: pa.Table, pairs: pa.Table
) -> dict[str, VideoScore]:
    """What the detector says of the videos whose usable faces are given, from stored embeddings and pairs."""
    face_ids = group(faces, "face_id")
    drawn = group(pairs, "base_id", "partner_id")
    embedded = read_embeddings(experiment.lake, backbone, faces["video_sha256"].to_pylist())
    people: dict[str, list[VideoScore]] = {}
    for (video_key, track_id), names in face_ids.items():
        rows = embedded.of([name for (name,) in names])
        score = detector.score_faces(
            rows.face_ids.tolist(), rows.features, rows.fake_probability, drawn.get((video_key, track_id), [])
        )
        people.setdefault(video_key, []).append(replace(score, track_id=track_id))
    return {video_key: most_anomalous(scores) for video_key, scores in people.items()}


def group(rows: pa.Table, *columns: str) -> dict[tuple[str, int], list[tuple[str, ...]]]:
    """The values of some columns, by video and person, in the order of both."""
    grouped: dict[tuple[str, int], list[tuple[str, ...]]] = {}
    for row in rows.select(["video_key", "track_id", *columns]).to_pylist():
        grouped.setdefault((row["video_key"], row["track_id"]), []).append(tuple(row[column] for column in columns))
    return dict(sorted(grouped.items()))


def _differences(experiment: Experiment, backbone: str, pairs: pa.Table) -> npt.NDArray[np.float64]:
    config = experiment.config.density
    drawn = group(pairs, "base_id", "partner_id")
    embedded = read_embeddings(experiment.lake, backbone, pairs["video_sha256"].to_pylist())
    vectors = []
    for selected in drawn.values():
        rows = embedded.of({name for pair in selected for name in pair})
        vectors.append(
            differences(rows.face_ids.tolist(), rows.features, selected, config.combination, config.l2_normalise)
        )
    return np.concatenate(vectors)


def _identities(experiment: Experiment, video_keys: dict[str, float]) -> int:
    rows = experiment.lake.read(TableName.VIDEOS, ["identity"], {"video_key": list(video_keys)})
    return len(set(rows["identity"].to_pylist()))


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


def _density_summary(facts: dict[str, Any]) -> str:
    size = f"{facts['vectors']} pairs × {facts['dimensions']}"
    if "iterations" not in facts:
        return size
    state = "converged" if facts["converged"] else "not converged"
    return f"{size}, {state} after {facts['iterations']} iterations"


def _calibration_summary(facts: dict[str, Any]) -> str:
    text = (
        f"{facts['videos']} real videos of {facts['identities']} people, "
        f"false-positive rate {facts['stated_false_positive_rate']:.0%}"
    )
    return f"{text}. {facts['warning']}" if facts["warning"] else text
