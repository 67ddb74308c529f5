from pathlib import Path

import cv2
import numpy as np
import pytest

from difffake.config import FacesConfig
from difffake.detector import Detector
from difffake.faces.extraction import extract_faces
from difffake.faces.finder import build_face_finder
from difffake.faces.identity import SAME_PERSON, Distances, FaceRecogniser, measure_distances
from difffake.faces.records import FaceRecord
from tests.helpers.detector import face_clip, small_detector
from tests.helpers.media import astronaut_rgb, carphone_path

RECOGNISER = FaceRecogniser.find()
needs_recogniser = pytest.mark.skipif(RECOGNISER is None, reason="no recogniser: uv run --extra identity pytest")
CONFIG = FacesConfig(detector="blazeface", frames_per_video=6)


def faces_of(path: Path) -> tuple[FaceRecord, ...]:
    media = "photo" if path.suffix == ".png" else "video"
    return extract_faces(path, str(path), "test", CONFIG, build_face_finder(CONFIG), media).faces


@needs_recogniser
def test_one_person_is_near_and_another_far(tmp_path: Path) -> None:
    assert RECOGNISER is not None
    photo = tmp_path / "astronaut.png"
    cv2.imwrite(str(photo), cv2.cvtColor(astronaut_rgb()[:300], cv2.COLOR_RGB2BGR))
    darker = tmp_path / "darker.png"
    turned = np.rot90(astronaut_rgb()[:300, 60:400], 0)
    cv2.imwrite(str(darker), (cv2.cvtColor(turned, cv2.COLOR_RGB2BGR) * 0.6).astype(np.uint8))
    references = {"same": faces_of(darker), "other": faces_of(carphone_path())}
    found = measure_distances(RECOGNISER, {0: faces_of(photo)}, references)[0]
    assert found.by_reference["same"] < SAME_PERSON - 0.15
    assert found.by_reference["other"] > SAME_PERSON + 0.05
    assert found.largest == found.by_reference["other"]


@needs_recogniser
def test_a_reference_of_somebody_else_is_named(tmp_path: Path) -> None:
    detector = small_detector()
    judged, same = face_clip(tmp_path / "judged.mp4"), face_clip(tmp_path / "same.mp4", 30)
    found = detector.score(judged, "cpu", [same, carphone_path()])
    assert found.comparison is not None
    assert found.comparison.distance is not None
    assert found.comparison.distance > SAME_PERSON
    (said,) = [caution for caution in found.cautions if "somebody else" in caution]
    assert carphone_path().name in said
    assert "same.mp4" not in said


def test_without_a_recogniser_it_is_said_that_nobody_looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FaceRecogniser, "find", classmethod(lambda _cls: None))
    detector: Detector = small_detector()
    references = [face_clip(tmp_path / "r1.mp4", 20), face_clip(tmp_path / "r2.mp4", 40)]
    found = detector.score(face_clip(tmp_path / "judged.mp4"), "cpu", references)
    assert found.comparison is not None
    assert found.comparison.distance is None
    assert any("taken on trust" in caution for caution in found.cautions)


def test_distances_are_summed_up_by_hand() -> None:
    apart = Distances({"a": 0.2, "b": 0.6})
    assert (apart.mean, apart.largest) == (pytest.approx(0.4), 0.6)
