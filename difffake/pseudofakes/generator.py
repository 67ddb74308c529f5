"""One real crop in, one pseudo-deepfake out (Sec. 3.1)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from difffake.config import PseudoFakesConfig
from difffake.errors import DegenerateMaskError
from difffake.faces.records import FloatArray, RgbImage
from difffake.pseudofakes.blending import blend, move_image, move_matrix, transform_colour
from difffake.pseudofakes.masks import deform_mask, hull_mask, soften_mask
from difffake.pseudofakes.recipe import PseudoFakeRecipe, draw_recipe
from difffake.pseudofakes.sources import DonorFace, make_source


@dataclass(frozen=True, eq=False)
class PseudoFake:
    """A pseudo-deepfake and what it was made of: fake = source · mask + target · (1 − mask).

    Attributes:
        target: (S, S, 3) uint8 RGB, the face blended into; training shows it as the real one.
        fake: (S, S, 3) uint8 RGB.
        source: (S, S, 3) uint8 RGB, the face blended in, already moved.
        mask: (S, S) float32 in [0, blend ratio], the share of the source.
    """

    target: RgbImage
    fake: RgbImage
    source: RgbImage
    mask: FloatArray


@dataclass(frozen=True)
class Donor:
    """A face that may be blended in.

    Attributes:
        face_id: its name, which a recipe remembers.
        load: gives the face, where it is needed.
    """

    face_id: str
    load: Callable[[], DonorFace]


def apply_recipe(
    crop_rgb: RgbImage, landmarks_crop_px: FloatArray, recipe: PseudoFakeRecipe, donor: DonorFace | None = None
) -> PseudoFake:
    """Make the pseudo-deepfake a recipe describes; equal arguments give equal bits.

    Args:
        crop_rgb: (S, S, 3) uint8 RGB, a real face; not changed.
        landmarks_crop_px: (68, 2) float32, iBUG order, in pixels of the crop.
        recipe: what is made.
        donor: the face `recipe.donor_id` names, where it names one.

    Raises:
        DegenerateMaskError: the mask selects nothing, or the landmarks span no area.
        ValueError: an array of another shape or dtype, or the donor is missing.
    """
    if crop_rgb.dtype != np.uint8 or crop_rgb.ndim != 3 or crop_rgb.shape != (len(crop_rgb), len(crop_rgb), 3):
        raise ValueError(f"the crop is {crop_rgb.dtype} {crop_rgb.shape}, expected uint8 (S, S, 3): a square RGB image")
    size_px = len(crop_rgb)
    hull = hull_mask(landmarks_crop_px, recipe.mask_type, recipe.hull_family, size_px, recipe.hull_scale)
    mask = soften_mask(deform_mask(hull, recipe.move, recipe.elastic), recipe.softening)
    mask *= np.float32(recipe.blend_ratio)

    untouched = np.array(crop_rgb, order="C")
    source, target = make_source(untouched, landmarks_crop_px, recipe, donor), untouched
    if recipe.transformed == "source":
        source = transform_colour(source, recipe.colour)
    else:
        target = transform_colour(target, recipe.colour)
    source = move_image(source, move_matrix(recipe.move, size_px))
    return PseudoFake(target=target, fake=blend(source, target, mask), source=source, mask=mask)


def make_pseudo_fake(
    crop_rgb: RgbImage,
    landmarks_crop_px: FloatArray,
    config: PseudoFakesConfig,
    rng: np.random.Generator,
    attempts: int = 8,
    donor: Donor | None = None,
) -> tuple[PseudoFakeRecipe, PseudoFake]:
    """Draw a recipe and apply it, again where its mask is degenerate; without a donor, none that needs one.

    Raises:
        DegenerateMaskError: none of `attempts` recipes gave a mask: the face's landmarks are of no use.
    """
    if attempts < 1:
        raise ValueError(f"attempts is {attempts}, expected at least 1")
    faults: list[DegenerateMaskError] = []
    while len(faults) < attempts:
        recipe = draw_recipe(config, rng, None if donor is None else donor.face_id)
        face = donor.load() if donor is not None and recipe.donor_id is not None else None
        try:
            return recipe, apply_recipe(crop_rgb, landmarks_crop_px, recipe, face)
        except DegenerateMaskError as fault:
            faults.append(fault)
    raise DegenerateMaskError(f"no usable mask in {attempts} draws; the last: {faults[-1]}") from faults[-1]
