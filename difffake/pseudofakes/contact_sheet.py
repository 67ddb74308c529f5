"""Pseudo-deepfakes side by side with what they were made of: the figure to look at before training on them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from difffake.config import HullFamily, MaskType, PseudoFakeFamily, PseudoFakesConfig
from difffake.faces.records import FloatArray, RgbImage
from difffake.pseudofakes.generator import Donor, PseudoFake, apply_recipe
from difffake.pseudofakes.recipe import NEUTRAL_COLOUR, PseudoFakeRecipe, draw_recipe

KINDS: tuple[tuple[MaskType, HullFamily | None], ...] = (
    *(("full_face", family) for family in get_args(HullFamily)),
    *((mask_type, None) for mask_type in get_args(MaskType) if mask_type != "full_face"),
)
COLUMNS = ("real", "source (moved)", "target", "mask", "result", "|result − target|")

_DETAIL_LABELS = {"downscale": "downscaled", "sharpen": "sharpened"}
_PANEL_INCHES = 1.6


@dataclass(frozen=True, eq=False)
class SheetRow:
    """One row of the sheet: a real crop, (S, S, 3) uint8 RGB, the recipe and what the two gave."""

    real: RgbImage
    recipe: PseudoFakeRecipe
    pseudo_fake: PseudoFake


def one_of_each_kind(
    crop_rgb: RgbImage,
    landmarks_crop_px: FloatArray,
    config: PseudoFakesConfig,
    rng: np.random.Generator,
    donor: Donor | None = None,
) -> list[SheetRow]:
    """A row for each mask type, for each hull family of the full face, and for each family beside self-blends.

    Mask types and hulls whatever their weights in `config`, families that it draws; of other faces only with a donor.

    Raises:
        DegenerateMaskError: one of the masks selects nothing.
    """
    self_blends = config.model_copy(update={"families": {"self_blend": 1.0}})
    rows = []
    for mask_type, hull_family in KINDS:
        recipe = _with_mask(draw_recipe(self_blends, rng), mask_type, hull_family)
        rows.append(SheetRow(crop_rgb, recipe, apply_recipe(crop_rgb, landmarks_crop_px, recipe)))
    for family in _families_beside(config, donor):
        alone = config.model_copy(update={"families": {family: 1.0}})
        drawn = draw_recipe(alone, rng, None if donor is None else donor.face_id)
        recipe = _with_mask(drawn, "full_face", "all_points")
        face = donor.load() if donor is not None and recipe.donor_id is not None else None
        rows.append(SheetRow(crop_rgb, recipe, apply_recipe(crop_rgb, landmarks_crop_px, recipe, face)))
    return rows


def _families_beside(config: PseudoFakesConfig, donor: Donor | None) -> list[PseudoFakeFamily]:
    drawn = [family for family in get_args(PseudoFakeFamily) if config.drawn_families.get(family, 0.0) > 0]
    without = {"self_blend"} if donor is not None else {"self_blend", "other_face"}
    return [family for family in drawn if family not in without]


def _with_mask(recipe: PseudoFakeRecipe, mask_type: MaskType, hull_family: HullFamily | None) -> PseudoFakeRecipe:
    return recipe.model_copy(update={"mask_type": mask_type, "hull_family": hull_family})


def pseudo_fake_sheet(rows: Sequence[SheetRow]) -> Figure:
    """A figure with a line of pictures per row: real, source, target, mask, result and |result − target|.

    The differences of all rows share one scale, stated below their column.

    Raises:
        ValueError: no rows.
    """
    if not rows:
        raise ValueError("a contact sheet needs at least one row")
    figure = Figure(figsize=(_PANEL_INCHES * (len(COLUMNS) + 1), _PANEL_INCHES * len(rows) + 0.6), layout="constrained")
    axes = figure.subplots(len(rows), len(COLUMNS), squeeze=False)
    differences = [_difference_levels(row.pseudo_fake) for row in rows]
    largest = max(1, *(int(difference.max()) for difference in differences))
    for row, difference, line in zip(rows, differences, axes, strict=True):
        _draw_row(line, row, difference, largest)
    for column, title in zip(axes[0], COLUMNS, strict=True):
        column.set_title(title, fontsize=9)
    axes[-1, -1].set_xlabel(f"0 (black) to {largest}\ngrey levels", fontsize=7)
    return figure


def _draw_row(line: Sequence[Axes], row: SheetRow, difference: npt.NDArray[np.int16], largest: int) -> None:
    made = row.pseudo_fake
    panels: tuple[tuple[npt.NDArray[Any], dict[str, Any]], ...] = (
        (row.real, {}),
        (made.source, {}),
        (made.target, {}),
        (made.mask, {"cmap": "gray", "vmin": 0, "vmax": 1}),
        (made.fake, {}),
        (difference, {"cmap": "inferno", "vmin": 0, "vmax": largest}),
    )
    for axis, (picture, options) in zip(line, panels, strict=True):
        axis.imshow(picture, interpolation="nearest", **options)
        axis.set_xticks([])
        axis.set_yticks([])
    line[0].set_ylabel(_label(row.recipe), rotation=0, ha="right", va="center", fontsize=8)


def _label(recipe: PseudoFakeRecipe) -> str:
    what = "" if recipe.family == "self_blend" else recipe.family
    lines = [what, recipe.mask_type, recipe.hull_family or "", f"ratio {recipe.blend_ratio:g}"]
    is_kept = recipe.colour == NEUTRAL_COLOUR
    lines.append("colours kept" if is_kept else f"{_DETAIL_LABELS[recipe.colour.detail.kind]} {recipe.transformed}")
    return "\n".join(line.replace("_", " ") for line in lines if line)


def _difference_levels(made: PseudoFake) -> npt.NDArray[np.int16]:
    """(S, S) largest absolute difference of the three channels, in grey levels."""
    difference: npt.NDArray[np.int16] = np.abs(made.fake.astype(np.int16) - made.target.astype(np.int16)).max(axis=-1)
    return difference
