"""The fixed validation set: real faces, each with one pseudo-fake that a stored recipe gives again."""

from dataclasses import dataclass

from difffake.backbone.data import Images, Labels, stack_pairs
from difffake.backbone.donors import donor_of
from difffake.backbone.epoch_plan import choose_faces
from difffake.config import PseudoFakesConfig
from difffake.errors import ArtefactError, DegenerateMaskError, TrainingError
from difffake.faces.crop_jpeg import decode_crop
from difffake.faces.records import FaceSet
from difffake.pseudofakes.donors import DonorPool
from difffake.pseudofakes.generator import apply_recipe, make_pseudo_fake
from difffake.pseudofakes.recipe import PseudoFakeRecipe
from difffake.randomness import derive_rng


@dataclass(frozen=True, eq=False)
class ValidationSet:
    """Row i of `recipes` makes a pseudo-fake from row i of `faces`.

    Attributes:
        faces: N real faces.
        recipes: N recipes.
        donors: holds the faces that the recipes blend in; None: `faces` does.
    """

    faces: FaceSet
    recipes: tuple[PseudoFakeRecipe, ...]
    donors: FaceSet | None = None

    def __len__(self) -> int:
        return len(self.recipes)

    def __post_init__(self) -> None:
        if len(self.recipes) != len(self.faces):
            raise ValueError(f"{len(self.recipes)} recipes for {len(self.faces)} faces: a recipe for each is expected")

    def share(self, index: int, count: int) -> "ValidationSet":
        """Every `count`-th face from `index` on, with its recipe and all donors of the set."""
        rows = list(range(index, len(self), count))
        donors = self.faces if self.donors is None else self.donors
        return ValidationSet(self.faces.of_rows(rows), tuple(self.recipes[row] for row in rows), donors)


def draw_validation_set(faces: FaceSet, config: PseudoFakesConfig, fakes_per_video: int, seed: int) -> ValidationSet:
    """Draw faces of each video and a recipe for each; faces on which no mask can be drawn are left out.

    Where a recipe blends in another face, that is one of the drawn faces, too.

    Raises:
        TrainingError: they are all left out.
    """
    chosen = faces.of_rows(choose_faces(faces, fakes_per_video, seed, "validation"))
    if config.wants_other_faces_alone and len(set(chosen.video_keys)) == 1:
        raise TrainingError(
            "pseudo_fakes.families wants other faces alone, and all validation faces are of one video: give more "
            "videos, or another family some weight"
        )
    kept, recipes = chosen, _draw_recipes(chosen, config, seed)
    while None in recipes and any(recipe is not None for recipe in recipes):
        # Those left out are no donors either: the others draw anew among themselves.
        kept = kept.of_rows([row for row, recipe in enumerate(recipes) if recipe is not None])
        recipes = _draw_recipes(kept, config, seed)
    drawn = tuple(recipe for recipe in recipes if recipe is not None)
    if len(chosen) and not drawn:
        raise TrainingError(
            f"no pseudo-fake could be made of any of the {len(chosen)} validation faces: their landmarks lie outside "
            "the crops or in one point; look at the crops (`difffake refresh` reports them), extract the faces again"
        )
    return ValidationSet(kept, drawn)


def render_validation_set(validation: ValidationSet, input_size_px: int) -> tuple[Images, Labels]:
    """Images (2N, S, S, 3) and labels (2N,): the N targets as reals, then their N pseudo-fakes.

    The target is the real one, as in training: half of them went through the colour transform, so that transform alone
    tells nothing.

    Raises:
        ArtefactError: a recipe names a donor that is not there.
    """
    faces = validation.faces
    donors = faces if validation.donors is None else validation.donors
    wanted = {recipe.donor_id for recipe in validation.recipes if recipe.donor_id is not None}
    rows = {name: row for row, name in enumerate(donors.face_ids) if name in wanted}
    if missing := wanted - rows.keys():
        raise ArtefactError(
            f"{len(missing)} faces that validation pseudo-fakes blend in are gone, first {min(missing)}: draw the "
            "validation set again (--force pseudo_fakes)"
        )
    pairs = []
    for row, recipe in enumerate(validation.recipes):
        crop = decode_crop(faces.crops_jpeg[row], faces.face_ids[row])
        donor = None if recipe.donor_id is None else donor_of(donors, rows[recipe.donor_id]).load()
        made = apply_recipe(crop, faces.landmarks_crop_px[row], recipe, donor)
        pairs.append((made.target, made.fake))
    return stack_pairs(pairs, input_size_px)


def _draw_recipes(faces: FaceSet, config: PseudoFakesConfig, seed: int) -> list[PseudoFakeRecipe | None]:
    """A recipe for each face; None: no mask can be drawn on it."""
    pool = DonorPool(faces.landmarks_crop_px, faces.video_keys) if config.needs_donors and len(faces) else None
    recipes: list[PseudoFakeRecipe | None] = []
    for row, face_id in enumerate(faces.face_ids):
        chosen = None if pool is None else pool.choose(row, derive_rng(seed, "validation donor", face_id))
        donor = None if chosen is None else donor_of(faces, chosen)
        crop = decode_crop(faces.crops_jpeg[row], face_id)
        rng = derive_rng(seed, "validation", face_id)
        try:
            recipes.append(make_pseudo_fake(crop, faces.landmarks_crop_px[row], config, rng, donor=donor)[0])
        except DegenerateMaskError:
            recipes.append(None)
    return recipes
