"""A pseudo-fake copy of a real video: one forgery carried through all its faces, trembling as forgeries do.

In training every face gets a forgery of its own. A real forger treats a whole video alike, and what changes from frame
to frame is how well it sits. Such copies stand in for fakes where scores are weighed against each other.
"""

from collections.abc import Sequence

import numpy as np

from difffake.config import PseudoFakesConfig
from difffake.errors import DegenerateMaskError
from difffake.faces.records import FloatArray, RgbImage
from difffake.pseudofakes.generator import apply_recipe
from difffake.pseudofakes.recipe import PseudoFakeRecipe, draw_recipe

STAGE_VERSION = 1
"""Enters the fingerprint of whatever is learnt from such copies: bump it when a copy changes."""

_DRAWS = 8


def forge_video(
    crops_rgb: Sequence[RgbImage],
    landmarks_crop_px: FloatArray,
    config: PseudoFakesConfig,
    jitter: float,
    rng: np.random.Generator,
) -> list[RgbImage | None]:
    """The faces of one person in one video, forged alike; None where the forgery's mask selects nothing.

    Mask type, colours, softness and strength are drawn once; the bending of the mask is drawn for every face, and the
    place of the source is the video's own ± `jitter` of the crop's side in x and y.

    Args:
        crops_rgb: N crops (S, S, 3) uint8.
        landmarks_crop_px: (N, 68, 2) float32, iBUG order.
        jitter: largest shift, share of the side.

    Raises:
        DegenerateMaskError: none of several forgeries could be put on any face.
    """
    for _ in range(_DRAWS):
        drawn = draw_recipe(config, rng)
        made = [
            _forge(crop, landmarks, _tremble(drawn, jitter, rng))
            for crop, landmarks in zip(crops_rgb, landmarks_crop_px, strict=True)
        ]
        if any(face is not None for face in made):
            return made
    raise DegenerateMaskError(f"none of {_DRAWS} forgeries has a usable mask on any of {len(crops_rgb)} faces")


def _tremble(recipe: PseudoFakeRecipe, jitter: float, rng: np.random.Generator) -> PseudoFakeRecipe:
    move = recipe.move.model_copy(
        update={
            "translate_x": recipe.move.translate_x + rng.uniform(-jitter, jitter),
            "translate_y": recipe.move.translate_y + rng.uniform(-jitter, jitter),
        }
    )
    elastic = recipe.elastic.model_copy(update={"seed": int(rng.integers(2**32))})
    return recipe.model_copy(update={"move": move, "elastic": elastic})


def _forge(crop: RgbImage, landmarks: FloatArray, recipe: PseudoFakeRecipe) -> RgbImage | None:
    try:
        return apply_recipe(crop, landmarks, recipe).fake
    except DegenerateMaskError:
        return None
