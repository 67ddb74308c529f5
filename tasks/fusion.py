"""Fusion: real validation videos and pseudo-fake copies of them in, the weights of the two scores out."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_catalog.faces import EmbeddedFaces, read_embeddings, read_face_set
from data_catalog.fingerprints import digest_names, fingerprint
from difffake.backbone.checkpoints import load_weights
from difffake.backbone.device import resolve_device
from difffake.backbone.embed import embed_images
from difffake.backbone.images import decode_crop, resize_to_input
from difffake.detector import FUSION, Detector
from difffake.differential import fusion
from difffake.differential.fusion import Fusion, fit_fusion, mean_log_odds
from difffake.errors import DataError, DegenerateMaskError
from difffake.faces.records import RgbImage
from difffake.pseudofakes import forged_video
from difffake.pseudofakes.forged_video import forge_video
from difffake.pseudofakes.recipe import STAGE_VERSION as PSEUDO_FAKES_VERSION
from difffake.randomness import derive_rng
from tasks.backbone import weights_path
from tasks.density import load_densities
from tasks.experiment import Experiment, StageRecord, made, progress, reused, stage_task
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
    faces = usable.filter(pc.equal(usable["role"], "validation"))
    selected = pairs_of_roles(experiment, pairs, extraction, ("validation",))
    inputs = {
        "backbone": backbone.digest,
        "density": fitted.digest,
        "learnt_from": digest_of_judged(experiment, faces, selected),
        "pseudo_fakes": config.pseudo_fakes.model_dump(mode="json"),
        "seed": config.seed,
    }
    versions = (fusion.STAGE_VERSION, forged_video.STAGE_VERSION, PSEUDO_FAKES_VERSION)
    name = fingerprint(STAGE, versions, config.fusion, inputs)
    store = experiment.home.artefacts
    found = store.find(STAGE, name)
    if found is not None and STAGE not in experiment.force:
        return reused(STAGE, name, found, _summary(found.facts))
    detectors = _detectors(experiment, extraction, backbone, fitted)
    reals, copies = _weigh(experiment, detectors, embeddings.fingerprint, faces, selected)
    learnt = fit_fusion(reals, copies, config.fusion.regularisation) if copies else None
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
    network.to(resolve_device(experiment.config.backbone.device))
    densities = load_densities(experiment, fitted)
    return lambda video_key: Detector(settings, network, densities.for_video(video_key))


def _weigh(
    experiment: Experiment,
    detectors: Callable[[str], Detector],
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
    people = group(faces, "face_id", "video_sha256")
    with progress(STAGE, "videos") as report:
        for number, ((video_key, track_id), members) in enumerate(people.items(), start=1):
            detector = detectors(video_key)
            compared = [(base, partner) for base, partner in drawn.get((video_key, track_id), [])]
            of_real = _evidence(detector, known, {name for name, _ in members}, compared)
            if of_real is not None:
                reals.append(of_real)
                for images in _copies(experiment, video_key, members):
                    forged = _embed(detector, images, known, compared)
                    kept = [pair for pair in compared if set(pair) <= set(forged.face_ids.tolist())]
                    of_copy = _evidence(detector, forged, images.keys(), kept)
                    copies += [] if of_copy is None else [of_copy]
            report(number, len(people))
    return reals, copies


def _copies(experiment: Experiment, video_key: str, members: list[tuple[str, ...]]) -> Iterator[Mapping[str, RgbImage]]:
    """Pseudo-fake copies of one person's faces, by name; those without a usable mask are left out."""
    config = experiment.config
    names, contents = zip(*members, strict=True)
    columns = {"face_id": names, "video_key": [video_key] * len(names), "video_sha256": contents}
    faces = read_face_set(experiment.lake, pa.table(columns))
    crops = [decode_crop(jpeg, name) for jpeg, name in zip(faces.crops_jpeg, names, strict=True)]
    for copy in range(config.fusion.copies_per_video):
        rng = derive_rng(config.seed, STAGE, contents[0], copy)
        try:
            forged = forge_video(crops, faces.landmarks_crop_px, config.pseudo_fakes, config.fusion.jitter, rng)
        except DegenerateMaskError:
            continue
        yield {name: image for name, image in zip(names, forged, strict=True) if image is not None}


def _embed(
    detector: Detector, images: Mapping[str, RgbImage], known: EmbeddedFaces, pairs: list[tuple[str, str]]
) -> EmbeddedFaces:
    """The forged faces, and the real ones of other videos they are compared with, sorted by name."""
    own = {base for base, _ in pairs}
    others = known.of({partner for _, partner in pairs if partner not in own and partner not in images})
    size_px = detector.backbone.preprocessing.input_size_px
    made_now = embed_images(detector.backbone, np.stack([resize_to_input(image, size_px) for image in images.values()]))
    names = np.array([*images, *others.face_ids.tolist()])
    order = np.argsort(names)
    return EmbeddedFaces(
        names[order],
        np.concatenate([made_now.features, others.features])[order],
        np.concatenate([made_now.fake_probability, others.fake_probability])[order],
    )


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
