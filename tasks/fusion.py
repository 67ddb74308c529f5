"""Fusion: real validation videos and pseudo-fake copies of them in, the weights of the two scores out."""

from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from data_catalog.faces import EmbeddedFaces, read_embeddings
from data_catalog.fingerprints import digest_names, fingerprint
from difffake.backbone.checkpoints import load_weights
from difffake.detector import FUSION, Detector
from difffake.differential import fusion
from difffake.differential.fusion import Fusion, fit_fusion, mean_log_odds
from difffake.errors import DataError
from difffake.pseudofakes import forged_video
from difffake.pseudofakes.recipe import STAGE_VERSION as PSEUDO_FAKES_VERSION
from tasks.backbone import weights_path
from tasks.density import load_densities
from tasks.experiment import Experiment, StageRecord, made, reused, stage_task
from tasks.forged_copies import compared, embed_copies, with_pairs
from tasks.pairs import digest_of_judged, pairs_of_roles
from tasks.scoring import detector_settings, examine_person
from tasks.vectors import contents_of, group

STAGE = "fusion"

Evidence = tuple[float, float]

_NOTHING_TO_FUSE = (
    "there is no fused score: no validation video has faces to compare, or the backbone was not trained and gives no "
    "fake probability"
)


@stage_task(STAGE)
def fuse(
    experiment: Experiment,
    extraction: str,
    backbone: StageRecord,
    embeddings: StageRecord,
    pairs: StageRecord,
    fitted: StageRecord,
) -> StageRecord:
    """Learn how much differential score and fake probability weigh, without a fake."""
    config = experiment.config
    usable = experiment.usable_faces(extraction)
    selected = pairs_of_roles(experiment, pairs, extraction, ("validation",))
    faces = usable.filter(pc.equal(usable["role"], "validation"))
    if config.density.features == "difference":
        faces = with_pairs(faces, selected)
    inputs = {
        "backbone": backbone.digest,
        "density": fitted.digest,
        "learnt_from": digest_of_judged(experiment, faces, selected),
        "pseudo_fakes": config.pseudo_fakes.effective(),
        "seed": config.seed,
    }
    versions = (fusion.STAGE_VERSION, forged_video.STAGE_VERSION, PSEUDO_FAKES_VERSION)
    name = fingerprint(STAGE, versions, config.fusion, inputs)
    store = experiment.home.artefacts
    found = store.find(STAGE, name)
    if found is not None and STAGE not in experiment.force:
        return reused(STAGE, name, found, _summary(found.facts))
    detectors = _detectors(experiment, extraction, backbone, fitted)
    reals, copies = _weigh(experiment, detectors, backbone, embeddings.fingerprint, faces, selected)
    settings = config.fusion
    learnt = fit_fusion(reals, copies, settings.regularisation, settings.most_differential) if copies else None
    facts = {
        "fusion": learnt.model_dump(mode="json") if learnt else None,
        "warning": learnt.warning if learnt else _NOTHING_TO_FUSE,
        "evidence": {"reals": reals, "pseudo_fakes": copies},
    }
    with store.staging(STAGE, name) as folder:
        text = learnt.to_json() if learnt else ""
        (folder / FUSION).write_text(text, encoding="utf-8")
        artefact = store.publish(folder, STAGE, name, facts, digest_names([text]))
    return made(STAGE, name, artefact, _summary(facts))


def load_fusion(experiment: Experiment, fused: StageRecord) -> Fusion | None:
    """What `fuse` made; None where no validation video could be compared.

    Raises:
        DataError: the fused score is to decide and there is none.
    """
    text = experiment.home.artefacts.require(STAGE, fused.fingerprint).path(FUSION).read_text(encoding="utf-8")
    if text:
        return Fusion.from_json(text)
    if experiment.config.calibration.verdict == "fusion":
        raise DataError(
            f"calibration.verdict is fusion, and {fused.facts['warning']}; give a dataset the role validation, or let "
            "another score decide"
        )
    return None


def _detectors(
    experiment: Experiment, extraction: str, backbone: StageRecord, fitted: StageRecord
) -> Callable[[str], Detector]:
    """For a video the detector whose density has not seen its people."""
    settings = detector_settings(experiment, extraction, "differential")
    network = load_weights(weights_path(experiment, backbone))
    densities = load_densities(experiment, fitted)
    return lambda video_key: Detector(settings, network, densities.for_video(video_key))


def _weigh(
    experiment: Experiment,
    detectors: Callable[[str], Detector],
    backbone: StageRecord,
    embeddings: str,
    faces: pa.Table,
    selected: pa.Table,
) -> tuple[list[Evidence], list[Evidence]]:
    """Evidence of the real validation videos and of their copies."""
    if faces.num_rows == 0:
        return [], []
    drawn = group(selected, "base_id", "partner_id")
    known = read_embeddings(experiment.lake, embeddings, [*faces["video_sha256"].to_pylist(), *contents_of(selected)])
    if known.fake_probability is None:
        return [], []
    reals: list[Evidence] = []
    copies: list[Evidence] = []
    forged = embed_copies(experiment, backbone, faces, is_forced=STAGE in experiment.force)
    for (video_key, track_id), members in group(faces, "face_id").items():
        detector = detectors(video_key)
        pairs = [(base, partner) for base, partner in drawn.get((video_key, track_id), [])]
        own = [name for (name,) in members]
        of_real = _evidence(detector, known, own, pairs)
        if of_real is not None:
            reals.append(of_real)
            for copy in forged.get((video_key, track_id), []):
                joined, kept = compared(experiment, copy, own, known, pairs)
                of_copy = _evidence(detector, joined, copy.face_ids.tolist(), kept)
                copies += [] if of_copy is None else [of_copy]
    return reals, copies


def _evidence(
    detector: Detector, embedded: EmbeddedFaces, face_ids: Any, pairs: list[tuple[str, str]]
) -> Evidence | None:
    examined = examine_person(detector, embedded, set(face_ids), pairs)
    if examined.score.differential is None:
        return None
    return examined.score.differential, mean_log_odds(examined.fake_probability)


def _summary(facts: Mapping[str, Any]) -> str:
    if facts["fusion"] is None:
        return str(facts["warning"])
    differential, probability = facts["fusion"]["weights"]
    text = (
        f"weights {differential:.2f} differential, {probability:.2f} fake probability, from {facts['fusion']['reals']} "
        f"real videos and {facts['fusion']['pseudo_fakes']} pseudo-fake copies"
    )
    return f"{text}. {facts['warning']}" if facts["warning"] else text
