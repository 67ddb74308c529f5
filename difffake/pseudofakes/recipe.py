"""The recipe of one pseudo-deepfake: every drawn parameter, so that crop, landmarks and recipe give it again."""

import json
from typing import Annotated, Any, Literal, Self, get_args

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from difffake.config import HullFamily, MaskType, PseudoFakeFamily, PseudoFakesConfig
from difffake.errors import ArtefactError

# Bump it when a drawn recipe, or the picture made from one, changes.
STAGE_VERSION = 1
# Bump it when the fields of a stored recipe change. Version 1 had self-blends alone, which read as they did.
RECIPE_SCHEMA_VERSION = 2
_READABLE_SCHEMA_VERSIONS = (1, 2)

RGB_SHIFT_PROBABILITY = 0.3
RGB_SHIFT_LEVELS = 20.0
# Largest shift of hue, saturation and value in 8-bit units (OpenCV: hue 0–179, the others 0–255).
HSV_SHIFT_LEVELS = {
    "paper": (0.3, 0.3, 0.3),
    "moderate": (0.03 * 180, 0.1 * 255, 0.1 * 255),
    "strong": (0.3 * 180, 0.3 * 255, 0.3 * 255),
}
BRIGHTNESS_SHARE = 0.1
CONTRAST_SHARE = 0.1
DOWNSCALE_FACTORS = (2, 4)
SHARPEN_ALPHA = (0.2, 0.5)
SHARPEN_LIGHTNESS = (0.5, 1.0)
SOFTENING_SIZE_PX = (192, 256)
BLUR_KERNELS_PX = tuple(range(5, 26, 2))
OUTER_SIGMA_PX = (5.0, 45.0)
# Of the families beside self-blends; bounds in tuples, shares of one otherwise.
NEUTRAL_COLOUR_SHARE = 0.5
LEAST_RATIO_OF_CHANGE = 0.5
COLOUR_MATCH = (0.6, 1.0)
ALSO_RESYNTHESISED_SHARE = 0.5
RESYNTHESIS_SIZE_SHARE = (0.3, 0.75)
DETAIL_GAINS = ((0.0, 1.0), (0.6, 1.3))
EXPRESSION_REACH = (1.3, 1.9)

_FAMILIES: tuple[PseudoFakeFamily, ...] = get_args(PseudoFakeFamily)
_MASK_TYPES: tuple[MaskType, ...] = get_args(MaskType)
_HULL_FAMILIES: tuple[HullFamily, ...] = get_args(HullFamily)


def _is_odd(kernel_px: int) -> int:
    if kernel_px % 2 == 0:
        raise ValueError("a blur kernel has a middle pixel: its side must be odd")
    return kernel_px


OddPx = Annotated[int, Field(ge=1), AfterValidator(_is_odd)]
NotNegative = Annotated[float, Field(ge=0)]
Enlargement = Literal["linear", "cubic", "lanczos"]
FaceRegion = Literal["mouth", "right_eye", "left_eye", "right_brow", "left_brow"]

_ENLARGEMENTS: tuple[Enlargement, ...] = get_args(Enlargement)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Downscale(_Part):
    """Detail lost: every `factor`-th pixel is kept and the size restored linearly."""

    kind: Literal["downscale"] = "downscale"
    factor: int = Field(ge=1, le=64)


class Sharpen(_Part):
    """Detail exaggerated: a share `alpha` of the picture is replaced by its high-pass plus `lightness` times itself."""

    kind: Literal["sharpen"] = "sharpen"
    alpha: float = Field(ge=0, le=1)
    lightness: float = Field(ge=0)


class ColourTransform(_Part):
    """The statistical inconsistency between source and target (Sec. 3.1, the source-target transform).

    Attributes:
        rgb_shift_levels: added to each channel, in grey levels; None where the shift was not drawn.
        hsv_shift_levels: added to hue, saturation and value, in 8-bit units (OpenCV: hue 0–179, the others 0–255).
        brightness: added, as a share of 255.
        contrast: values are multiplied by 1 + contrast.
        detail: the one change of sharpness.
    """

    rgb_shift_levels: tuple[float, float, float] | None
    hsv_shift_levels: tuple[float, float, float]
    brightness: float
    contrast: float = Field(gt=-1)
    detail: Annotated[Downscale | Sharpen, Field(discriminator="kind")]


NEUTRAL_COLOUR = ColourTransform(
    rgb_shift_levels=None, hsv_shift_levels=(0, 0, 0), brightness=0, contrast=0, detail=Downscale(factor=1)
)
"""Changes nothing but by the rounding of HSV."""


class Move(_Part):
    """How source and mask move together: shifts as shares of the crop side, then a scale about the crop's centre."""

    translate_x: float
    translate_y: float
    scale: float = Field(gt=0)


class Elastic(_Part):
    """The random field that bends the mask: white noise from `seed`, smoothed over `sigma_px`, times `alpha_px`."""

    alpha_px: float = Field(ge=0)
    sigma_px: float = Field(gt=0)
    seed: int = Field(ge=0)


class Softening(_Part):
    """The two blurs around the erosion, all on a square of `size_px`; the inner blur's sigma follows its kernel."""

    size_px: int = Field(ge=8, le=4096)
    inner_kernel_px: OddPx
    outer_kernel_px: OddPx
    outer_sigma_px: float = Field(gt=0)


class Resynthesis(_Part):
    """A face drawn again from fewer pixels, as decoders of face generators do; the seam, if any, is the blend's.

    Attributes:
        size_share: side of the smaller picture in between, as a share of the crop's.
        enlarged_by: the interpolation back to the crop's size.
        detail_gains: factors of the two finest bands of detail afterwards (Gaussians of sigma 1 and 2 px apart).
    """

    kind: Literal["resynthesis"] = "resynthesis"
    size_share: float = Field(gt=0, le=1)
    enlarged_by: Enlargement
    detail_gains: tuple[NotNegative, NotNegative]


class RegionMove(_Part):
    """How a part of the face is moved; shifts are shares of the distance between the eyes, stretches are factors."""

    region: FaceRegion
    shift_x: float
    shift_y: float
    stretch_x: float = Field(gt=0)
    stretch_y: float = Field(gt=0)


class Expression(_Part):
    """The face moved to another expression by a smooth warp, perhaps drawn again afterwards.

    Attributes:
        moves: of parts of the face; where they overlap they add up.
        reach: standard deviation of a part's Gaussian weight, in units of half the part's extent.
        resynthesis: what is done to the moved face, if anything.
    """

    kind: Literal["expression"] = "expression"
    moves: tuple[RegionMove, ...] = Field(min_length=1)
    reach: float = Field(gt=0)
    resynthesis: Resynthesis | None


class OtherFace(_Part):
    """The face of another video, moved onto the target's landmarks and given its colours.

    Attributes:
        face_id: of the donor, whose crop and landmarks are needed to make the pseudo-fake again.
        colour_match: share of the difference in mean and spread of each Lab channel that is taken away.
        resynthesis: what is done to the moved face, if anything.
    """

    kind: Literal["other_face"] = "other_face"
    face_id: str = Field(min_length=1)
    colour_match: float = Field(ge=0, le=1)
    resynthesis: Resynthesis | None


class PseudoFakeRecipe(_Part):
    """Every drawn parameter of one pseudo-deepfake; valid for crops of any size (Sec. 3.1).

    Attributes:
        hull_family: how the full-face hull is built; None for every other mask type.
        transformed: the side that gets the colour transform.
        blend_ratio: multiplies the softened mask, in (0, 1].
        hull_scale: the hull's size about its centre; 1: as its landmarks lie.
        change: what the source is beside a copy of the crop; None: the paper's self-blend.
    """

    mask_type: MaskType
    hull_family: HullFamily | None
    transformed: Literal["source", "target"]
    colour: ColourTransform
    move: Move
    elastic: Elastic
    softening: Softening
    blend_ratio: float = Field(gt=0, le=1)
    hull_scale: float = Field(1.0, gt=0, lt=2)
    change: Annotated[OtherFace | Expression | Resynthesis, Field(discriminator="kind")] | None = None

    @property
    def family(self) -> PseudoFakeFamily:
        """Which family it belongs to."""
        return "self_blend" if self.change is None else self.change.kind

    @property
    def donor_id(self) -> str | None:
        """The face that is blended in, where it is another's."""
        return self.change.face_id if isinstance(self.change, OtherFace) else None

    @model_validator(mode="after")
    def _only_full_faces_have_a_hull_family(self) -> Self:
        if (self.mask_type == "full_face") != (self.hull_family is not None):
            raise ValueError(f"mask type {self.mask_type} does not go with hull family {self.hull_family}")
        return self

    def to_json(self) -> str:
        """One line of JSON that `from_json` turns into an equal recipe."""
        return json.dumps({"schema_version": RECIPE_SCHEMA_VERSION, **self.model_dump(mode="json")})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The recipe that `to_json` wrote.

        Raises:
            ArtefactError: not JSON, of another schema version, or with a field missing, unknown or out of bounds.
        """
        try:
            content: Any = json.loads(text)
        except json.JSONDecodeError as error:
            raise ArtefactError(f"a stored pseudo-fake recipe is not JSON ({error}): {text!r:.80}") from error
        version = content.pop("schema_version", None) if isinstance(content, dict) else None
        if type(version) is not int or version not in _READABLE_SCHEMA_VERSIONS:
            raise ArtefactError(
                f"a stored pseudo-fake recipe has schema version {version!r}, this code reads up to "
                f"{RECIPE_SCHEMA_VERSION}: draw the pseudo-fakes again, or use the version that wrote them"
            )
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise ArtefactError(f"a stored pseudo-fake recipe does not validate; draw it again: {error}") from error


def draw_recipe(config: PseudoFakesConfig, rng: np.random.Generator, donor_id: str | None = None) -> PseudoFakeRecipe:
    """Draw every parameter of one pseudo-deepfake; a function of the arguments and the state of `rng` alone.

    Args:
        donor_id: the face to blend in, should the family be other_face; without one, that family is not drawn.
        config: how it is drawn.
        rng: where from.

    Raises:
        ValueError: nothing can be drawn: the variant is none, or other faces alone are wanted and there is none.
    """
    family = _draw_family(config, rng, donor_id)
    mask_type = _draw_mask_type(config, rng)
    recipe = PseudoFakeRecipe(
        mask_type=mask_type,
        hull_family=_HULL_FAMILIES[rng.integers(len(_HULL_FAMILIES))] if mask_type == "full_face" else None,
        transformed="source" if rng.random() < 0.5 else "target",
        colour=_draw_colour(config, rng),
        move=Move(
            translate_x=_symmetric(config.translate_x, rng),
            translate_y=_symmetric(config.translate_y, rng),
            scale=rng.uniform(config.scale, 1 / config.scale),
        ),
        elastic=Elastic(alpha_px=config.elastic_alpha, sigma_px=config.elastic_sigma, seed=int(rng.integers(2**32))),
        softening=Softening(
            size_px=int(rng.integers(*SOFTENING_SIZE_PX, endpoint=True)),
            inner_kernel_px=_draw_kernel_px(rng),
            outer_kernel_px=_draw_kernel_px(rng),
            outer_sigma_px=rng.uniform(*OUTER_SIGMA_PX),
        ),
        blend_ratio=config.blend_ratios[rng.integers(len(config.blend_ratios))],
        # What the paper does not draw comes last and is drawn where wanted: its recipes are what they were.
        hull_scale=1 + _symmetric(config.hull_growth, rng) if config.hull_growth else 1.0,
    )
    if family == "self_blend":
        return recipe
    has_no_shift = rng.random() < NEUTRAL_COLOUR_SHARE
    colour = NEUTRAL_COLOUR if has_no_shift else recipe.colour
    ratio = max(recipe.blend_ratio, LEAST_RATIO_OF_CHANGE)
    change = _draw_change(family, rng, donor_id)
    return recipe.model_copy(update={"change": change, "colour": colour, "blend_ratio": ratio})


def _draw_family(config: PseudoFakesConfig, rng: np.random.Generator, donor_id: str | None) -> PseudoFakeFamily:
    weights = np.array([config.drawn_families.get(family, 0.0) for family in _FAMILIES])
    if donor_id is None:
        weights[_FAMILIES.index("other_face")] = 0.0
    if weights.sum() == 0:
        raise ValueError("pseudo_fakes.families wants other faces alone, and there is no face of another video")
    # The only family there is takes no random number.
    if np.count_nonzero(weights) == 1:
        return _FAMILIES[int(np.argmax(weights))]
    return _FAMILIES[rng.choice(len(weights), p=weights / weights.sum())]


def _draw_change(
    family: PseudoFakeFamily, rng: np.random.Generator, donor_id: str | None
) -> OtherFace | Expression | Resynthesis:
    if family == "resynthesis":
        return _draw_resynthesis(rng)
    also = _draw_resynthesis(rng) if rng.random() < ALSO_RESYNTHESISED_SHARE else None
    if family == "expression":
        return Expression(moves=_draw_moves(rng), reach=rng.uniform(*EXPRESSION_REACH), resynthesis=also)
    return OtherFace(face_id=donor_id or "", colour_match=rng.uniform(*COLOUR_MATCH), resynthesis=also)


def _draw_resynthesis(rng: np.random.Generator) -> Resynthesis:
    fine, coarse = DETAIL_GAINS
    return Resynthesis(
        size_share=rng.uniform(*RESYNTHESIS_SIZE_SHARE),
        enlarged_by=_ENLARGEMENTS[rng.integers(len(_ENLARGEMENTS))],
        detail_gains=(rng.uniform(*fine), rng.uniform(*coarse)),
    )


def _draw_moves(rng: np.random.Generator) -> tuple[RegionMove, ...]:
    """The mouth always moves; eyes and brows each half of the time, both sides alike."""
    moves = [_draw_move("mouth", 0.06, 0.08, 0.15, 0.4, rng)]
    if rng.random() < 0.5:
        eye = _draw_move("right_eye", 0.02, 0.03, 0.05, 0.3, rng)
        moves += [eye, eye.model_copy(update={"region": "left_eye", "shift_x": -eye.shift_x})]
    if rng.random() < 0.5:
        brow = _draw_move("right_brow", 0.02, 0.08, 0.05, 0.1, rng)
        moves += [brow, brow.model_copy(update={"region": "left_brow", "shift_x": -brow.shift_x})]
    return tuple(moves)


def _draw_move(
    region: FaceRegion, shift_x: float, shift_y: float, wider: float, higher: float, rng: np.random.Generator
) -> RegionMove:
    return RegionMove(
        region=region,
        shift_x=_symmetric(shift_x, rng),
        shift_y=_symmetric(shift_y, rng),
        stretch_x=float(np.exp(_symmetric(np.log1p(wider), rng))),
        stretch_y=float(np.exp(_symmetric(np.log1p(higher), rng))),
    )


def _draw_mask_type(config: PseudoFakesConfig, rng: np.random.Generator) -> MaskType:
    # In the order of the type, not of the mapping: two spellings of one configuration draw the same masks.
    weights = np.array([config.drawn_masks.get(mask_type, 0.0) for mask_type in _MASK_TYPES])
    if weights.sum() == 0:
        raise ValueError("the variant none makes no pseudo-fakes: expected paper, sbi, local, diverse or mask_weights")
    return _MASK_TYPES[rng.choice(len(weights), p=weights / weights.sum())]


def _draw_colour(config: PseudoFakesConfig, rng: np.random.Generator) -> ColourTransform:
    hue, saturation, value = HSV_SHIFT_LEVELS[config.colour_strength]
    return ColourTransform(
        rgb_shift_levels=_draw_rgb_shift(rng) if rng.random() < RGB_SHIFT_PROBABILITY else None,
        hsv_shift_levels=(_symmetric(hue, rng), _symmetric(saturation, rng), _symmetric(value, rng)),
        brightness=_symmetric(BRIGHTNESS_SHARE, rng),
        contrast=_symmetric(CONTRAST_SHARE, rng),
        detail=_draw_downscale(rng) if rng.random() < 0.5 else _draw_sharpen(rng),
    )


def _draw_rgb_shift(rng: np.random.Generator) -> tuple[float, float, float]:
    return _symmetric(RGB_SHIFT_LEVELS, rng), _symmetric(RGB_SHIFT_LEVELS, rng), _symmetric(RGB_SHIFT_LEVELS, rng)


def _draw_downscale(rng: np.random.Generator) -> Downscale:
    return Downscale(factor=DOWNSCALE_FACTORS[rng.integers(len(DOWNSCALE_FACTORS))])


def _draw_sharpen(rng: np.random.Generator) -> Sharpen:
    return Sharpen(alpha=rng.uniform(*SHARPEN_ALPHA), lightness=rng.uniform(*SHARPEN_LIGHTNESS))


def _draw_kernel_px(rng: np.random.Generator) -> int:
    return BLUR_KERNELS_PX[rng.integers(len(BLUR_KERNELS_PX))]


def _symmetric(limit: float, rng: np.random.Generator) -> float:
    return rng.uniform(-limit, limit)
