"""A pseudo-fake copy of a real video: one forgery carried through all its faces, drifting as forgeries do.

In training every face gets a forgery of its own. A real forger treats a whole video alike, and what changes from frame
to frame is how well it sits. Such copies stand in for fakes where scores are weighed against each other, and where a
density is compared with that of forged pairs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from difffake.config import Drift, PseudoFakesConfig
from difffake.errors import DegenerateMaskError
from difffake.faces.crop_jpeg import decode_crop
from difffake.faces.records import FaceSet, FloatArray, RgbImage
from difffake.pseudofakes.generator import apply_recipe
from difffake.pseudofakes.recipe import OtherFace, PseudoFakeRecipe, draw_recipe
from difffake.pseudofakes.sources import DonorFace, landmark_shape

STAGE_VERSION = 1
"""Enters the fingerprint of whatever is learnt from such copies: bump it when a copy changes."""

Offsets = npt.NDArray[np.float64]

_DRAWS = 8
_LANDMARK_DRIFT_SIDES = 0.015
"""Standard deviation of a landmark's drift, share of the side."""
_LANDMARK_MEMORY = 0.9
"""Correlation of a drift with that of the frame before."""


@dataclass(frozen=True, eq=False)
class DonorVideo:
    """Faces of one person in another video, read where one of them is blended in.

    Attributes:
        face_id: of any of them.
        load: gives them all.
    """

    face_id: str
    load: Callable[[], FaceSet]

    @cached_property
    def _faces(self) -> FaceSet:
        return self.load()

    @cached_property
    def _shapes(self) -> FloatArray:
        return landmark_shape(self._faces.landmarks_crop_px)

    def nearest(self, landmarks_px: FloatArray) -> tuple[str, DonorFace]:
        """The face whose landmarks lie nearest, place and size apart, and its name."""
        faces = self._faces
        row = int(np.square(self._shapes - landmark_shape(landmarks_px)).sum(axis=1).argmin())
        name = faces.face_ids[row]
        return name, DonorFace(decode_crop(faces.crops_jpeg[row], name), faces.landmarks_crop_px[row])


def forge_video(
    crops_rgb: Sequence[RgbImage],
    landmarks_crop_px: FloatArray,
    config: PseudoFakesConfig,
    jitter: float,
    rng: np.random.Generator,
    drift: Drift = "jitter",
    donor: DonorVideo | None = None,
) -> list[RgbImage | None]:
    """The faces of one person in one video, forged alike; None where the forgery's mask selects nothing.

    What is blended in, mask type, colours, softness and strength are drawn once. What changes from face to face:

    - jitter: the bending of the mask, and the place of the source by ± `jitter` of the crop's side in x and y.
    - landmarks: the same, and the landmarks themselves, by 1.5 % of the side and slowly, as a tracker's do.
    - redrawn: everything: each face gets a forgery of its own.

    Args:
        crops_rgb: N crops (S, S, 3) uint8, in the order of their frames.
        landmarks_crop_px: (N, 68, 2) float32, iBUG order.
        config: how forgeries are drawn.
        jitter: largest shift, share of the side.
        rng: source of what is drawn.
        drift: what changes from face to face.
        donor: whose faces are blended in, where the forgery is of that family; None: it never is.

    Raises:
        DegenerateMaskError: none of several forgeries could be put on any face.
    """
    for _ in range(_DRAWS):
        made = _forge_all(crops_rgb, landmarks_crop_px, config, jitter, rng, drift, donor)
        if any(face is not None for face in made):
            return made
    raise DegenerateMaskError(f"none of {_DRAWS} forgeries has a usable mask on any of {len(crops_rgb)} faces")


def _forge_all(
    crops_rgb: Sequence[RgbImage],
    landmarks_crop_px: FloatArray,
    config: PseudoFakesConfig,
    jitter: float,
    rng: np.random.Generator,
    drift: Drift,
    donor: DonorVideo | None,
) -> list[RgbImage | None]:
    some_donor = None if donor is None else donor.face_id
    drawn = draw_recipe(config, rng, some_donor)
    offset_px: Offsets = np.zeros((68, 2))
    made: list[RgbImage | None] = []
    for number, (crop, landmarks) in enumerate(zip(crops_rgb, landmarks_crop_px, strict=True)):
        recipe = _tremble(drawn, jitter, rng)
        if drift == "redrawn" and number:
            recipe = draw_recipe(config, rng, some_donor)
        if drift == "landmarks":
            offset_px = _drifted(offset_px, len(crop), is_first=number == 0, rng=rng)
            landmarks = (landmarks + offset_px).astype(np.float32)
        made.append(_forge(crop, landmarks, recipe, donor))
    return made


def _tremble(recipe: PseudoFakeRecipe, jitter: float, rng: np.random.Generator) -> PseudoFakeRecipe:
    move = recipe.move.model_copy(
        update={
            "translate_x": recipe.move.translate_x + rng.uniform(-jitter, jitter),
            "translate_y": recipe.move.translate_y + rng.uniform(-jitter, jitter),
        }
    )
    elastic = recipe.elastic.model_copy(update={"seed": int(rng.integers(2**32))})
    return recipe.model_copy(update={"move": move, "elastic": elastic})


def _drifted(offset_px: Offsets, side_px: int, *, is_first: bool, rng: np.random.Generator) -> Offsets:
    """The next offsets, (68, 2), of an autoregression of order 1 whose spread is the same in every frame."""
    fresh = rng.normal(scale=_LANDMARK_DRIFT_SIDES * side_px, size=(68, 2))
    if is_first:
        return fresh
    return np.asarray(_LANDMARK_MEMORY * offset_px + np.sqrt(1 - _LANDMARK_MEMORY**2) * fresh, np.float64)


def _forge(
    crop: RgbImage, landmarks: FloatArray, recipe: PseudoFakeRecipe, donor: DonorVideo | None
) -> RgbImage | None:
    face = None
    if donor is not None and isinstance(recipe.change, OtherFace):
        name, face = donor.nearest(landmarks)
        recipe = recipe.model_copy(update={"change": recipe.change.model_copy(update={"face_id": name})})
    try:
        return apply_recipe(crop, landmarks, recipe, face).fake
    except DegenerateMaskError:
        return None
