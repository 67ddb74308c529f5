import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import chisquare

from difffake.config import PseudoFakesConfig
from difffake.errors import ArtefactError
from difffake.pseudofakes.recipe import Downscale, PseudoFakeRecipe, Sharpen, Softening, draw_recipe

CONFIG = PseudoFakesConfig()


@pytest.fixture(scope="module")
def recipes() -> list[PseudoFakeRecipe]:
    rng = np.random.default_rng(2024)
    return [draw_recipe(CONFIG, rng) for _ in range(4000)]


def fits(counts: list[int], weights: list[float]) -> bool:
    expected = np.array(weights) / sum(weights) * sum(counts)
    return chisquare(counts, expected).pvalue > 1e-3


def test_mask_types_come_three_to_one(recipes):
    seen = Counter(recipe.mask_type for recipe in recipes)
    assert fits([seen["full_face"], seen["eyes"], seen["mouth"], seen["lower_head"]], [3, 1, 1, 1])
    assert seen.total() == sum(seen[kind] for kind in ("full_face", "eyes", "mouth", "lower_head"))


def test_hull_families_are_equally_likely_and_for_full_faces_only(recipes):
    seen = Counter(recipe.hull_family for recipe in recipes if recipe.mask_type == "full_face")
    assert fits([seen[family] for family in ("dfl_full", "extended", "components", "all_points")], [1, 1, 1, 1])
    assert {recipe.hull_family for recipe in recipes if recipe.mask_type != "full_face"} == {None}


def test_blend_ratios_are_whole_half_of_the_time(recipes):
    seen = Counter(recipe.blend_ratio for recipe in recipes)
    assert fits([seen[0.25], seen[0.5], seen[0.75], seen[1.0]], [1, 1, 1, 3])


def test_either_side_and_either_change_of_detail_are_equally_likely(recipes):
    sides = Counter(recipe.transformed for recipe in recipes)
    assert fits([sides["source"], sides["target"]], [1, 1])
    details = Counter(type(recipe.colour.detail) for recipe in recipes)
    assert fits([details[Downscale], details[Sharpen]], [1, 1])
    factors = Counter(recipe.colour.detail.factor for recipe in recipes if isinstance(recipe.colour.detail, Downscale))
    assert fits([factors[2], factors[4]], [1, 1])


def test_rgb_is_shifted_three_times_in_ten(recipes):
    shifted = sum(recipe.colour.rgb_shift_levels is not None for recipe in recipes)
    assert fits([shifted, len(recipes) - shifted], [3, 7])


def test_kernels_and_sizes_take_every_allowed_value_and_no_other(recipes):
    odd = set(range(5, 26, 2))
    assert {recipe.softening.inner_kernel_px for recipe in recipes} == odd
    assert {recipe.softening.outer_kernel_px for recipe in recipes} == odd
    assert {recipe.softening.size_px for recipe in recipes} == set(range(192, 257))


def test_continuous_parameters_fill_their_ranges(recipes):
    ranges = {
        "translate_x": ([recipe.move.translate_x for recipe in recipes], -0.03, 0.03),
        "translate_y": ([recipe.move.translate_y for recipe in recipes], -0.015, 0.015),
        "scale": ([recipe.move.scale for recipe in recipes], 0.95, 1 / 0.95),
        "brightness": ([recipe.colour.brightness for recipe in recipes], -0.1, 0.1),
        "contrast": ([recipe.colour.contrast for recipe in recipes], -0.1, 0.1),
        "outer_sigma": ([recipe.softening.outer_sigma_px for recipe in recipes], 5, 45),
        "rgb": ([s for r in recipes for s in r.colour.rgb_shift_levels or ()], -20, 20),
        "hsv": ([s for r in recipes for s in r.colour.hsv_shift_levels], -0.3, 0.3),
        "alpha": ([r.colour.detail.alpha for r in recipes if r.colour.detail.kind == "sharpen"], 0.2, 0.5),
        "lightness": ([r.colour.detail.lightness for r in recipes if r.colour.detail.kind == "sharpen"], 0.5, 1),
    }
    for name, (values, low, high) in ranges.items():
        assert low <= min(values) < low + 0.01 * (high - low), name
        assert high - 0.01 * (high - low) < max(values) <= high, name


def test_strong_shifts_reach_three_tenths_of_each_range():
    config = PseudoFakesConfig(colour_strength="strong")
    rng = np.random.default_rng(0)
    shifts = np.abs([draw_recipe(config, rng).colour.hsv_shift_levels for _ in range(1000)])
    np.testing.assert_allclose(shifts.max(axis=0), [54, 76.5, 76.5], rtol=0.02)
    assert (shifts.max(axis=0) <= [54, 76.5, 76.5]).all()


def test_mask_types_without_weight_are_never_drawn():
    config = PseudoFakesConfig(mask_weights={"mouth": 1.0, "eyes": 0.0})
    rng = np.random.default_rng(0)
    assert {draw_recipe(config, rng).mask_type for _ in range(200)} == {"mouth"}


@pytest.mark.parametrize(
    ("variant", "expected"),
    [("sbi", {"full_face"}), ("local", {"eyes", "mouth", "lower_head"}),
     ("paper", {"full_face", "eyes", "mouth", "lower_head"})],
)  # fmt: skip
def test_a_variant_draws_its_masks_and_no_others(variant, expected):
    rng = np.random.default_rng(0)
    assert {draw_recipe(PseudoFakesConfig(variant=variant), rng).mask_type for _ in range(200)} == expected


def test_the_variant_without_pseudo_fakes_draws_nothing():
    with pytest.raises(ValueError, match="variant none makes no pseudo-fakes"):
        draw_recipe(PseudoFakesConfig(variant="none"), np.random.default_rng(0))


def test_the_order_of_the_weights_in_a_file_does_not_matter():
    weights = {"full_face": 3.0, "eyes": 1.0, "mouth": 1.0, "lower_head": 1.0}
    forwards, backwards = np.random.default_rng(5), np.random.default_rng(5)
    turned = PseudoFakesConfig(mask_weights=dict(reversed(weights.items())))
    for _ in range(50):
        assert draw_recipe(PseudoFakesConfig(mask_weights=weights), forwards) == draw_recipe(turned, backwards)


@settings(deadline=None)
@given(seed=st.integers(0, 2**63), strength=st.sampled_from(["paper", "strong"]))
def test_a_recipe_survives_json_exactly(seed, strength):
    recipe = draw_recipe(PseudoFakesConfig(colour_strength=strength), np.random.default_rng(seed))
    text = recipe.to_json()
    assert PseudoFakeRecipe.from_json(text) == recipe
    assert PseudoFakeRecipe.from_json(text).to_json() == text
    assert "\n" not in text


def altered(**changes: object) -> str:
    content = json.loads(draw_recipe(CONFIG, np.random.default_rng(0)).to_json())
    return json.dumps({key: value for key, value in (content | changes).items() if value != "drop"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("[1]", "schema version None"),
        ("{}", "schema version None"),
        (altered(schema_version=3), "schema version 3, this code reads up to 2"),
        (altered(schema_version="1"), "schema version '1'"),
        (altered(schema_version=True), "schema version True"),
        (altered(blend_ratio="drop"), "blend_ratio"),
        (altered(blend_ratio=0), "blend_ratio"),
        (altered(mask_type="ear"), "mask_type"),
        (altered(mask_type="eyes", hull_family="extended"), "mask type eyes does not go with hull family extended"),
        (altered(mask_type="full_face", hull_family=None), "mask type full_face"),
        (altered(shine=1), "shine"),
        (altered(move={"translate_x": 0, "translate_y": 0, "scale": float("nan")}), "scale"),
    ],
)
def test_a_recipe_that_is_not_ours_is_refused_with_the_reason(text, message):
    with pytest.raises(ArtefactError, match=message):
        PseudoFakeRecipe.from_json(text)


def test_even_kernels_are_refused():
    with pytest.raises(ValidationError, match="must be odd"):
        Softening(size_px=200, inner_kernel_px=6, outer_kernel_px=5, outer_sigma_px=5)
