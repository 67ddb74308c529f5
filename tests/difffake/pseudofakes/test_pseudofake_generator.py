import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from difffake.config import PseudoFakesConfig
from difffake.errors import DegenerateMaskError
from difffake.pseudofakes.blending import move_image, move_matrix, transform_colour
from difffake.pseudofakes.contact_sheet import KINDS
from difffake.pseudofakes.generator import PseudoFake, apply_recipe, make_pseudo_fake
from difffake.pseudofakes.recipe import PseudoFakeRecipe, draw_recipe
from difffake.randomness import derive_rng
from tests.helpers.landmarks import canonical_landmarks, textured_face

ROOT = Path(__file__).parents[3]
CONFIG = PseudoFakesConfig()
SIZE_PX = 160


def drawn(seed: int, **changes: object) -> PseudoFakeRecipe:
    return draw_recipe(CONFIG, np.random.default_rng(seed)).model_copy(update=changes)


def made(recipe: PseudoFakeRecipe, size_px: int = SIZE_PX) -> PseudoFake:
    return apply_recipe(textured_face(size_px), canonical_landmarks(size_px), recipe)


def digest(pseudo_fake: PseudoFake) -> str:
    parts = (pseudo_fake.target, pseudo_fake.fake, pseudo_fake.source, pseudo_fake.mask)
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()


@pytest.mark.parametrize(("mask_type", "hull_family"), KINDS)
def test_a_fake_is_its_source_inside_the_mask_and_its_target_outside(mask_type, hull_family):
    result = made(drawn(1, mask_type=mask_type, hull_family=hull_family, blend_ratio=1.0))
    outside, inside = result.mask == 0, result.mask == 1
    assert outside.any()
    assert inside.any()
    np.testing.assert_array_equal(result.fake[outside], result.target[outside])
    np.testing.assert_array_equal(result.fake[inside], result.source[inside])
    weight = result.mask[..., None].astype(np.float64)
    assert np.abs(result.fake - (result.source * weight + result.target * (1 - weight))).max() < 0.51
    assert (result.fake != result.target).any()


def test_the_colour_transform_goes_to_the_side_the_recipe_names():
    crop = textured_face(SIZE_PX)
    recipe = drawn(2)
    matrix = move_matrix(recipe.move, SIZE_PX)
    on_source = made(recipe.model_copy(update={"transformed": "source"}))
    np.testing.assert_array_equal(on_source.target, crop)
    np.testing.assert_array_equal(on_source.source, move_image(transform_colour(crop, recipe.colour), matrix))
    on_target = made(recipe.model_copy(update={"transformed": "target"}))
    np.testing.assert_array_equal(on_target.target, transform_colour(crop, recipe.colour))
    np.testing.assert_array_equal(on_target.source, move_image(crop, matrix))


@pytest.mark.parametrize("blend_ratio", [0.25, 0.5, 0.75, 1.0])
def test_the_mask_never_exceeds_the_blend_ratio(blend_ratio):
    mask = made(drawn(3, blend_ratio=blend_ratio)).mask
    assert mask.max() == pytest.approx(blend_ratio)
    assert mask.max() <= blend_ratio
    assert mask.min() == 0


@pytest.mark.parametrize("size_px", [64, 65, 223, 224, 299, 1024])
@pytest.mark.parametrize(("mask_type", "hull_family"), KINDS)
def test_every_kind_works_at_every_size(size_px, mask_type, hull_family):
    result = made(drawn(4, mask_type=mask_type, hull_family=hull_family), size_px)
    for image in (result.target, result.fake, result.source):
        assert image.dtype == np.uint8
        assert image.shape == (size_px, size_px, 3)
        assert image.flags.c_contiguous
    assert result.mask.dtype == np.float32
    assert result.mask.shape == (size_px, size_px)
    assert result.mask.max() > 0


def test_crop_recipe_and_landmarks_give_the_same_bits_again_also_through_json():
    landmarks_px = canonical_landmarks(SIZE_PX)
    for seed in range(12):
        recipe, first = make_pseudo_fake(textured_face(SIZE_PX), landmarks_px, CONFIG, np.random.default_rng(seed))
        stored = PseudoFakeRecipe.from_json(recipe.to_json())
        assert digest(apply_recipe(textured_face(SIZE_PX), landmarks_px, stored)) == digest(first)


def test_different_draws_give_different_fakes():
    assert len({digest(made(drawn(seed))) for seed in range(20)}) == 20


def test_another_process_draws_the_same_recipe_and_fake():
    code = (
        "import hashlib\n"
        "from difffake.config import PseudoFakesConfig\n"
        "from difffake.pseudofakes.generator import make_pseudo_fake\n"
        "from difffake.randomness import derive_rng\n"
        "from tests.helpers.landmarks import canonical_landmarks, textured_face\n"
        "recipe, made = make_pseudo_fake(\n"
        "    textured_face(96), canonical_landmarks(96), PseudoFakesConfig(), derive_rng(0, 'pseudo_fakes', 'face'))\n"
        "parts = (made.target, made.fake, made.source, made.mask)\n"
        "import sys\n"
        "sys.stdout.write(recipe.to_json() + '|' + hashlib.sha256(b''.join(p.tobytes() for p in parts)).hexdigest())\n"
    )
    elsewhere = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    recipe, here = make_pseudo_fake(
        textured_face(96), canonical_landmarks(96), CONFIG, derive_rng(0, "pseudo_fakes", "face")
    )
    assert elsewhere.stdout == f"{recipe.to_json()}|{digest(here)}"


@pytest.fixture
def threads() -> Iterator[None]:
    before = cv2.getNumThreads()
    yield
    cv2.setNumThreads(before)


@pytest.mark.usefixtures("threads")
def test_results_do_not_depend_on_opencvs_threads():
    seen = set()
    for count in (1, 2, 4):
        cv2.setNumThreads(count)
        seen.add(tuple(digest(made(drawn(seed), 512)) for seed in range(4)))
    assert len(seen) == 1


def test_the_crop_is_neither_changed_nor_shared():
    crop = textured_face(SIZE_PX)
    for side in ("source", "target"):
        result = apply_recipe(crop, canonical_landmarks(SIZE_PX), drawn(5, transformed=side))
        np.testing.assert_array_equal(crop, textured_face(SIZE_PX))
        for image in (result.target, result.fake, result.source):
            assert not np.shares_memory(image, crop)


def test_a_view_of_a_picture_is_as_good_as_a_copy():
    mirrored = textured_face(SIZE_PX)[:, ::-1]
    landmarks_px, recipe = canonical_landmarks(SIZE_PX), drawn(6)
    mirrored.flags.writeable = False
    assert digest(apply_recipe(mirrored, landmarks_px, recipe)) == digest(
        apply_recipe(mirrored.copy(), landmarks_px, recipe)
    )


@pytest.mark.parametrize(
    "crop",
    [
        np.zeros((64, 64, 3), np.float32),
        np.zeros((64, 64), np.uint8),
        np.zeros((64, 65, 3), np.uint8),
        np.zeros((64, 64, 4), np.uint8),
    ],
)
def test_crops_of_another_form_are_refused(crop):
    with pytest.raises(ValueError, match=r"expected uint8 \(S, S, 3\)"):
        apply_recipe(crop, canonical_landmarks(64), drawn(7))


def test_degenerate_masks_are_drawn_again():
    landmarks_px = canonical_landmarks(SIZE_PX)
    # Everything the mouth mask is made of lies beyond the right edge, the brows and eyes do not.
    landmarks_px[[*range(48, 68), *range(4, 13), *range(31, 36)], 0] += 2 * SIZE_PX
    config = PseudoFakesConfig(mask_weights={"mouth": 2.0, "eyes": 1.0})
    rng = np.random.default_rng(8)
    drawn_types = {make_pseudo_fake(textured_face(SIZE_PX), landmarks_px, config, rng, 60)[0].mask_type for _ in "abc"}
    assert drawn_types == {"eyes"}


def test_a_face_without_any_mask_is_refused_after_the_stated_attempts():
    landmarks_px = np.full((68, 2), np.nan, np.float32)
    with pytest.raises(DegenerateMaskError, match="no usable mask in 5 draws; the last: landmarks are not all finite"):
        make_pseudo_fake(textured_face(64), landmarks_px, CONFIG, np.random.default_rng(9), attempts=5)


def test_no_attempts_are_refused():
    with pytest.raises(ValueError, match="attempts is 0"):
        make_pseudo_fake(textured_face(64), canonical_landmarks(64), CONFIG, np.random.default_rng(0), attempts=0)


@pytest.mark.sample_data
def test_real_faces_change_inside_the_mask_only():
    folder = ROOT / "../shared/data/face_crops/ffpp_real"
    if not folder.is_dir():
        pytest.skip("the sample face crops are not here: ../shared/data/face_crops")
    rng = np.random.default_rng(0)
    for path in sorted(folder.glob("*.jpg"))[:10]:
        crop = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        _, result = make_pseudo_fake(crop, canonical_landmarks(len(crop)), CONFIG, rng)
        change = np.abs(result.fake.astype(int) - result.target).mean(axis=2)
        assert (change[result.mask == 0] == 0).all()
        assert change[result.mask > 0.2].mean() > 0.5
