"""The recipe of one pseudo-deepfake: every drawn parameter, so that crop, landmarks and recipe give it again."""

import json
from typing import Annotated, Any, Literal, Self, get_args

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from difffake.config import HullFamily, MaskType, PseudoFakesConfig
from difffake.errors import ArtefactError

# Bump it when a drawn recipe, or the picture made from one, changes.
STAGE_VERSION = 1
# Bump it when the fields of a stored recipe change.
RECIPE_SCHEMA_VERSION = 1

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

_MASK_TYPES: tuple[MaskType, ...] = get_args(MaskType)
_HULL_FAMILIES: tuple[HullFamily, ...] = get_args(HullFamily)


def _is_odd(kernel_px: int) -> int:
    if kernel_px % 2 == 0:
        raise ValueError("a blur kernel has a middle pixel: its side must be odd")
    return kernel_px


OddPx = Annotated[int, Field(ge=1), AfterValidator(_is_odd)]


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


class PseudoFakeRecipe(_Part):
    """Every drawn parameter of one pseudo-deepfake; valid for crops of any size (Sec. 3.1).

    Attributes:
        hull_family: how the full-face hull is built; None for every other mask type.
        transformed: the side that gets the colour transform.
        blend_ratio: multiplies the softened mask, in (0, 1].
    """

    mask_type: MaskType
    hull_family: HullFamily | None
    transformed: Literal["source", "target"]
    colour: ColourTransform
    move: Move
    elastic: Elastic
    softening: Softening
    blend_ratio: float = Field(gt=0, le=1)

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
        if type(version) is not int or version != RECIPE_SCHEMA_VERSION:
            raise ArtefactError(
                f"a stored pseudo-fake recipe has schema version {version!r}, this code reads "
                f"{RECIPE_SCHEMA_VERSION}: draw the pseudo-fakes again, or use the version that wrote them"
            )
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise ArtefactError(f"a stored pseudo-fake recipe does not validate; draw it again: {error}") from error


def draw_recipe(config: PseudoFakesConfig, rng: np.random.Generator) -> PseudoFakeRecipe:
    """Draw every parameter of one pseudo-deepfake; a function of `config` and the state of `rng` alone."""
    mask_type = _draw_mask_type(config, rng)
    return PseudoFakeRecipe(
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
    )


def _draw_mask_type(config: PseudoFakesConfig, rng: np.random.Generator) -> MaskType:
    # In the order of the type, not of the mapping: two spellings of one configuration draw the same masks.
    weights = np.array([config.drawn_masks.get(mask_type, 0.0) for mask_type in _MASK_TYPES])
    if weights.sum() == 0:
        raise ValueError("the variant none makes no pseudo-fakes: expected paper, sbi, local or mask_weights")
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
