"""Density: embedded pairs, or faces, of real videos in, an anomaly model out."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_catalog.faces import EmbeddedFaces
from data_catalog.fingerprints import digest_names, fingerprint
from difffake.config import ExperimentConfig
from difffake.detector import DENSITY
from difffake.differential import combination, density
from difffake.differential.combination import differences
from difffake.differential.density import DensityModel, Vectors, fit_density, load_density
from difffake.errors import DataError
from difffake.pseudofakes import forged_video
from difffake.pseudofakes.recipe import STAGE_VERSION as PSEUDO_FAKES_VERSION
from difffake.randomness import derive_rng, derive_seed
from tasks.experiment import Experiment, StageRecord, made, of_roles, reused, stage_task
from tasks.forged_copies import copy_settings, embed_copies, pairs_of_copy, with_pairs
from tasks.pairs import digest_of_judged, pairs_of_roles
from tasks.vectors import VideoVectors, group, read_vectors

STAGE = "density"

logger = logging.getLogger("difffake.tasks.density")


@stage_task(STAGE)
def fit(
    experiment: Experiment, extraction: str, backbone: StageRecord, embeddings: StageRecord, pairs: StageRecord
) -> StageRecord:
    """Fit the density on real videos, and once more without the people of each held-out fold."""
    config = experiment.config
    roles = config.density.fit_on
    faces = of_roles(experiment.usable_faces(extraction), roles)
    folds = _held_out_folds(experiment, faces)
    everybody, drawn = faces, pairs_of_roles(experiment, pairs, extraction, roles)
    faces, selected = _at_most(experiment, faces, drawn)
    inputs = {
        "backbone": embeddings.fingerprint,
        "learnt_from": digest_of_judged(experiment, faces, selected),
        "seed": config.seed,
        "folds": folds,
    } | _forged_inputs(config)
    name = fingerprint(STAGE, (density.STAGE_VERSION, combination.STAGE_VERSION), config.density, inputs)
    store = experiment.home.artefacts
    found = store.find(STAGE, name)
    if found is not None and STAGE not in experiment.force:
        return reused(STAGE, name, found, _summary(config, found.facts))
    fold_of_video = _fold_of_video(experiment, folds)
    is_compared = config.density.against != "nothing"
    forged = _forged_vectors(experiment, backbone, everybody, drawn) if is_compared else None
    model = _fit(experiment, embeddings, faces, selected, forged)
    for warning in model.facts_.warnings:
        logger.warning("%-12s %s", STAGE, warning)
    without = [
        _fit(
            experiment,
            embeddings,
            *(_outside(fold_of_video, fold, rows) for rows in (faces, selected)),
            None if forged is None else forged.without(fold_of_video, fold),
        )
        for fold in range(_count(fold_of_video))
    ]
    facts = asdict(model.facts_) | {"fold_of_video": fold_of_video}
    with store.staging(STAGE, name) as folder:
        model.save(folder / DENSITY)
        for fold, other in enumerate(without):
            other.save(folder / _fold_file(fold))
        digest = digest_names(f"{number} {fitted.digest()}" for number, fitted in enumerate([model, *without]))
        artefact = store.publish(folder, STAGE, name, facts, digest)
    return made(STAGE, name, artefact, _summary(config, facts))


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

    def split(self, faces: pa.Table) -> Iterator[tuple[DensityModel, pa.Table]]:
        """The faces, by the density that has not seen their people."""
        folds = [self.fold_of_video.get(video_key, -1) for video_key in faces["video_key"].to_pylist()]
        for fold in sorted(set(folds)):
            some = faces.filter(pa.array([one == fold for one in folds]))
            yield (self.density if fold < 0 else self.without[fold]), some


def load_densities(experiment: Experiment, fitted: StageRecord) -> Densities:
    """What `fit` made."""
    artefact = experiment.home.artefacts.require(STAGE, fitted.fingerprint)
    fold_of_video = artefact.facts["fold_of_video"]
    without = tuple(load_density(artefact.path(_fold_file(fold))) for fold in range(_count(fold_of_video)))
    return Densities(load_density(artefact.path(DENSITY)), without, fold_of_video)


def _fit(
    experiment: Experiment, embeddings: StageRecord, faces: pa.Table, pairs: pa.Table, forged: VideoVectors | None
) -> DensityModel:
    config = experiment.config
    vectors = read_vectors(experiment, embeddings.fingerprint, faces, pairs)
    return fit_density(config.density, config.seed, vectors.values, None if forged is None else forged.values)


def _forged_inputs(config: ExperimentConfig) -> dict[str, Any]:
    """What a density hangs on beside real pairs, where it is compared with forged ones."""
    if config.density.against == "nothing":
        return {}
    return {
        "pseudo_fakes": config.pseudo_fakes.effective(),
        "copies": copy_settings(config),
        "versions": [forged_video.STAGE_VERSION, PSEUDO_FAKES_VERSION],
    }


def _forged_vectors(experiment: Experiment, backbone: StageRecord, faces: pa.Table, drawn: pa.Table) -> VideoVectors:
    """The vectors of pairs in forged copies of the videos; as many as the density may learn from."""
    config = experiment.config
    density = config.density
    compared: list[tuple[str, EmbeddedFaces, list[tuple[str, str]]]] = []
    # Role by role: those of validation are fusion's, too.
    for role in density.fit_on:
        some = with_pairs(faces.filter(pc.equal(faces["role"], role)), drawn.filter(pc.equal(drawn["role"], role)))
        frames = group(some, "face_id")
        copies = embed_copies(experiment, backbone, some, is_forced=STAGE in experiment.force)
        for (video_key, track_id), of_person in copies.items():
            own = [name for (name,) in frames[video_key, track_id]]
            compared += [(video_key, copy, pairs_of_copy(config, copy, own)) for copy in of_person]
    share = min(1.0, density.max_vectors / max(1, sum(len(pairs) for _, _, pairs in compared)))
    parts: list[Vectors] = []
    keys: list[str] = []
    for number, (video_key, copy, pairs) in enumerate(compared):
        # Each copy contributes its share.
        rng = derive_rng(config.seed, STAGE, "forged", video_key, number)
        chosen = np.sort(rng.permutation(len(pairs))[: round(share * len(pairs))])
        some_pairs = [pairs[row] for row in chosen.tolist()]
        if some_pairs:
            names = copy.face_ids.tolist()
            parts.append(differences(names, copy.features, some_pairs, density.combination, density.l2_normalise))
            keys += [video_key] * len(some_pairs)
    return VideoVectors(np.concatenate(parts) if parts else np.empty((0, 0)), np.array(keys, np.str_))


def _at_most(experiment: Experiment, faces: pa.Table, pairs: pa.Table) -> tuple[pa.Table, pa.Table]:
    """As many pairs, or faces where those are judged singly, as the density may learn from; drawn by their names."""
    config = experiment.config
    most = config.density.max_vectors
    if config.density.features == "embedding":
        return _drawn(faces, ("role", "face_id"), most, config.seed), pairs
    return faces, _drawn(pairs, ("base_id", "partner_id"), most, config.seed)


def _drawn(rows: pa.Table, names: tuple[str, str], most: int, seed: int) -> pa.Table:
    if rows.num_rows <= most:
        return rows
    logger.info("%-12s learns from %d of %d, density.max_vectors", STAGE, most, rows.num_rows)
    keys = zip(*(rows[name].to_pylist() for name in names), strict=True)
    ranks = np.array([derive_seed(seed, "density", *key) for key in keys])
    # A pair that is drawn stays drawn, unless others of lower rank come; in the order they were in.
    return rows.take(pa.array(np.sort(np.argsort(ranks, kind="stable")[:most])))


def _held_out_folds(experiment: Experiment, faces: pa.Table) -> dict[str, int]:
    """The fold of each person the density learns from who also serves fusion or calibration.

    Raises:
        DataError: there is nobody else to learn from.
    """
    people = _people(experiment)
    learnt_from = {people[video_key] for video_key in faces["video_key"].to_pylist()}
    roles = experiment.roles()
    held_out = roles.filter(pc.is_in(roles["role"], pa.array(["validation", "calibration"])))
    shared = learnt_from & set(held_out["identity"].to_pylist())
    if shared and len(learnt_from) < 2:
        raise DataError(
            f"the density learns from one person ({shared.pop()}), who also serves fusion or calibration: name roles "
            "with more people in density.fit_on, or give that person another role"
        )
    count = min(experiment.config.density.held_out_folds, len(shared))
    ranked = sorted(shared, key=lambda person: derive_seed(experiment.config.seed, "held out", person))
    return {person: number % count for number, person in enumerate(ranked)}


def _fold_of_video(experiment: Experiment, folds: Mapping[str, int]) -> dict[str, int]:
    return {video_key: folds[person] for video_key, person in sorted(_people(experiment).items()) if person in folds}


def _people(experiment: Experiment) -> dict[str, str]:
    roles = experiment.roles()
    return dict(zip(roles["video_key"].to_pylist(), roles["identity"].to_pylist(), strict=True))


def _outside(fold_of_video: Mapping[str, int], fold: int, rows: pa.Table) -> pa.Table:
    return rows.filter(pa.array([fold_of_video.get(key) != fold for key in rows["video_key"].to_pylist()], pa.bool_()))


def _count(fold_of_video: Mapping[str, int]) -> int:
    return max(fold_of_video.values(), default=-1) + 1


def _fold_file(fold: int) -> str:
    return f"without_fold_{fold}.skops"


def _summary(config: ExperimentConfig, facts: Mapping[str, Any]) -> str:
    what = "pairs" if config.density.features == "difference" else "faces"
    size = f"{facts['vectors']} {what} × {facts['dimensions']}"
    if "iterations" not in facts:
        return size
    state = "converged" if facts["converged"] else "not converged"
    return f"{size}, {state} after {facts['iterations']} iterations"
