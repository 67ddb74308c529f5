"""Scoring: stored embeddings and pairs in, what a detector says of videos out."""

from collections.abc import Set
from dataclasses import replace

import pyarrow as pa

from data_catalog.faces import EmbeddedFaces, read_embeddings
from difffake.config import ScoreName
from difffake.detector import Detector, Settings
from difffake.faces.finder import build_face_finder
from difffake.scores import Examination, VideoScore, most_anomalous
from tasks.experiment import Experiment
from tasks.vectors import contents_of, group


def detector_settings(experiment: Experiment, extraction: str, verdict: ScoreName) -> Settings:
    """How a detector of this experiment cuts, pairs, combines and decides."""
    config = experiment.config
    return Settings(
        faces=config.faces,
        pairs=config.pairs,
        features=config.density.features,
        combination=config.density.combination,
        l2_normalise=config.density.l2_normalise,
        verdict=verdict,
        seed=config.seed,
        extraction=extraction,
        face_models=build_face_finder(config.faces).fingerprint_parts(),
    )


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
    drawn = group(pairs, "base_id", "partner_id")
    embedded = read_embeddings(experiment.lake, backbone, [*faces["video_sha256"].to_pylist(), *contents_of(pairs)])
    people: dict[str, list[Examination]] = {}
    for (video_key, track_id), names in group(faces, "face_id").items():
        compared = [(base, partner) for base, partner in drawn.get((video_key, track_id), [])]
        examined = examine_person(detector, embedded, {name for (name,) in names}, compared)
        examined = replace(examined, score=replace(examined.score, track_id=track_id))
        people.setdefault(video_key, []).append(examined)
    return {video_key: _most_anomalous(examined) for video_key, examined in people.items()}


def examine_person(
    detector: Detector, embedded: EmbeddedFaces, face_ids: Set[str], pairs: list[tuple[str, str]]
) -> Examination:
    """One person of one video, from the embeddings of their faces and of their partners in other videos."""
    rows = embedded.of(face_ids)
    others = embedded.of({partner for _, partner in pairs} - set(face_ids))
    partners = others.face_ids.tolist(), others.features
    return detector.examine_faces(rows.face_ids.tolist(), rows.features, rows.fake_probability, pairs, partners)


def _most_anomalous(people: list[Examination]) -> Examination:
    score = most_anomalous([person.score for person in people])
    return replace(next(person for person in people if person.score.track_id == score.track_id), score=score)
