import colorsys

import numpy as np
import pytest
from scipy import ndimage

from difffake.config import PseudoFakesConfig
from difffake.pseudofakes.blending import (
    blend,
    change_detail,
    move_image,
    move_matrix,
    sharpening_kernel,
    transform_colour,
)
from difffake.pseudofakes.masks import deform_mask
from difffake.pseudofakes.recipe import ColourTransform, Downscale, Elastic, Move, Sharpen, draw_recipe
from tests.helpers.landmarks import textured_face

NO_DETAIL = Downscale(factor=1)
NOTHING = ColourTransform(rgb_shift_levels=None, hsv_shift_levels=(0, 0, 0), brightness=0, contrast=0, detail=NO_DETAIL)
# Every grey level once.
GREYS = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)


def noise_image(seed: int, size_px: int = 96) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size_px, size_px, 3), dtype=np.uint8)


def only(**changes: object) -> ColourTransform:
    return NOTHING.model_copy(update=changes)


def test_a_mask_of_zero_gives_the_target_and_of_one_the_source():
    source, target = noise_image(1), noise_image(2)
    nothing, everything = np.zeros((96, 96), np.float32), np.ones((96, 96), np.float32)
    np.testing.assert_array_equal(blend(source, target, nothing), target)
    np.testing.assert_array_equal(blend(source, target, everything), source)


def test_an_image_blended_with_itself_is_itself():
    image, mask = noise_image(3), np.random.default_rng(3).random((96, 96), dtype=np.float32)
    np.testing.assert_array_equal(blend(image, image, mask), image)


def test_blending_is_the_weighted_mean_to_the_nearest_level():
    source, target = noise_image(4), noise_image(5)
    mask = np.random.default_rng(6).random((96, 96), dtype=np.float32)
    weight = mask[..., None].astype(np.float64)
    expected = source * weight + target * (1 - weight)
    assert np.abs(blend(source, target, mask) - expected).max() < 0.51


def test_a_transform_of_nothing_keeps_greys():
    np.testing.assert_array_equal(transform_colour(GREYS, NOTHING), GREYS)


def test_brightness_and_contrast_are_linear_and_saturate():
    changed = transform_colour(GREYS, only(brightness=0.1, contrast=-0.1))
    np.testing.assert_array_equal(changed, np.rint(np.clip(0.9 * GREYS + 25.5, 0, 255)))
    brightest = transform_colour(GREYS, only(brightness=0.1, contrast=0.1))
    assert brightest.ravel()[-1] == 255
    assert brightest.ravel()[0] == round(25.5)


def test_rgb_shifts_move_each_channel_by_its_own_amount():
    middle = np.full((8, 8, 3), 100, np.uint8)
    changed = transform_colour(middle, only(rgb_shift_levels=(12.0, -7.0, 3.0))).astype(int)
    # Through 8-bit hue and back costs a few levels.
    np.testing.assert_allclose(changed.reshape(-1, 3) - 100, [[12, -7, 3]] * 64, atol=2)


@pytest.mark.parametrize("shift", [40, -76.5])
def test_value_shifts_lighten_greys_and_saturate(shift):
    changed = transform_colour(GREYS, only(hsv_shift_levels=(0, 0, shift)))
    np.testing.assert_array_equal(changed, np.clip(np.floor(GREYS + float(shift)), 0, 255))


def test_the_papers_value_shift_costs_one_level_or_nothing():
    darker = transform_colour(GREYS, only(hsv_shift_levels=(0, 0, -0.3)))
    np.testing.assert_array_equal(darker, np.maximum(GREYS.astype(int) - 1, 0))
    same = transform_colour(GREYS, only(hsv_shift_levels=(0, 0, 0.3)))
    np.testing.assert_array_equal(same, GREYS)


@pytest.mark.parametrize("hue_shift", [-54, 20, 54])
def test_hue_shifts_turn_the_colour_wheel(hue_shift):
    image = noise_image(7, 32)
    turned = np.array(
        [
            colorsys.hsv_to_rgb((hue + hue_shift / 180) % 1, saturation, value)
            for hue, saturation, value in (colorsys.rgb_to_hsv(*pixel) for pixel in image.reshape(-1, 3) / 255)
        ]
    ).reshape(image.shape)
    changed = transform_colour(image, only(hsv_shift_levels=(hue_shift, 0, 0)))
    # 8-bit hue has steps of 2°, a thirtieth of a channel's range.
    np.testing.assert_allclose(changed, 255 * turned, atol=7)


def test_paper_strength_hardly_shifts_hue_saturation_value_and_strong_does():
    def mean_change(strength: str) -> float:
        config = PseudoFakesConfig(colour_strength=strength)
        image = textured_face(64).astype(np.int16)
        shifts = [draw_recipe(config, np.random.default_rng(seed)).colour.hsv_shift_levels for seed in range(40)]
        plain = transform_colour(image.astype(np.uint8), NOTHING).astype(np.int16)
        return float(
            np.mean(
                [
                    np.abs(transform_colour(image.astype(np.uint8), only(hsv_shift_levels=shift)) - plain).mean()
                    for shift in shifts
                ]
            )
        )

    assert 0 < mean_change("paper") < 2
    assert mean_change("strong") > 20


def test_a_sharpened_flat_picture_changes_by_the_sum_of_the_kernel():
    flat = np.full((16, 16, 3), 100, np.uint8)
    np.testing.assert_array_equal(change_detail(flat, Sharpen(alpha=0.5, lightness=1)), flat)
    np.testing.assert_array_equal(change_detail(flat, Sharpen(alpha=0.4, lightness=0.5)), np.full_like(flat, 80))


def test_sharpening_agrees_with_a_convolution():
    image = textured_face(48)
    sharpen = Sharpen(alpha=0.3, lightness=0.8)
    high_pass = 9 * image.astype(np.float64) - ndimage.convolve(
        image.astype(np.float64), np.ones((3, 3, 1)), mode="mirror"
    )
    expected = np.clip(0.7 * image + 0.3 * (high_pass + 0.8 * image), 0, 255)
    assert np.abs(change_detail(image, sharpen) - expected).max() < 0.51
    assert sharpening_kernel(sharpen).sum() == pytest.approx(0.7 + 0.3 * 0.8)


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("size_px", [64, 97])
def test_downscaling_keeps_the_size_and_the_picked_pixels(factor, size_px):
    # A ramp that every interpolation keeps, seen on picked pixels only: a shift of at most `factor` levels.
    ramp = np.repeat(np.repeat(np.arange(size_px, dtype=np.uint8)[None, :, None], size_px, 0), 3, 2)
    lost = change_detail(ramp, Downscale(factor=factor))
    assert lost.shape == ramp.shape
    assert 0 < np.abs(lost.astype(int) - ramp).max() <= factor + 1
    noisy = noise_image(8, size_px)
    detail = np.abs(np.diff(noisy.astype(int), axis=1)).mean()
    assert np.abs(np.diff(change_detail(noisy, Downscale(factor=factor)).astype(int), axis=1)).mean() < 0.7 * detail


def test_no_move_leaves_an_image_as_it_was():
    image = noise_image(9)
    still = move_matrix(Move(translate_x=0, translate_y=0, scale=1), 96)
    np.testing.assert_array_equal(move_image(image, still), image)


def test_an_image_moves_right_and_down_and_mirrors_its_edge():
    image = noise_image(10)
    moved = move_image(image, move_matrix(Move(translate_x=3 / 96, translate_y=2 / 96, scale=1), 96))
    np.testing.assert_array_equal(moved[2:, 3:], image[:-2, :-3])
    np.testing.assert_array_equal(moved[2:, :3], image[:-2, 3:0:-1])


def test_image_and_mask_move_together():
    mask = np.zeros((96, 96), np.float32)
    mask[30:60, 20:70] = 1
    move = Move(translate_x=0.03, translate_y=-0.015, scale=1 / 0.95)
    image = np.repeat((255 * mask).astype(np.uint8)[..., None], 3, axis=2)
    moved = move_image(image, move_matrix(move, 96))
    # OpenCV places samples at 1/32 of a pixel.
    np.testing.assert_allclose(
        moved[..., 0] / 255, deform_mask(mask, move, Elastic(alpha_px=0, sigma_px=7, seed=0)), atol=0.07
    )
