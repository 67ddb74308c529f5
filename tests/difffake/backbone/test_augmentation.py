"""What happens alike to a real face and its pseudo-fake: bounds, determinism, and that a pair is treated alike."""

import dataclasses

import cv2
import numpy as np
import pytest

from difffake.backbone import augmentation
from difffake.backbone.augmentation import (
    Augmentation,
    Colour,
    Compression,
    Geometry,
    augment,
    augment_mask,
    draw_augmentation,
    draw_flip_jpeg,
    draw_robust,
)
from difffake.config import AugmentationName
from tests.helpers.landmarks import textured_face

IMAGE = textured_face(64)


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("name", ["flip_jpeg", "robust"])
def test_both_of_a_pair_are_treated_alike(name: AugmentationName) -> None:
    for seed in range(12):
        drawn = draw_augmentation(name, 1.0, rng(seed))
        real, fake = augment(IMAGE, drawn), augment(IMAGE.copy(), drawn)
        np.testing.assert_array_equal(real, fake)
        assert real.shape == IMAGE.shape
        assert real.dtype == np.uint8


def test_none_changes_nothing() -> None:
    assert draw_augmentation("none", 1.0, rng(0)) == Augmentation()
    assert augment(IMAGE, Augmentation()) is IMAGE


def test_a_mirror_comes_half_of_the_time() -> None:
    outcomes = []
    for seed in range(40):
        drawn = dataclasses.replace(draw_flip_jpeg(1.0, rng(seed)), compression=None)
        changed = augment(IMAGE, drawn)
        expected = IMAGE[:, ::-1] if drawn.is_mirrored else IMAGE
        np.testing.assert_array_equal(changed, expected)
        outcomes.append(drawn.is_mirrored)
    assert 10 < sum(outcomes) < 30


def test_jpeg_qualities_are_those_of_the_coder() -> None:
    qualities = [
        drawn.compression.level for seed in range(200) if (drawn := draw_flip_jpeg(1.0, rng(seed))).compression
    ]
    assert (min(qualities), max(qualities)) == (40, 100)
    for quality in (40, 100):
        coded = cv2.imencode(".jpg", IMAGE[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        expected = cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1]
        changed = augment(IMAGE, Augmentation(compression=Compression("jpeg", quality)))
        np.testing.assert_array_equal(changed, expected)


def test_strength_nought_leaves_the_mirror_alone() -> None:
    drawn = [draw_robust(0.0, rng(seed)) for seed in range(20)]
    assert {dataclasses.replace(one, is_mirrored=False) for one in drawn} == {Augmentation()}
    assert {one.is_mirrored for one in drawn} == {False, True}


@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_what_is_drawn_keeps_its_bounds(strength: float) -> None:
    drawn = [draw_robust(strength, rng(seed)) for seed in range(600)]
    geometry = [one.geometry for one in drawn if one.geometry]
    colour = [one.colour for one in drawn if one.colour]
    assert len(geometry) == pytest.approx(600 * strength, rel=0.2)
    assert max(abs(one.rotation_degrees) for one in geometry) <= 12 * strength
    assert max(abs(np.log(one.scale)) for one in geometry) <= 0.2 * strength + 1e-9
    assert max(max(abs(one.shift_x), abs(one.shift_y)) for one in geometry) <= 0.06 * strength
    assert max(abs(one.brightness) for one in colour) <= 0.2 * strength
    assert max(abs(one.contrast) for one in colour) <= 0.3 * strength
    assert max(abs(np.log(one.gamma)) for one in colour) <= 0.4 * strength + 1e-9
    assert all(one.saturation == 0 or abs(one.saturation - 1) <= 0.6 * strength for one in colour)
    assert any(one.saturation == 0 for one in colour)
    assert min(one.size_share for one in drawn) >= 1 - 0.7 * strength
    assert max(one.blur_sigma_px for one in drawn) <= 0.3 + 1.7 * strength
    assert max(one.noise_levels for one in drawn) <= 1 + 9 * strength
    coded = [one.compression for one in drawn if one.compression]
    qps = {one.level for one in coded if one.codec == "h264"}
    qualities = {one.level for one in coded if one.codec == "jpeg"}
    assert min(qps) == 20
    assert max(qps) == 20 + 2 * round(12 * strength)
    assert min(qualities) >= 100 - round(70 * strength)
    assert len(coded) == pytest.approx(540, rel=0.1)


def test_a_draw_is_a_function_of_the_generator() -> None:
    assert draw_robust(0.7, rng(5)) == draw_robust(0.7, rng(5))
    assert draw_robust(0.7, rng(5)) != draw_robust(0.7, rng(6))


def test_a_coded_picture_hangs_on_nothing_that_was_coded_before() -> None:
    drawn = Augmentation(compression=Compression("h264", 32))
    first = augment(IMAGE, drawn)
    augment(textured_face(64, seed=9), drawn)
    np.testing.assert_array_equal(augment(IMAGE, drawn), first)
    augmentation._h264_codec.cache_clear()
    np.testing.assert_array_equal(augment(IMAGE, drawn), first)


def test_a_higher_quantiser_loses_more_and_stays_the_same_picture() -> None:
    smooth = cv2.GaussianBlur(textured_face(128), (0, 0), 2)
    losses = [
        np.abs(augment(smooth, Augmentation(compression=Compression("h264", qp))).astype(int) - smooth).mean()
        for qp in (20, 30, 40)
    ]
    assert losses[0] < losses[1] < losses[2] < 12


def test_a_picture_is_coded_at_its_reduced_size() -> None:
    flat = np.full((64, 64, 3), 90, np.uint8)
    drawn = Augmentation(size_share=0.5, compression=Compression("h264", 20))
    assert np.abs(augment(flat, drawn).astype(int) - 90).max() <= 3
    coarse = augment(IMAGE, dataclasses.replace(drawn, compression=Compression("h264", 40)))
    small = cv2.resize(IMAGE, (32, 32), interpolation=cv2.INTER_AREA)
    coded = augment(small, Augmentation(compression=Compression("h264", 40)))
    np.testing.assert_array_equal(coarse, cv2.resize(coded, (64, 64), interpolation=cv2.INTER_LINEAR))
    # 4 px checks vanish at half of the size coarsely coded, not at the full size.
    checks = np.kron(np.indices((32, 32)).sum(axis=0) % 2, np.ones((2, 2))).astype(np.uint8) * 255
    image = np.repeat(checks[..., None], 3, axis=2)
    assert augment(image, Augmentation(size_share=0.5)).std() < 0.6 * image.std()


def test_geometry_turns_scales_and_shifts_about_the_middle() -> None:
    image = np.zeros((65, 65, 3), np.uint8)
    image[32, 42] = 255
    turned = augment(image, Augmentation(geometry=Geometry(90, 1.0, 0.0, 0.0)))
    assert np.unravel_index(turned[..., 0].argmax(), (65, 65)) == (22, 32)
    grown = augment(image, Augmentation(geometry=Geometry(0, 1.5, 0.0, 0.0)))
    assert np.unravel_index(grown[..., 0].argmax(), (65, 65)) == (32, 47)
    shifted = augment(image, Augmentation(geometry=Geometry(0, 1.0, -0.2, 0.1)))
    assert abs(shifted[..., 0].sum(axis=0).argmax() - (42 - 13)) <= 1
    assert abs(shifted[..., 0].sum(axis=1).argmax() - (32 + 6.5)) <= 1


def test_no_saturation_is_grey_and_gamma_keeps_black_and_white() -> None:
    grey = augment(IMAGE, Augmentation(colour=Colour(0, 0, 1, 0)))
    assert (grey == grey[..., :1]).all()
    np.testing.assert_allclose(grey[..., 0], cv2.cvtColor(IMAGE, cv2.COLOR_RGB2GRAY), atol=1)
    ends = np.zeros((8, 8, 3), np.uint8)
    ends[:4] = 255
    np.testing.assert_array_equal(augment(ends, Augmentation(colour=Colour(0, 0, 1.4, 1))), ends)
    middle = np.full((8, 8, 3), 128, np.uint8)
    expected = round(255 * (0.5 + 0.2 + 128 / 255 - 0.5) ** 1.2)
    assert abs(int(augment(middle, Augmentation(colour=Colour(0.2, 0, 1.2, 1)))[0, 0, 0]) - expected) <= 1


def test_noise_has_the_spread_it_says_and_is_shared() -> None:
    flat = np.full((96, 96, 3), 128, np.uint8)
    noisy = augment(flat, Augmentation(noise_levels=8, noise_seed=3))
    assert (noisy.astype(float) - 128).std() == pytest.approx(8, rel=0.03)
    np.testing.assert_array_equal(noisy, augment(flat, Augmentation(noise_levels=8, noise_seed=3)))


def test_a_mask_moves_as_its_picture_and_is_neither_coded_nor_blurred() -> None:
    mask = np.zeros((65, 65), np.float32)
    mask[20:30, 40:50] = 0.7
    image = np.repeat((mask * 255).astype(np.uint8)[..., None], 3, axis=2)
    drawn = Augmentation(is_mirrored=True, geometry=Geometry(20, 1.2, 0.05, -0.03))
    moved = augment_mask(mask, drawn)
    assert np.abs(moved - augment(image, drawn)[..., 0] / 255).max() < 0.02
    rough = dataclasses.replace(
        drawn, blur_sigma_px=2.0, size_share=0.4, noise_levels=9, compression=Compression("jpeg", 30)
    )
    np.testing.assert_array_equal(augment_mask(mask, rough), moved)
