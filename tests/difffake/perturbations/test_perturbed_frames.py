"""Every severity against values worked out by hand, or by another way of computing them."""

from typing import get_args

import cv2
import numpy as np
import pytest

from difffake.faces.records import RgbImage
from difffake.perturbations.frames import FRAME_PERTURBATIONS
from difffake.perturbations.perturbation import VIDEO_COMPRESSION_CRF, Perturbation, ReencodingName
from difffake.randomness import derive_rng
from tests.helpers.media import astronaut_rgb

SEVERITIES = (1, 2, 3, 4, 5)


def perturb(rgb: RgbImage, name: str, severity: int, seed: int = 0) -> RgbImage:
    spec = FRAME_PERTURBATIONS[name]
    return spec.apply(rgb, spec.levels[severity - 1], derive_rng(seed, "test"))


def flat(height: int, width: int, *colour: int) -> RgbImage:
    return np.full((height, width, 3), colour, dtype=np.uint8)


@pytest.mark.parametrize("name", FRAME_PERTURBATIONS)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_size_and_type_stay_and_the_given_frame_is_untouched(name: str, severity: int) -> None:
    frame = astronaut_rgb()[:101, :67].copy()
    before = frame.copy()
    perturbed = perturb(frame, name, severity)
    assert perturbed.shape == frame.shape
    assert perturbed.dtype == np.uint8
    np.testing.assert_array_equal(frame, before)
    assert not np.array_equal(perturbed, frame)


@pytest.mark.parametrize("name", FRAME_PERTURBATIONS)
def test_each_severity_is_further_from_the_frame_than_the_one_before(name: str) -> None:
    frame = astronaut_rgb()
    distances = [np.abs(perturb(frame, name, severity).astype(float) - frame).mean() for severity in SEVERITIES]
    assert distances == sorted(distances)
    assert len(set(distances)) == 5


def test_saturation_scales_chroma_and_keeps_luma() -> None:
    red = flat(2, 2, 255, 0, 0)
    # Y = 0.299 · 255 = 76.245; at a factor of 0.4 red is 0.4 · 255 + 0.6 · 76.245 = 147.7, green and blue 45.7.
    np.testing.assert_array_equal(perturb(red, "colour_saturation", 1)[0, 0], [148, 46, 46])
    np.testing.assert_array_equal(perturb(red, "colour_saturation", 5)[0, 0], [76, 76, 76])
    grey = flat(2, 2, 90, 90, 90)
    for severity in SEVERITIES:
        np.testing.assert_array_equal(perturb(grey, "colour_saturation", severity), grey)


@pytest.mark.parametrize(("severity", "factor"), [(1, 0.4), (2, 0.3), (3, 0.2), (4, 0.1), (5, 0.0)])
def test_saturation_agrees_with_ycbcr(severity: int, factor: float) -> None:
    frame = astronaut_rgb()
    ycc = cv2.cvtColor(frame.astype(np.float32) / 255, cv2.COLOR_RGB2YCrCb)
    ycc[..., 1:] = 0.5 + factor * (ycc[..., 1:] - 0.5)
    expected = np.clip(cv2.cvtColor(ycc, cv2.COLOR_YCrCb2RGB) * 255, 0, 255)
    assert np.abs(perturb(frame, "colour_saturation", severity) - expected).max() < 1.5


@pytest.mark.parametrize(
    ("severity", "dark", "light"), [(1, 34, 170), (2, 29, 145), (3, 24, 120), (4, 19, 95), (5, 14, 70)]
)
def test_contrast_brings_two_levels_together(severity: int, dark: int, light: int) -> None:
    board = flat(4, 4, 40, 40, 40)
    board[::2] = 200
    perturbed = perturb(board, "colour_contrast", severity)
    assert set(perturbed[::2].ravel()) == {light}
    assert set(perturbed[1::2].ravel()) == {dark}


@pytest.mark.parametrize(("height", "width", "times"), [(200, 224, 1), (480, 640, 1), (512, 700, 2), (1080, 1920, 4)])
@pytest.mark.parametrize("severity", SEVERITIES)
def test_blocks_are_grey_squares_in_number(height: int, width: int, times: int, severity: int) -> None:
    perturbed = perturb(flat(height, width, 255, 0, 0), "block_wise", severity)
    changed = (perturbed != (255, 0, 0)).any(axis=2)
    assert set(perturbed[changed].ravel()) == {128}
    blocks = 16 * severity * times
    # Overlap hides some: of n squares of 64 px thrown on A px about A (1 − exp(−64 n / A)) px are covered.
    area = height * width
    expected = area * (1 - np.exp(-64 * blocks / area))
    assert changed.sum() <= 64 * blocks
    assert changed.sum() == pytest.approx(expected, rel=0.08)


def test_blocks_lie_inside_and_reach_every_edge() -> None:
    covered = np.zeros((24, 24), dtype=bool)
    for seed in range(200):
        covered |= (perturb(flat(24, 24, 0, 0, 0), "block_wise", 1, seed) == 128).all(axis=2)
    assert covered.all()


def test_a_frame_smaller_than_a_block_is_covered() -> None:
    assert (perturb(flat(5, 7, 0, 0, 0), "block_wise", 1) == 128).all()


@pytest.mark.parametrize(("severity", "variance"), [(1, 0.001), (2, 0.002), (3, 0.005)])
def test_noise_has_its_variance_in_every_component(severity: int, variance: float) -> None:
    grey = flat(400, 400, 128, 128, 128)
    ycc = cv2.cvtColor(perturb(grey, "gaussian_noise", severity).astype(np.float32), cv2.COLOR_RGB2YCrCb)
    studio = ycc * np.array([219, 224, 224]) / 255
    np.testing.assert_allclose((studio / 255).var(axis=(0, 1)), variance, rtol=0.03)
    np.testing.assert_allclose(np.corrcoef(studio.reshape(-1, 3).T), np.eye(3), atol=0.02)


@pytest.mark.parametrize(("severity", "variance"), [(1, 0.001), (4, 0.01), (5, 0.05)])
def test_noise_agrees_with_noise_added_in_ycbcr_and_cut_off_at_black_and_white(severity: int, variance: float) -> None:
    frame = flat(400, 400, 200, 120, 60)
    ycc = cv2.cvtColor(frame.astype(np.float32) / 255, cv2.COLOR_RGB2YCrCb)
    noise = np.random.default_rng(9).normal(scale=np.sqrt(variance), size=ycc.shape)
    noisy = (ycc + noise * 255 / np.array([219, 224, 224])).astype(np.float32)
    expected = np.clip(cv2.cvtColor(noisy, cv2.COLOR_YCrCb2RGB) * 255, 0, 255).reshape(-1, 3)
    measured = perturb(frame, "gaussian_noise", severity).reshape(-1, 3).astype(float)
    np.testing.assert_allclose(measured.mean(axis=0), expected.mean(axis=0), atol=1)
    np.testing.assert_allclose(measured.std(axis=0), expected.std(axis=0), rtol=0.02)
    np.testing.assert_allclose(np.corrcoef(measured.T), np.corrcoef(expected.T), atol=0.015)


def test_noise_and_blocks_are_functions_of_the_generator() -> None:
    frame = flat(64, 64, 100, 120, 140)
    for name in ("gaussian_noise", "block_wise"):
        np.testing.assert_array_equal(perturb(frame, name, 3, seed=1), perturb(frame, name, 3, seed=1))
        assert not np.array_equal(perturb(frame, name, 3, seed=1), perturb(frame, name, 3, seed=2))


@pytest.mark.parametrize(("severity", "side"), [(1, 7), (2, 9), (3, 13), (4, 17), (5, 21)])
def test_blur_spreads_a_point_as_the_gaussian_does(severity: int, side: int) -> None:
    point = flat(61, 61, 0, 0, 0)
    point[30, 30] = 255
    offsets = np.arange(side) - side // 2
    weights = np.exp(-0.5 * (offsets / (side / 6)) ** 2)
    weights /= weights.sum()
    expected = np.zeros((61, 61))
    expected[30 - side // 2 : 31 + side // 2, 30 - side // 2 : 31 + side // 2] = 255 * np.outer(weights, weights)
    perturbed = perturb(point, "gaussian_blur", severity)
    assert np.abs(perturbed - expected[..., np.newaxis]).max() <= 1
    assert perturbed[30, 30, 0] < 40


def test_pixelation_by_two_is_a_mean_and_a_bilinear_ramp() -> None:
    step = flat(4, 4, 0, 0, 0)
    step[:, 1:] = 200
    # Means of 2 × 2: columns 100 and 200; enlarged: 100, ¾ · 100 + ¼ · 200, ¼ · 100 + ¾ · 200, 200.
    np.testing.assert_array_equal(perturb(step, "pixelation", 1)[..., 0], [[100, 125, 175, 200]] * 4)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_pixelation_leaves_as_many_values_as_its_size(severity: int) -> None:
    factor = severity + 1
    frame = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    perturbed = perturb(frame, "pixelation", severity)
    # Bilinear enlargement of m points has rank m.
    assert np.linalg.matrix_rank(perturbed[..., 0].astype(float), tol=60) <= 60 // factor
    assert perturb(frame[:3, :3], "pixelation", 5).shape == (3, 3, 3)


def test_the_values_behind_the_levels() -> None:
    assert [Perturbation("gaussian_blur", severity).value for severity in SEVERITIES] == [7, 9, 13, 17, 21]
    assert [Perturbation("gaussian_blur", severity).crf for severity in SEVERITIES] == [None] * 5
    assert [Perturbation("video_compression", severity).crf for severity in SEVERITIES] == [30, 32, 35, 38, 40]
    assert VIDEO_COMPRESSION_CRF == (30, 32, 35, 38, 40)
    assert Perturbation("h264_crf", 23).value == 23


def test_what_is_done_alike_is_named_alike() -> None:
    severity, crf = Perturbation("video_compression", 3, seed=1), Perturbation("h264_crf", 35, seed=2)
    assert severity.fingerprint_parts() == crf.fingerprint_parts()
    assert len({str(Perturbation(name, 35).fingerprint_parts()) for name in get_args(ReencodingName)}) == 3
    noise = [Perturbation("gaussian_noise", level, seed) for level in (1, 2) for seed in (0, 1)]
    assert len({str(condition.fingerprint_parts()) for condition in noise}) == 4


@pytest.mark.parametrize(
    ("name", "level"),
    [("gaussian_blur", 0), ("pixelation", 6), ("h264_crf", 52), ("hevc_crf", 52), ("vp9_crf", 64)],
)
def test_a_level_that_does_not_exist_is_refused(name: str, level: int) -> None:
    with pytest.raises(ValueError, match=f"level of {name}"):
        Perturbation(name, level)  # type: ignore[arg-type]
