"""What is blended in beside a copy of the face: other faces, other expressions, faces drawn again."""

from collections import Counter
from typing import get_args

import cv2
import numpy as np
import pytest
from pydantic import ValidationError
from scipy.stats import chisquare
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from difffake.backbone.augmentation import augment, draw_robust
from difffake.config import PseudoFakeFamily, PseudoFakesConfig
from difffake.pseudofakes.blending import transform_colour
from difffake.pseudofakes.donors import DonorPool
from difffake.pseudofakes.generator import Donor, apply_recipe, make_pseudo_fake
from difffake.pseudofakes.recipe import (
    NEUTRAL_COLOUR,
    Expression,
    OtherFace,
    PseudoFakeRecipe,
    RegionMove,
    Resynthesis,
    draw_recipe,
)
from difffake.pseudofakes.sources import (
    DonorFace,
    change_expression,
    fit_other_face,
    landmark_shape,
    make_source,
    resynthesise,
)
from tests.helpers.landmarks import canonical_landmarks, textured_face

SIZE_PX = 96
FACE, LANDMARKS = textured_face(SIZE_PX), canonical_landmarks(SIZE_PX)
DIVERSE = PseudoFakesConfig(variant="diverse")
FAMILIES: tuple[PseudoFakeFamily, ...] = get_args(PseudoFakeFamily)


def other_donor(seed: int = 5) -> Donor:
    return Donor("donor", lambda: DonorFace(textured_face(SIZE_PX, seed), canonical_landmarks(SIZE_PX)))


def of_family(family: PseudoFakeFamily, seed: int = 0, **changes: object) -> PseudoFakeRecipe:
    config = PseudoFakesConfig.model_validate({"families": {family: 1}} | changes)
    return draw_recipe(config, np.random.default_rng(seed), "donor")


def test_families_come_as_their_weights_say() -> None:
    rng = np.random.default_rng(0)
    seen = Counter(draw_recipe(DIVERSE, rng, "donor").family for _ in range(3000))
    assert chisquare([seen[family] for family in FAMILIES], np.array([4, 2, 2, 2]) * 300).pvalue > 1e-3
    alone = Counter(draw_recipe(DIVERSE, rng).family for _ in range(800))
    assert set(alone) == {"self_blend", "expression", "resynthesis"}


def test_what_is_changed_shows_and_keeps_the_targets_colours_half_of_the_time() -> None:
    recipes = [of_family("expression", seed) for seed in range(200)]
    assert min(recipe.blend_ratio for recipe in recipes) == 0.5
    kept = sum(recipe.colour == NEUTRAL_COLOUR for recipe in recipes)
    assert 70 < kept < 130
    unchanged = transform_colour(FACE, NEUTRAL_COLOUR)
    # But for the rounding of hue, saturation and value.
    assert np.abs(unchanged.astype(int) - FACE).max() <= 6
    assert np.abs(unchanged.astype(int) - FACE).mean() < 1


def test_the_papers_recipes_are_what_they_were_and_are_still_read() -> None:
    # As d389b62 drew and wrote it, before there were families.
    recipe = draw_recipe(PseudoFakesConfig(), np.random.default_rng(1))
    assert recipe == PseudoFakeRecipe.from_json(PAPER_RECIPE)
    assert recipe.family == "self_blend"
    assert recipe.hull_scale == 1


@pytest.mark.parametrize("family", FAMILIES)
def test_a_recipe_gives_the_same_bits_again_from_its_json(family: PseudoFakeFamily) -> None:
    recipe = of_family(family, seed=3)
    face = other_donor().load()
    first = apply_recipe(FACE, LANDMARKS, recipe, face)
    again = apply_recipe(FACE, LANDMARKS, PseudoFakeRecipe.from_json(recipe.to_json()), face)
    np.testing.assert_array_equal(first.fake, again.fake)
    np.testing.assert_array_equal(first.mask, again.mask)
    assert recipe.family == family


@pytest.mark.parametrize("family", FAMILIES)
def test_outside_the_mask_a_fake_is_its_target(family: PseudoFakeFamily) -> None:
    for seed in range(4):
        made = apply_recipe(FACE, LANDMARKS, of_family(family, seed), other_donor().load())
        outside = made.mask == 0
        np.testing.assert_array_equal(made.fake[outside], made.target[outside])
        assert (made.fake != made.target).any()


def test_a_recipe_of_another_face_needs_its_donor() -> None:
    with pytest.raises(ValueError, match="blends in the face donor"):
        apply_recipe(FACE, LANDMARKS, of_family("other_face"))
    with pytest.raises(ValueError, match="other faces alone"):
        draw_recipe(PseudoFakesConfig(families={"other_face": 1}), np.random.default_rng(0))


def test_without_a_donor_the_other_families_are_made() -> None:
    families = {make_pseudo_fake(FACE, LANDMARKS, DIVERSE, np.random.default_rng(seed))[0].family for seed in range(40)}
    assert families == {"self_blend", "expression", "resynthesis"}


def test_a_donor_is_loaded_where_it_is_blended_in_alone() -> None:
    loaded: list[int] = []

    def load() -> DonorFace:
        loaded.append(1)
        return other_donor().load()

    recipes = [
        make_pseudo_fake(FACE, LANDMARKS, DIVERSE, np.random.default_rng(seed), donor=Donor("donor", load))[0]
        for seed in range(30)
    ]
    assert len(loaded) == sum(recipe.donor_id == "donor" for recipe in recipes) > 0


def test_a_donor_is_laid_on_the_targets_landmarks_with_its_colours() -> None:
    turn = np.array([[0.8, -0.3], [0.3, 0.8]])
    moved = ((LANDMARKS - 48) @ turn.T + 50).astype(np.float32)
    matrix = np.column_stack([turn, np.array([50, 50]) - turn @ np.array([48, 48])])
    smooth = cv2.GaussianBlur(FACE, (0, 0), 2)
    donor = cv2.warpAffine(smooth, matrix, (SIZE_PX, SIZE_PX), flags=cv2.INTER_LINEAR)
    darker = (0.5 * donor).astype(np.uint8)
    other = OtherFace(face_id="d", colour_match=1.0, resynthesis=None)
    back = fit_other_face(DonorFace(darker, moved), smooth, LANDMARKS, other)
    inside = cv2.fillConvexPoly(np.zeros((SIZE_PX, SIZE_PX)), cv2.convexHull(LANDMARKS).astype(np.int32), 1) > 0
    assert np.abs(back[inside].astype(int) - smooth[inside]).mean() < 5
    untouched = fit_other_face(
        DonorFace(darker, moved), smooth, LANDMARKS, other.model_copy(update={"colour_match": 0.0})
    )
    assert untouched[inside].mean() == pytest.approx(0.5 * smooth[inside].mean(), rel=0.05)


def test_an_expression_moves_the_mouth_and_leaves_the_border() -> None:
    smooth = cv2.GaussianBlur(FACE, (0, 0), 1.5)
    still = RegionMove(region="mouth", shift_x=0, shift_y=0, stretch_x=1, stretch_y=1)
    same = change_expression(smooth, LANDMARKS, Expression(moves=(still,), reach=1.5, resynthesis=None))
    np.testing.assert_array_equal(same, smooth)
    down = still.model_copy(update={"shift_y": 0.1})
    moved = change_expression(smooth, LANDMARKS, Expression(moves=(down,), reach=1.5, resynthesis=None))
    x, y = np.rint(LANDMARKS[48:].mean(axis=0)).astype(int)
    eyes_px = 0.27 * SIZE_PX
    shift = round(0.1 * eyes_px)
    assert np.abs(moved[y, x].astype(int) - smooth[y - shift, x]).max() <= 6
    np.testing.assert_array_equal(moved[:8], smooth[:8])
    assert np.abs(moved.astype(int) - smooth).max() > 10


def test_a_stretch_opens_the_mouth() -> None:
    image = np.zeros((SIZE_PX, SIZE_PX, 3), np.uint8)
    x, y = np.rint(LANDMARKS[48:].mean(axis=0)).astype(int)
    image[y - 2 : y + 3] = 255
    wide = RegionMove(region="mouth", shift_x=0, shift_y=0, stretch_x=1, stretch_y=1.8)
    opened = change_expression(image, LANDMARKS, Expression(moves=(wide,), reach=1.5, resynthesis=None))
    assert (opened[:, x, 0] > 127).sum() > (image[:, x, 0] > 127).sum() + 1


def test_a_face_drawn_again_keeps_its_means_and_loses_its_detail() -> None:
    drawn = resynthesise(FACE, Resynthesis(size_share=0.4, enlarged_by="cubic", detail_gains=(1.0, 1.0)))
    np.testing.assert_allclose(drawn.mean((0, 1)), FACE.mean((0, 1)), atol=1)
    assert cv2.Laplacian(drawn, cv2.CV_64F).var() < 0.3 * cv2.Laplacian(FACE, cv2.CV_64F).var()
    whole = resynthesise(FACE, Resynthesis(size_share=1.0, enlarged_by="linear", detail_gains=(1.0, 1.0)))
    assert np.abs(whole.astype(int) - FACE).max() <= 1
    softer = resynthesise(FACE, Resynthesis(size_share=1.0, enlarged_by="linear", detail_gains=(0.0, 0.0)))
    expected = cv2.GaussianBlur(FACE, (0, 0), 2.0)
    assert np.abs(softer.astype(int) - expected).max() <= 1


def test_hulls_grow_and_shrink_about_their_centre() -> None:
    recipe = of_family("self_blend", hull_growth=0.3)
    assert recipe.hull_scale != 1
    areas = [
        (apply_recipe(FACE, LANDMARKS, recipe.model_copy(update={"hull_scale": scale})).mask > 0.1).sum()
        for scale in (0.7, 1.0, 1.3)
    ]
    assert areas[0] < areas[1] < areas[2]


def test_donors_are_of_other_videos_and_near() -> None:
    rng = np.random.default_rng(0)
    turned = [_turned(LANDMARKS, degrees) for degrees in (0, 2, 20, 25)]
    pool = DonorPool(np.stack(turned), ["a", "b", "b", "c"])
    assert {pool.choose(0, rng) for _ in range(20)} == {1}
    assert {pool.choose(3, rng) for _ in range(20)} == {2}
    assert {pool.choose(1, rng) for _ in range(20)} == {0}
    assert DonorPool(np.stack(turned[:2]), ["a", "a"]).choose(0, rng) is None


def test_a_shape_knows_neither_place_nor_size() -> None:
    moved = (LANDMARKS * 2.5 + np.array([30, -7])).astype(np.float32)
    np.testing.assert_allclose(landmark_shape(moved), landmark_shape(LANDMARKS), atol=1e-5)
    assert np.abs(landmark_shape(_turned(LANDMARKS, 15)) - landmark_shape(LANDMARKS)).max() > 0.01


def test_a_family_and_its_source_belong_together() -> None:
    recipe = of_family("resynthesis")
    assert np.array_equal(make_source(FACE, LANDMARKS, recipe, None), resynthesise(FACE, recipe.change))
    assert make_source(FACE, LANDMARKS, of_family("self_blend"), None) is FACE
    with pytest.raises(ValidationError):
        PseudoFakesConfig(families={"self_blend": 0})
    with pytest.raises(ValidationError):
        PseudoFakesConfig(variant="none", families={"self_blend": 1})


@pytest.mark.parametrize("family", FAMILIES)
def test_blocks_outside_the_mask_do_not_tell_a_fake_from_its_target(family: PseudoFakeFamily) -> None:
    """A classifier of 8 × 8 blocks a block away from the mask is at chance, compression included."""
    blocks: list[np.ndarray] = []
    labels: list[int] = []
    for seed in range(24):
        crop = textured_face(SIZE_PX, seed)
        made = apply_recipe(crop, LANDMARKS, of_family(family, seed), other_donor(seed + 100).load())
        drawn = draw_robust(0.5, np.random.default_rng(seed))
        still = drawn.__class__(size_share=drawn.size_share, compression=drawn.compression)
        far = cv2.dilate((made.mask > 0).astype(np.uint8), np.ones((33, 33))) == 0
        for label, image in enumerate((made.target, made.fake)):
            seen = augment(image, still)
            for top in range(0, SIZE_PX, 8):
                for left in range(0, SIZE_PX, 8):
                    if far[top : top + 8, left : left + 8].all():
                        blocks.append(seen[top : top + 8, left : left + 8].mean(axis=2).ravel())
                        labels.append(label)
    features = np.stack(blocks) / 255
    features = np.column_stack([features, features.std(axis=1), np.abs(np.diff(features, axis=1)).mean(axis=1)])
    half = len(labels) // 2
    model = LogisticRegression(max_iter=200).fit(features[:half], labels[:half])
    assert roc_auc_score(labels[half:], model.decision_function(features[half:])) == pytest.approx(0.5, abs=0.06)


def _turned(landmarks: np.ndarray, degrees: float) -> np.ndarray:
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return ((landmarks - 48) @ turn.T + 48).astype(np.float32)


PAPER_RECIPE = """{
    "schema_version": 1, "mask_type": "eyes", "hull_family": null, "transformed": "target",
    "colour": {
        "rgb_shift_levels": [17.945977885489754, -7.526741919580582, -3.066942041096972],
        "hsv_shift_levels": [0.19662155629226502, -0.054480518178503246, 0.029756212603835708],
        "brightness": -0.09448817735138633, "contrast": 0.05070262173496132,
        "detail": {"kind": "sharpen", "alpha": 0.2989195149497277, "lightness": 0.8942143517142022}
    },
    "move": {
        "translate_x": -0.0118083102425013, "translate_y": -0.0013950633155804543, "scale": 0.9637569110332616
    },
    "elastic": {"alpha_px": 50.0, "sigma_px": 7.0, "seed": 1646310749},
    "softening": {
        "size_px": 218, "inner_kernel_px": 23, "outer_kernel_px": 9, "outer_sigma_px": 15.492533617673981
    },
    "blend_ratio": 0.25
}"""
