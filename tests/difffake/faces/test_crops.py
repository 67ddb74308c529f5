"""Crops of frames whose pixels encode their own position."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from difffake.config import FacesConfig
from difffake.faces.crops import cut_crop, face_box, frame_to_crop
from difffake.faces.landmarks import LEFT_EYE, RIGHT_EYE
from difffake.faces.records import Affine, RgbImage
from tests.helpers.face_template import template_landmarks

WIDTH, HEIGHT = 250, 220
CROP = FacesConfig(detector="blazeface", crop_size_px=128)
SIMILARITY = FacesConfig(detector="blazeface", crop_size_px=128, alignment="similarity")


def position_frame() -> RgbImage:
    """Red is the column, green the row."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return np.dstack([columns, rows, np.zeros_like(rows)]).astype(np.uint8)


def frame_positions(crop_to_frame: Affine, size_px: int) -> np.ndarray:
    """(S, S, 2) x, y in the frame of every crop pixel."""
    rows, columns = np.mgrid[:size_px, :size_px]
    return np.dstack([columns, rows]) @ crop_to_frame[:, :2].T + crop_to_frame[:, 2]


def border_blur_px(crop_to_frame: Affine) -> float:
    """A shrunk frame repeats its last averaged area, whose middle lies this far inside."""
    return max(0.0, (np.sqrt(abs(np.linalg.det(crop_to_frame[:, :2]))) - 1) / 2)


FACES = {
    "middle": template_landmarks((125, 90), 30),
    "large": template_landmarks((125, 90), 70),
    "tiny": template_landmarks((60, 50), 3),
    "tilted": template_landmarks((125, 100), 30, tilt_deg=25),
    "upside down": template_landmarks((125, 120), 30, tilt_deg=180),
    "left border": template_landmarks((5, 90), 30),
    "corner": template_landmarks((240, 205), 40),
}


@pytest.mark.parametrize("config", [CROP, SIMILARITY], ids=["crop", "similarity"])
@pytest.mark.parametrize("name", FACES)
def test_the_affine_tells_where_each_crop_pixel_comes_from(config: FacesConfig, name: str) -> None:
    crop, crop_to_frame = cut_crop(position_frame(), FACES[name], config)
    assert crop.shape == (128, 128, 3)
    assert crop.dtype == np.uint8
    assert crop_to_frame.shape == (2, 3)
    assert crop_to_frame.dtype == np.float64
    # Beyond the frame its border is repeated.
    expected = np.clip(frame_positions(crop_to_frame, 128), 0, [WIDTH - 1, HEIGHT - 1])
    errors = crop[..., :2].astype(float) - expected
    assert np.quantile(np.abs(errors), 0.98) < 0.6 + border_blur_px(crop_to_frame)
    assert np.abs(errors).max() < 1.6
    # A shift of half a crop pixel, the usual mistake, would show here.
    assert np.abs(errors.mean(axis=(0, 1))).max() < 0.15


@pytest.mark.parametrize("config", [CROP, SIMILARITY], ids=["crop", "similarity"])
@pytest.mark.parametrize("name", FACES)
def test_points_go_to_the_crop_and_back(config: FacesConfig, name: str) -> None:
    _, crop_to_frame = cut_crop(position_frame(), FACES[name], config)
    in_crop = frame_to_crop(FACES[name], crop_to_frame)
    assert in_crop.shape == (68, 2)
    assert in_crop.dtype == np.float32
    back = in_crop @ crop_to_frame[:, :2].T + crop_to_frame[:, 2]
    np.testing.assert_allclose(back, FACES[name], atol=1e-3)


@pytest.mark.parametrize("name", ["middle", "large", "tilted", "tiny", "corner"])
def test_the_upright_crop_is_the_enlarged_box_clipped_to_the_frame(name: str) -> None:
    landmarks = FACES[name]
    x1, y1, x2, y2 = face_box(landmarks)
    _, crop_to_frame = cut_crop(position_frame(), landmarks, CROP)
    assert crop_to_frame[0, 1] == crop_to_frame[1, 0] == 0
    low = crop_to_frame @ [-0.5, -0.5, 1]
    high = crop_to_frame @ [127.5, 127.5, 1]
    margin_x, margin_y = 0.15 * (x2 - x1), 0.15 * (y2 - y1)
    np.testing.assert_allclose(low, np.clip([x1 - margin_x, y1 - margin_y], -0.5, None), atol=1.5)
    np.testing.assert_allclose(high, np.clip([x2 + margin_x, y2 + margin_y], None, [WIDTH, HEIGHT]), atol=1.5)


def test_the_face_box_by_hand() -> None:
    """Eye distance 10: jaw ends at ±10, chin at 16, brows at -4; the forehead is 0.33 of the 20 between them higher."""
    np.testing.assert_allclose(face_box(template_landmarks((0, 0), 10)), [-10, -4 - 6.6, 10, 16], atol=1e-4)
    np.testing.assert_allclose(face_box(template_landmarks((0, 0), 10, 90)), [-16, -10, 4 + 6.6, 10], atol=1e-4)


@pytest.mark.parametrize("tilt_deg", [-90, -20, 0, 35, 180])
@pytest.mark.parametrize("crop_scale", [1.0, 1.3, 2.0])
def test_similarity_puts_the_eyes_where_it_says(tilt_deg: float, crop_scale: float) -> None:
    config = SIMILARITY.model_copy(update={"crop_scale": crop_scale})
    landmarks = template_landmarks((120, 100), 25, tilt_deg)
    _, crop_to_frame = cut_crop(position_frame(), landmarks, config)
    in_crop = frame_to_crop(landmarks, crop_to_frame)
    eyes = (np.array([in_crop[RIGHT_EYE].mean(axis=0), in_crop[LEFT_EYE].mean(axis=0)]) + 0.5) / 128
    expected = np.array([[0.5 - 0.175 / crop_scale, 0.5 - 0.115 / crop_scale]] * 2)
    expected[1, 0] = 1 - expected[0, 0]
    np.testing.assert_allclose(eyes, expected, atol=1e-4)
    linear = crop_to_frame[:, :2]
    np.testing.assert_allclose(linear @ linear.T, np.eye(2) * np.linalg.det(linear), atol=1e-9)
    assert np.linalg.det(linear) > 0, "never mirrored"


@pytest.mark.parametrize("config", [CROP, SIMILARITY], ids=["crop", "similarity"])
def test_both_alignments_show_the_face_at_about_one_size(config: FacesConfig) -> None:
    landmarks = template_landmarks((125, 90), 30)
    _, crop_to_frame = cut_crop(position_frame(), landmarks, config)
    box = frame_to_crop(face_box(landmarks).reshape(2, 2).astype(np.float32), crop_to_frame)
    assert (box[1] - box[0]).max() / 128 == pytest.approx(1 / 1.3, abs=0.08)


def test_a_profile_does_not_blow_up_the_scale() -> None:
    landmarks = template_landmarks((125, 90), 30)
    landmarks[:, 0] = 125 + (landmarks[:, 0] - 125) * 0.01
    _, crop_to_frame = cut_crop(position_frame(), landmarks, SIMILARITY)
    shown_px = frame_to_crop(landmarks, crop_to_frame)
    assert np.ptp(shown_px[:, 1]) < 1.8 * 128


@pytest.mark.parametrize("config", [CROP, SIMILARITY], ids=["crop", "similarity"])
def test_shrinking_averages_instead_of_aliasing(config: FacesConfig) -> None:
    stripes = np.zeros((1200, 1200, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    crop, _ = cut_crop(stripes, template_landmarks((600, 500), 300), config)
    assert np.abs(crop.astype(float) - 127.5).max() < 40


@pytest.mark.parametrize("config", [CROP, SIMILARITY], ids=["crop", "similarity"])
@pytest.mark.parametrize("centre", [(-500, 90), (9000, 9000)])
def test_landmarks_far_outside_give_a_crop_all_the_same(config: FacesConfig, centre: tuple[float, float]) -> None:
    crop, crop_to_frame = cut_crop(position_frame(), template_landmarks(centre, 30), config)
    assert crop.shape == (128, 128, 3)
    assert np.isfinite(crop_to_frame).all()
    assert abs(np.linalg.det(crop_to_frame[:, :2])) > 0


@settings(max_examples=60, deadline=None)
@given(
    x=st.floats(-20, WIDTH + 20),
    y=st.floats(-20, HEIGHT + 20),
    eye_distance_px=st.floats(0.5, 120),
    tilt_deg=st.floats(-180, 180),
    is_upright=st.booleans(),
)
def test_any_face_has_an_exact_affine(
    x: float, y: float, eye_distance_px: float, tilt_deg: float, is_upright: bool
) -> None:
    landmarks = template_landmarks((x, y), eye_distance_px, tilt_deg)
    crop, crop_to_frame = cut_crop(position_frame(), landmarks, CROP if is_upright else SIMILARITY)
    expected = np.clip(frame_positions(crop_to_frame, 128), 0, [WIDTH - 1, HEIGHT - 1])
    errors = np.abs(crop[..., :2].astype(float) - expected)
    assert np.median(errors) < 0.6 + border_blur_px(crop_to_frame)
    back = frame_to_crop(landmarks, crop_to_frame) @ crop_to_frame[:, :2].T + crop_to_frame[:, 2]
    np.testing.assert_allclose(back, landmarks, atol=2e-2)
