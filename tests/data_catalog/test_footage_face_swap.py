"""The classical face swap of the sample footage."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import LinearNDInterpolator

from data_catalog.footage.face_swap import (
    Blending,
    feather_mask,
    match_colour,
    piecewise_affine_map,
    swap_clip,
    swap_face,
)
from difffake.errors import DataError
from difffake.faces.records import FloatArray, RgbImage

BLENDINGS: tuple[Blending, ...] = ("feather", "poisson")


def face_points(size_px: float, centre: tuple[float, float] = (100, 100), mouth_opening: float = 0.1) -> FloatArray:
    """68 points of a schematic face in iBUG order, `size_px` wide."""
    jaw_angle = np.linspace(np.pi, 0, 17)
    jaw = np.column_stack([0.5 * np.cos(jaw_angle), 0.65 * np.sin(jaw_angle)])
    brows = np.column_stack([np.linspace(-0.4, 0.4, 10), np.full(10, -0.25) - 0.03 * np.tile([0, 1, 2, 1, 0], 2)])
    ridge = np.column_stack([np.zeros(4), np.linspace(-0.1, 0.1, 4)])
    nostrils = np.column_stack([np.linspace(-0.1, 0.1, 5), np.full(5, 0.15)])

    def ring(x: float, y: float, width: float, height: float, count: int) -> FloatArray:
        angle = np.pi + 2 * np.pi * np.arange(count) / count
        return np.column_stack([x + width * np.cos(angle), y + height * np.sin(angle)])

    eyes = [ring(-0.22, -0.1, 0.08, 0.03, 6), ring(0.22, -0.1, 0.08, 0.03, 6)]
    mouth = [ring(0, 0.35, 0.2, mouth_opening + 0.06, 12), ring(0, 0.35, 0.15, mouth_opening, 8)]
    points = np.concatenate([jaw, brows, ridge, nostrils, *eyes, *mouth])
    assert points.shape == (68, 2)
    return (size_px * points + np.array(centre)).astype(np.float32)


def textured(seed: int, side_px: int = 200) -> RgbImage:
    noise = np.random.default_rng(seed).integers(0, 256, (side_px, side_px, 3), dtype=np.uint8)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 3), dtype=np.uint8)


def test_the_warp_takes_each_landmark_from_its_counterpart() -> None:
    target = np.rint(face_points(120, (90, 95)))
    source = face_points(80, (120, 70)) + np.random.default_rng(0).normal(0, 1.5, (68, 2)).astype(np.float32)
    distinct = np.unique(target, axis=0, return_index=True)[1]
    source_xy, is_inside = piecewise_affine_map(target[distinct], source[distinct], (200, 200))
    x, y = target[distinct].astype(int).T
    assert is_inside[y, x].all()
    np.testing.assert_allclose(source_xy[y, x], source[distinct], atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 40))
def test_the_warp_agrees_with_scipys_linear_interpolation(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    target, source = rng.uniform(-5, 45, (count, 2)), rng.uniform(0, 99, (count, 2))
    source_xy, is_inside = piecewise_affine_map(target, source, (40, 32))
    x, y = np.meshgrid(np.arange(32), np.arange(40))
    expected = LinearNDInterpolator(target, source)(x, y)
    is_expected = ~np.isnan(expected[..., 0])
    assert (is_inside == is_expected).mean() > 0.999
    both = is_inside & is_expected
    np.testing.assert_allclose(source_xy[both], expected[both], atol=1e-3)
    assert (source_xy[~is_inside] == 0).all()


def test_one_affine_map_of_all_points_is_reproduced_everywhere() -> None:
    target = face_points(120)
    matrix, shift = np.array([[0.8, 0.3], [-0.2, 1.1]]), np.array([7.0, -4.0])
    source_xy, is_inside = piecewise_affine_map(target, (target @ matrix.T + shift).astype(np.float32), (200, 200))
    y, x = np.nonzero(is_inside)
    assert len(x) > 5000
    np.testing.assert_allclose(source_xy[y, x], np.column_stack([x, y]) @ matrix.T + shift, atol=1e-3)


@pytest.mark.parametrize("blending", BLENDINGS)
def test_a_face_swapped_with_itself_is_the_image(blending: Blending) -> None:
    rgb, points = textured(0), face_points(120)
    swapped = swap_face(rgb, points, rgb, points, blending)
    assert np.abs(swapped.astype(int) - rgb).max() <= 2


@pytest.mark.parametrize("blending", BLENDINGS)
def test_a_swap_brings_the_source_to_the_right_place_and_leaves_the_rest_alone(blending: Blending) -> None:
    # A source that is the target shifted by (30, -20) must come back to where it was, not near it.
    rgb = textured(1)
    points = face_points(100)
    shifted = np.roll(rgb, (-20, 30), axis=(0, 1))
    swapped = swap_face(rgb, points, shifted, points + np.array([30, -20], dtype=np.float32), blending)
    assert np.abs(swapped.astype(int) - rgb).mean() < 0.5
    other = swap_face(rgb, points, textured(2), points, blending)
    outside = cv2.fillConvexPoly(np.zeros((200, 200), np.uint8), cv2.convexHull(np.rint(points).astype(int)), (1,)) == 0
    np.testing.assert_array_equal(other[outside], rgb[outside])
    assert np.abs(other.astype(int) - rgb)[~outside].mean() > 5


@pytest.mark.parametrize("blending", BLENDINGS)
def test_the_inside_of_the_mouth_stays_the_targets(blending: Blending) -> None:
    rgb, points = textured(3), face_points(140, mouth_opening=0.15)
    swapped = swap_face(rgb, points, textured(4), points, blending)
    x, y = np.rint(points[60:68].mean(axis=0)).astype(int)
    inside = (slice(y - 5, y + 6), slice(x - 5, x + 6))
    assert np.abs(swapped[inside].astype(int) - rgb[inside]).max() <= 3


@pytest.mark.parametrize("blending", BLENDINGS)
@pytest.mark.parametrize("centre", [(100, 5), (5, 100), (198, 198), (100, 260), (-300, 50)])
def test_a_face_at_or_beyond_the_border_is_swapped_as_far_as_it_is_seen(
    blending: Blending, centre: tuple[float, float]
) -> None:
    rgb = textured(5)
    swapped = swap_face(rgb, face_points(120, centre), textured(6), face_points(120), blending)
    assert swapped.shape == rgb.shape


def test_colours_take_the_reference_moments() -> None:
    image, reference = textured(7) // 3 + 60, textured(8) // 3 + 110
    mask = np.zeros((200, 200), dtype=bool)
    mask[50:150, 40:170] = True
    matched = match_colour(image, reference, mask)
    np.testing.assert_array_equal(matched[~mask], image[~mask])

    def lab(rgb: RgbImage) -> FloatArray:
        return cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)[mask]

    np.testing.assert_allclose(lab(matched).mean(axis=0), lab(reference).mean(axis=0), atol=0.2)
    np.testing.assert_allclose(lab(matched).std(axis=0), lab(reference).std(axis=0), rtol=0.05)


def test_a_flat_image_takes_the_mean_alone() -> None:
    flat, reference = np.full((20, 20, 3), 90, np.uint8), np.full((20, 20, 3), 140, np.uint8)
    reference[::2] = 150
    matched = match_colour(flat, reference, np.ones((20, 20), dtype=bool))
    assert np.unique(matched.reshape(-1, 3), axis=0).shape == (1, 3)
    assert abs(int(matched[0, 0, 0]) - 145) <= 1


def test_contrast_grows_no_more_than_twofold() -> None:
    rng = np.random.default_rng(0)
    faint = rng.integers(127, 130, (60, 60, 1), dtype=np.uint8).repeat(3, axis=2)
    strong = rng.integers(40, 216, (60, 60, 1), dtype=np.uint8).repeat(3, axis=2)
    matched = match_colour(faint, strong, np.ones((60, 60), dtype=bool))
    assert matched.std() < 2.3 * faint.std()


def test_an_empty_mask_changes_nothing() -> None:
    image = textured(9)
    np.testing.assert_array_equal(match_colour(image, textured(1), np.zeros((200, 200), dtype=bool)), image)


def test_the_feather_runs_from_nothing_at_the_hull_to_everything_inside() -> None:
    points = face_points(120)
    mask = feather_mask(points, (200, 200))
    assert mask.dtype == np.float32
    assert mask.min() == 0
    assert mask.max() == pytest.approx(1, abs=1e-3)
    inside = cv2.fillConvexPoly(np.zeros((200, 200), np.uint8), cv2.convexHull(np.rint(points).astype(int)), (1,)) == 1
    assert (mask[~inside] == 0).all()
    assert np.abs(np.diff(mask, axis=0)).max() < 0.5
    x, y = np.rint(points[60:68].mean(axis=0)).astype(int)
    assert mask[y, x] < 0.1


def test_frames_without_a_face_stay_and_are_counted() -> None:
    target = np.stack([textured(seed) for seed in range(4)])
    source = np.stack([textured(seed) for seed in range(10, 14)])
    points = face_points(100)
    clip = swap_clip(target, [None, points, points, points], source, [points, points, None, points], "feather")
    assert clip.frames_swapped == 2
    for index, is_swapped in enumerate([False, True, False, True]):
        assert (clip.frames[index] != target[index]).any() == is_swapped


def test_a_clip_with_hardly_a_face_is_refused() -> None:
    clip = np.stack([textured(seed) for seed in range(4)])
    points = face_points(100)
    with pytest.raises(DataError, match="only 1 of 4 frames"):
        swap_clip(clip, [points, None, None, None], clip, [points] * 4, "feather")
