"""The fixed validation set: real faces, each with one pseudo-fake that a stored recipe gives again."""

from dataclasses import dataclass

import numpy as np

from difffake.backbone.data import Images, Labels, choose_faces, stack_pairs
from difffake.backbone.images import decode_crop
from difffake.config import PseudoFakesConfig
from difffake.errors import DegenerateMaskError, TrainingError
from difffake.faces.records import FaceSet
from difffake.pseudofakes.generator import apply_recipe, make_pseudo_fake
from difffake.pseudofakes.recipe import PseudoFakeRecipe
from difffake.randomness import derive_rng


@dataclass(frozen=True, eq=False)
class ValidationSet:
    """Row i of `recipes` makes a pseudo-fake from row i of `faces`."""

    faces: FaceSet
    recipes: tuple[PseudoFakeRecipe, ...]

    def __len__(self) -> int:
        return len(self.recipes)

    def __post_init__(self) -> None:
        if len(self.recipes) != len(self.faces):
            raise ValueError(f"{len(self.recipes)} recipes for {len(self.faces)} faces: a recipe for each is expected")

    def share(self, index: int, count: int) -> "ValidationSet":
        """Every `count`-th face from `index` on, with its recipe."""
        rows = list(range(index, len(self), count))
        return ValidationSet(_subset(self.faces, rows), tuple(self.recipes[row] for row in rows))


def draw_validation_set(faces: FaceSet, config: PseudoFakesConfig, fakes_per_video: int, seed: int) -> ValidationSet:
    """Draw faces of each video and a recipe for each; faces on which no mask can be drawn are left out.

    Raises:
        TrainingError: they are all left out.
    """
    chosen = choose_faces(faces, fakes_per_video, seed, "validation")
    rows: list[int] = []
    recipes: list[PseudoFakeRecipe] = []
    for row in chosen:
        face_id = faces.face_ids[row]
        crop = decode_crop(faces.crops_jpeg[row], face_id)
        rng = derive_rng(seed, "validation", face_id)
        try:
            recipe, _ = make_pseudo_fake(crop, faces.landmarks_crop_px[row], config, rng)
        except DegenerateMaskError:
            continue
        rows.append(row)
        recipes.append(recipe)
    if chosen and not rows:
        raise TrainingError(
            f"no pseudo-fake could be made of any of the {len(chosen)} validation faces: their landmarks lie outside "
            "the crops or in one point; look at the crops (`difffake refresh` reports them), extract the faces again"
        )
    return ValidationSet(_subset(faces, rows), tuple(recipes))


def render_validation_set(validation: ValidationSet, input_size_px: int) -> tuple[Images, Labels]:
    """Images (2N, S, S, 3) and labels (2N,): the N targets as reals, then their N pseudo-fakes.

    The target is the real one, as in training: half of them went through the colour transform, so that transform alone
    tells nothing.
    """
    faces = validation.faces
    pairs = []
    for row, recipe in enumerate(validation.recipes):
        crop = decode_crop(faces.crops_jpeg[row], faces.face_ids[row])
        made = apply_recipe(crop, faces.landmarks_crop_px[row], recipe)
        pairs.append((made.target, made.fake))
    return stack_pairs(pairs, input_size_px)


def _subset(faces: FaceSet, rows: list[int]) -> FaceSet:
    return FaceSet(
        face_ids=tuple(faces.face_ids[row] for row in rows),
        video_keys=tuple(faces.video_keys[row] for row in rows),
        crops_jpeg=tuple(faces.crops_jpeg[row] for row in rows),
        landmarks_crop_px=faces.landmarks_crop_px[np.array(rows, np.intp)],
    )
