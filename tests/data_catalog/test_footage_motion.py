"""Camera, light and noise of the sample footage."""

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest

from data_catalog.footage.media import Take, read_take
from data_catalog.footage.motion import (
    CameraMotion,
    Drift,
    add_sensor_noise,
    camera_homography,
    draw_drift,
    draw_motion,
    render_take,
    tone_table,
)
from difffake.errors import DataError
from difffake.video_writing import write_video

STILL = Drift(0.0, (), (), ())
FROZEN = CameraMotion(*[STILL] * 9)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), cv2.GaussianBlur(rng.integers(0, 256, (120, 160, 3), dtype=np.uint8), (0, 0), 2))
    return path


def test_a_drift_by_hand() -> None:
    drift = Drift(offset=0.5, amplitudes=(2.0, 1.0), frequencies_hz=(0.25, 0.5), phases_rad=(0.0, np.pi / 2))
    # At 1 s: 2 sin(pi/2) + sin(pi + pi/2) = 2 - 1.
    assert drift.at(1.0) == pytest.approx(1.5)
    assert drift.largest_change_per_s == pytest.approx(2 * np.pi * (0.25 * 2 + 0.5 * 1))


@pytest.mark.parametrize("seed", range(20))
def test_a_drift_stays_within_its_amplitude_and_rate(seed: int) -> None:
    drift = draw_drift(np.random.default_rng(seed), amplitude=3.0, largest_offset=1.0)
    times = np.linspace(0, 30, 6001)
    values = np.array([drift.at(t) for t in times])
    assert abs(drift.offset) <= 1.0
    assert np.abs(values - drift.offset).max() <= 3.0 + 1e-12
    assert np.abs(np.diff(values) / np.diff(times)).max() <= drift.largest_change_per_s + 1e-9
    # The slowest waves carry most: 3 · 2π · 1.4 Hz would be the bound if the fastest carried all.
    assert drift.largest_change_per_s < 0.6 * 3.0 * 2 * np.pi * 1.4


def test_a_frozen_camera_maps_the_frame_onto_the_square_of_the_take() -> None:
    take = Take(Path("unused"), centre_xy_px=(50, 40), side_px=20)
    homography = camera_homography(FROZEN, take, 0.0, size_px=10)
    corners = np.array([[[-0.5, -0.5], [9.5, -0.5], [9.5, 9.5], [4.5, 4.5]]])
    # Pixel edges -0.5 and 9.5 are the square's edges 40 and 60 (30 and 50), in coordinates of pixel centres.
    expected = [[39.5, 29.5], [59.5, 29.5], [59.5, 49.5], [49.5, 39.5]]
    np.testing.assert_allclose(cv2.perspectiveTransform(corners, homography)[0], expected, atol=1e-9)


@pytest.mark.parametrize("seed", range(10))
def test_the_view_moves_by_a_small_bounded_step_from_frame_to_frame(seed: int) -> None:
    size_px, fps = 200, 20.0
    take = Take(Path("unused"), centre_xy_px=(100, 100), side_px=size_px)
    motion = draw_motion(np.random.default_rng(seed))
    grid = np.stack(np.meshgrid(np.linspace(0, 199, 9), np.linspace(0, 199, 9)), axis=-1).reshape(1, -1, 2)
    views = [
        cv2.perspectiveTransform(grid, camera_homography(motion, take, index / fps, size_px)) for index in range(60)
    ]
    steps_px = [np.linalg.norm(later - earlier, axis=-1) for earlier, later in itertools.pairwise(views)]
    assert max(step.max() for step in steps_px) < 0.05 * size_px
    assert max(step.max() for step in steps_px) > 0.001 * size_px
    accelerations = [
        np.linalg.norm(a - 2 * b + c, axis=-1) for a, b, c in zip(views, views[1:], views[2:], strict=False)
    ]
    assert max(acceleration.max() for acceleration in accelerations) < 0.01 * size_px


def test_neutral_light_changes_nothing_and_warm_light_lifts_red_over_blue() -> None:
    np.testing.assert_array_equal(tone_table(FROZEN, 0.0)[:, 0], np.arange(256)[:, None].repeat(3, axis=1))
    warm = CameraMotion(*[STILL] * 8, log_warmth=Drift(np.log(1.25), (), (), ()))
    np.testing.assert_array_equal(tone_table(warm, 0.0)[100, 0], [125, 100, 80])
    dark = CameraMotion(*[STILL] * 7, Drift(np.log(2.0), (), (), ()), STILL)
    assert tone_table(dark, 0.0)[128, 0, 1] == round(255 * (128 / 255) ** 2)


def test_a_clip_is_a_function_of_its_generator(photo: Path) -> None:
    take = Take(photo, (80, 60), 100)
    first, again, other = (render_take(take, 3, 10.0, 64, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.shape == (3, 64, 64, 3)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_noise_has_no_mean_and_a_deviation_within_its_range() -> None:
    grey = np.full((128, 128, 3), 120, dtype=np.uint8)
    first, second = add_sensor_noise([grey, grey], np.random.default_rng(3))
    residual = first.astype(float) - 120
    assert abs(residual.mean()) < 0.05
    assert 0.95 < residual.std() < 2.6
    assert abs(np.corrcoef(residual.ravel(), second.astype(float).ravel() - 120)[0, 1]) < 0.02


def test_noise_saturates_instead_of_wrapping() -> None:
    extremes = np.zeros((32, 32, 3), dtype=np.uint8)
    extremes[16:] = 255
    (noisy,) = add_sensor_noise([extremes], np.random.default_rng(0))
    assert noisy[:16].max() < 30
    assert noisy[16:].min() > 225


def test_a_window_takes_the_frames_nearest_to_its_times(tmp_path: Path) -> None:
    video = tmp_path / "counted.mp4"
    write_video(video, (np.full((64, 64, 3), 8 * index, np.uint8) for index in range(30)), fps=30.0, crf=0)
    window = read_take(Take(video, (32, 32), 64, start_s=0.2), frames=4, fps=10.0)
    # 0.2 s is frame 6, then every third.
    np.testing.assert_allclose([rgb.mean() for rgb in window], [48, 72, 96, 120], atol=3)
    twice = read_take(Take(video, (32, 32), 64, start_s=0.0), frames=4, fps=60.0)
    assert len(twice) == 4


def test_a_window_beyond_the_end_says_what_it_needs(tmp_path: Path) -> None:
    video = tmp_path / "short.mp4"
    write_video(video, [np.zeros((64, 64, 3), np.uint8)] * 5, fps=10.0, crf=23)
    with pytest.raises(DataError, match=r"has 5 frames at 10 per second.*needs 9"):
        read_take(Take(video, (32, 32), 64, start_s=0.5), frames=4, fps=10.0)


def test_a_photo_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "text.jpg"
    path.write_text("hello")
    with pytest.raises(DataError, match=r"text\.jpg is not an image"):
        read_take(Take(path, (1, 1), 2), frames=1, fps=1.0)
