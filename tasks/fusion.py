"""Fusion: real validation videos and pseudo-fake copies of them in, the weights of the two scores out."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from data_catalog.faces import EmbeddedFaces, read_embeddings, read_face_set
from data_catalog.fingerprints import digest_names, fingerprint
from difffake.backbone.checkpoints import load_weights
from difffake.backbone.device import resolve_device
from difffake.backbone.embed import embed_images
from difffake.backbone.embedder import Backbone
from difffake.backbone.images import decode_crop, resize_to_input
from difffake.detector import FUSION, Detector
from difffake.differential import fusion
from difffake.differential.fusion import fit_fusion, mean_log_odds
from difffake.errors import DataError, DegenerateMaskError
from difffake.faces.records import FaceSet
from difffake.pseudofakes import forged_video
from difffake.pseudofakes.forged_video import forge_video
from difffake.pseudofakes.recipe import STAGE_VERSION as PSEUDO_FAKES_VERSION
from difffake.randomness import derive_rng
from tasks.backbone import weights_path
from tasks.density import FUSION_STAGE, Densities, detector_settings, group, load_densities
from tasks.experiment import Experiment, StageRecord, made, of_role, progress, reused, stage_task
from tasks.pairs import read_pairs

Pairs = list[tuple[str, ...]]
Evidence = tuple[float, float]


@stage_task(FUSION_STAGE)
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
    selected = of_role(read_pairs(experiment, pairs.fingerprint, extraction), "validation")
    inputs = {
        "backbone": backbone.digest,
        "density": fitted.digest,
        "embeddings": embeddings.digest,
        "pairs": pairs.digest,
        "pseudo_fakes": config.pseudo_fakes.model_dump(mode="json"),
        "seed": config.seed,
    }
    versions = (fusion.STAGE_VERSION, forged_video.STAGE_VERSION, PSEUDO_FAKES_VERSION)
    name = fingerprint(FUSION_STAGE, versions, config.fusion, inputs)
    store = experiment.home.artefacts
    found = store.find(FUSION_STAGE, name)
    if found is not None and FUSION_STAGE not in experiment.force:
        return reused(FUSION_STAGE, name, found, _summary(found.facts))

    judge = _Judge(experiment, extraction, backbone, load_densities(experiment, fitted))
    reals, copies = judge.weigh(embeddings.fingerprint, selected)
    learnt = fit_fusion(reals, copies, config.fusion.regularisation)
    facts = learnt.model_dump(mode="json") | {
        "warning": learnt.warning,
        "evidence": {"reals": reals, "pseudo_fakes": copies},
    }
    with store.staging(FUSION_STAGE, name) as folder:
        (folder / FUSION).write_text(learnt.to_json(), encoding="utf-8")
        artefact = store.publish(folder, FUSION_STAGE, name, facts, digest_names([learnt.to_json()]))
    return made(FUSION_STAGE, name, artefact, _summary(facts))


class _Judge:
    """Scores validation videos and their pseudo-fake copies by densities that have not seen their people."""

    def __init__(self, experiment: Experiment, extraction: str, backbone: StageRecord, densities: Densities) -> None:
        self._experiment = experiment
        self._faces = group(of_role(experiment.usable_faces(extraction), "validation"), "face_id", "video_sha256")
        self._backbone = load_weights(weights_path(experiment, backbone))
        self._backbone.to(resolve_device(experiment.config.backbone.device))
        self._densities = densities
        self._settings = detector_settings(experiment, extraction, "differential")

    def weigh(self, embeddings: str, pairs: pa.Table) -> tuple[list[Evidence], list[Evidence]]:
        """Evidence of the reals, and of the copies."""
        reals, copies = [], []
        drawn = group(pairs, "base_id", "partner_id")
        with progress(FUSION_STAGE, "videos") as report:
            for number, (person, selected) in enumerate(drawn.items(), start=1):
                faces = self._face_set(person)
                detector = Detector(self._settings, self._backbone, self._densities.for_video(person[0]))
                contents = [content for _, content in self._faces[person]]
                reals.append(
                    _evidence(detector, read_embeddings(self._experiment.lake, embeddings, contents), selected)
                )
                copies += [_evidence(detector, copy, kept) for copy, kept in self._copies(faces, contents[0], selected)]
                report(number, len(drawn))
        return reals, copies

    def _face_set(self, person: tuple[str, int]) -> FaceSet:
        names, contents = zip(*self._faces[person], strict=True)
        columns = {"face_id": names, "video_key": [person[0]] * len(names), "video_sha256": contents}
        return read_face_set(self._experiment.lake, pa.table(columns))

    def _copies(self, faces: FaceSet, content: str, pairs: Pairs) -> Iterator[tuple[EmbeddedFaces, Pairs]]:
        config = self._experiment.config
        crops = [decode_crop(jpeg, name) for jpeg, name in zip(faces.crops_jpeg, faces.face_ids, strict=True)]
        for copy in range(config.fusion.copies_per_video):
            rng = derive_rng(config.seed, FUSION_STAGE, content, copy)
            try:
                forged = forge_video(crops, faces.landmarks_crop_px, config.pseudo_fakes, config.fusion.jitter, rng)
            except DegenerateMaskError:
                continue
            images = {name: image for name, image in zip(faces.face_ids, forged, strict=True) if image is not None}
            kept = [pair for pair in pairs if images.keys() >= set(pair)]
            if kept:
                yield _embed(self._backbone, images), kept


def _embed(backbone: Backbone, images: Mapping[str, Any]) -> EmbeddedFaces:
    names = sorted(images)
    size_px = backbone.preprocessing.input_size_px
    embedded = embed_images(backbone, np.stack([resize_to_input(images[name], size_px) for name in names]))
    return EmbeddedFaces(np.array(names), embedded.features, embedded.fake_probability)


def _evidence(detector: Detector, embedded: EmbeddedFaces, pairs: Pairs) -> Evidence:
    faces = embedded.of({name for pair in pairs for name in pair})
    scored = detector.score_faces(
        faces.face_ids.tolist(), faces.features, faces.fake_probability, [(base, partner) for base, partner in pairs]
    )
    if scored.differential is None:
        raise DataError(f"a validation video of {len(faces.face_ids)} faces has pairs and no score: {scored.reason}")
    return scored.differential, mean_log_odds(faces.fake_probability)


def _summary(facts: Mapping[str, Any]) -> str:
    differential, probability = facts["weights"]
    text = (
        f"weights {differential:.2f} differential, {probability:.2f} fake probability, from {facts['reals']} real "
        f"videos and {facts['pseudo_fakes']} pseudo-fake copies"
    )
    return f"{text}. {facts['warning']}" if facts["warning"] else text
