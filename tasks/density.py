"""Density and calibration: embedded pairs of real videos in, a detector out."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data_catalog.faces import read_embeddings
from data_catalog.fingerprints import digest_names, fingerprint
from difffake import detector as detector_module
from difffake.backbone.checkpoints import load_weights
from difffake.config import ScoreName
from difffake.detector import (
    DENSITY,
    FUSION,
    SCORE_NAMES,
    Detector,
    Examination,
    Settings,
    VideoScore,
    differences,
    most_anomalous,
)
from difffake.differential import calibration, combination, density
from difffake.differential.calibration import Calibration, fit_calibration
from difffake.differential.density import DensityModel, build_density, load_density
from difffake.differential.fusion import Fusion
from difffake.errors import DataError
from difffake.evaluation.figures import calibration_figure
from difffake.faces.finder import build_face_finder
from difffake.randomness import derive_seed
from tasks.backbone import weights_path
from tasks.experiment import Experiment, StageRecord, made, of_role, of_roles, reused, stage_task
from tasks.pairs import read_pairs

DENSITY_STAGE = "density"
FUSION_STAGE = "fusion"
DETECTOR_STAGE = "calibration"
CALIBRATION_FIGURE = "calibration.png"


@stage_task(DENSITY_STAGE)
def fit(experiment: Experiment, extraction: str, embeddings: StageRecord, pairs: StageRecord) -> StageRecord:
    """Fit the density on pairs of real videos, and once more without the people of each held-out fold."""
    config = experiment.config
    selected = of_roles(read_pairs(experiment, pairs.fingerprint, extraction), config.density.fit_on)
    folds = _held_out_folds(experiment, selected)
    inputs = {"embeddings": embeddings.digest, "pairs": pairs.digest, "seed": config.seed, "folds": folds}
    name = fingerprint(DENSITY_STAGE, (density.STAGE_VERSION, combination.STAGE_VERSION), config.density, inputs)
    store = experiment.home.artefacts
    found = store.find(DENSITY_STAGE, name)
    if found is not None and DENSITY_STAGE not in experiment.force:
        return reused(DENSITY_STAGE, name, found, _density_summary(found.facts))
    model = build_density(config.density, config.seed).fit(_differences(experiment, embeddings.fingerprint, selected))
    fold_of_video = _fold_of_video(experiment, folds)
    facts = asdict(model.facts_) | {"fold_of_video": fold_of_video}
    digests = [model.digest()]
    with store.staging(DENSITY_STAGE, name) as folder:
        model.save(folder / DENSITY)
        for fold in range(max(folds.values(), default=-1) + 1):
            others = _without_fold(selected, fold_of_video, fold)
            without = build_density(config.density, config.seed)
            without.fit(_differences(experiment, embeddings.fingerprint, others))
            without.save(folder / _fold_file(fold))
            digests.append(without.digest())
        artefact = store.publish(folder, DENSITY_STAGE, name, facts, digest_names(digests))
    return made(DENSITY_STAGE, name, artefact, _density_summary(facts))


@dataclass(frozen=True, eq=False)
class Densities:
    """The density of a detector, and those fitted without some of the people it learnt from."""

    density: DensityModel
    without: tuple[DensityModel, ...]
    fold_of_video: Mapping[str, int]

    def for_video(self, video_key: str) -> DensityModel:
        """The density that has not seen the people of a video."""
        fold = self.fold_of_video.get(video_key)
        return self.density if fold is None else self.without[fold]


def load_densities(experiment: Experiment, fitted: StageRecord) -> Densities:
    """What `fit` made."""
    artefact = experiment.home.artefacts.require(DENSITY_STAGE, fitted.fingerprint)
    fold_of_video = artefact.facts["fold_of_video"]
    folds = range(max(fold_of_video.values(), default=-1) + 1)
    without = tuple(load_density(artefact.path(_fold_file(fold))) for fold in folds)
    return Densities(load_density(artefact.path(DENSITY)), without, fold_of_video)


def _fold_file(fold: int) -> str:
    return f"without_fold_{fold}.skops"


def _held_out_folds(experiment: Experiment, selected: pa.Table) -> dict[str, int]:
    """The fold of each person the density learns from who also serves fusion or calibration.

    Raises:
        DataError: they are all there is, and one person only.
    """
    people = _people(experiment)
    learnt_from = {people[video_key] for video_key in selected["video_key"].to_pylist()}
    roles = experiment.roles()
    held_out = roles.filter(pa.compute.is_in(roles["role"], pa.array(["validation", "calibration"])))
    shared = learnt_from & set(held_out["identity"].to_pylist())
    if shared and len(learnt_from) < 2:
        raise DataError(
            f"the density learns from one person ({shared.pop()}), who also calibrates it: give density.fit_on roles "
            "with more people, or that person another role"
        )
    count = min(experiment.config.density.held_out_folds, len(shared))
    ranked = sorted(shared, key=lambda person: derive_seed(experiment.config.seed, "held out", person))
    return {person: number % count for number, person in enumerate(ranked)}


def _fold_of_video(experiment: Experiment, folds: Mapping[str, int]) -> dict[str, int]:
    return {video_key: folds[person] for video_key, person in _people(experiment).items() if person in folds}


def _people(experiment: Experiment) -> dict[str, str]:
    roles = experiment.roles()
    return dict(zip(roles["video_key"].to_pylist(), roles["identity"].to_pylist(), strict=True))


def _without_fold(pairs: pa.Table, fold_of_video: Mapping[str, int], fold: int) -> pa.Table:
    return pairs.filter(
        pa.array([fold_of_video.get(video_key) != fold for video_key in pairs["video_key"].to_pylist()])
    )


def detector_settings(experiment: Experiment, extraction: str, verdict: ScoreName) -> Settings:
    """How a detector of this experiment cuts, pairs, combines and decides."""
    config = experiment.config
    return Settings(
        faces=config.faces,
        pairs=config.pairs,
        combination=config.density.combination,
        l2_normalise=config.density.l2_normalise,
        verdict=verdict,
        seed=config.seed,
        extraction=extraction,
        face_models=build_face_finder(config.faces).fingerprint_parts(),
    )


@stage_task(DETECTOR_STAGE)
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
    selected = of_role(read_pairs(experiment, pairs.fingerprint, extraction), "calibration")
    settings = detector_settings(experiment, extraction, config.calibration.verdict)
    inputs = {
        "backbone": backbone.digest,
        "density": fitted.digest,
        "fusion": fused.digest,
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
    network, densities = load_weights(weights), load_densities(experiment, fitted)
    fusion = load_fusion(experiment, fused)
    faces = of_role(experiment.usable_faces(extraction), "calibration")
    outcomes: dict[str, VideoScore] = {}
    for density_model, some in _by_density(densities, faces):
        uncalibrated = Detector(settings, network, density_model, fusion)
        outcomes |= score_videos(experiment, uncalibrated, embeddings.fingerprint, some, selected)
    calibrations = _fit_calibrations(outcomes, config.calibration.false_positive_rate)
    detector = Detector(settings, network, densities.density, fusion, calibrations, _provenance(experiment, inputs))
    facts = _calibration_facts(experiment, outcomes, calibrations[settings.verdict])
    with store.staging(DETECTOR_STAGE, name) as folder:
        detector.save(folder, weights, store.folder(DENSITY_STAGE, fitted.fingerprint) / DENSITY)
        calibration_figure(calibrations[settings.verdict], []).savefig(folder / CALIBRATION_FIGURE, dpi=150)
        scores = {score_name: made.to_json() for score_name, made in calibrations.items()}
        content = fingerprint(DETECTOR_STAGE, versions, None, inputs | {"calibration": scores})
        artefact = store.publish(folder, DETECTOR_STAGE, name, facts, content)
    return made(DETECTOR_STAGE, name, artefact, _calibration_summary(facts))


def load_fusion(experiment: Experiment, fused: StageRecord) -> Fusion:
    """What the stage fusion made."""
    path = experiment.home.artefacts.require(FUSION_STAGE, fused.fingerprint).path(FUSION)
    return Fusion.from_json(path.read_text(encoding="utf-8"))


def _by_density(densities: Densities, faces: pa.Table) -> Iterator[tuple[DensityModel, pa.Table]]:
    """The faces, by the density that has not seen their people."""
    folds = [densities.fold_of_video.get(video_key, -1) for video_key in faces["video_key"].to_pylist()]
    for fold in sorted(set(folds)):
        some = faces.filter(pa.array([other == fold for other in folds]))
        yield densities.for_video(some["video_key"][0].as_py()), some


def _fit_calibrations(outcomes: Mapping[str, VideoScore], false_positive_rate: float) -> dict[ScoreName, Calibration]:
    calibrations: dict[ScoreName, Calibration] = {}
    for name in SCORE_NAMES:
        scores = [value for outcome in outcomes.values() if (value := outcome.value_of(name)) is not None]
        if scores:
            calibrations[name] = fit_calibration(scores, false_positive_rate)
    return calibrations


def _calibration_facts(
    experiment: Experiment, outcomes: Mapping[str, VideoScore], fitted: Calibration
) -> dict[str, Any]:
    scored = [video_key for video_key, outcome in outcomes.items() if outcome.score is not None]
    people = len({_people(experiment)[video_key] for video_key in scored})
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


def score_videos(
    experiment: Experiment, detector: Detector, backbone: str, faces: pa.Table, pairs: pa.Table
) -> dict[str, VideoScore]:
    """What the detector says of the videos whose usable faces are given, from stored embeddings and pairs."""
    examined = examine_videos(experiment, detector, backbone, faces, pairs)
    return {video_key: examination.score for video_key, examination in examined.items()}


def examine_videos(
    experiment: Experiment, detector: Detector, backbone: str, faces: pa.Table, pairs: pa.Table
) -> dict[str, Examination]:
    """As `score_videos`, with the pairs and faces of the person whose score is the video's."""
    face_ids = group(faces, "face_id")
    drawn = group(pairs, "base_id", "partner_id")
    embedded = read_embeddings(experiment.lake, backbone, faces["video_sha256"].to_pylist())
    people: dict[str, list[Examination]] = {}
    for (video_key, track_id), names in face_ids.items():
        rows = embedded.of([name for (name,) in names])
        examined = detector.examine_faces(
            rows.face_ids.tolist(), rows.features, rows.fake_probability, drawn.get((video_key, track_id), [])
        )
        examined = replace(examined, score=replace(examined.score, track_id=track_id))
        people.setdefault(video_key, []).append(examined)
    return {video_key: _most_anomalous(examined) for video_key, examined in people.items()}


def _most_anomalous(people: list[Examination]) -> Examination:
    score = most_anomalous([person.score for person in people])
    return replace(next(person for person in people if person.score.track_id == score.track_id), score=score)


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
