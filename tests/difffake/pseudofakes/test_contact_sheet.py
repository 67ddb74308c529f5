import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from difffake.config import PseudoFakesConfig
from difffake.pseudofakes.contact_sheet import COLUMNS, KINDS, one_of_each_kind, pseudo_fake_sheet
from difffake.pseudofakes.generator import Donor
from difffake.pseudofakes.sources import DonorFace
from tests.helpers.landmarks import canonical_landmarks, textured_face

SIZE_PX = 64


@pytest.fixture
def rows():
    config = PseudoFakesConfig(mask_weights={"mouth": 1.0})
    return one_of_each_kind(textured_face(SIZE_PX), canonical_landmarks(SIZE_PX), config, np.random.default_rng(0))


def test_there_is_one_row_for_each_mask_type_and_full_face_hull(rows):
    kinds = [(row.recipe.mask_type, row.recipe.hull_family) for row in rows]
    assert kinds == list(KINDS)
    assert kinds == [
        ("full_face", "dfl_full"),
        ("full_face", "extended"),
        ("full_face", "components"),
        ("full_face", "all_points"),
        ("eyes", None),
        ("mouth", None),
        ("lower_head", None),
    ]


def test_there_is_one_row_for_each_family_that_is_drawn():
    donor = Donor("d", lambda: DonorFace(textured_face(SIZE_PX, seed=3), canonical_landmarks(SIZE_PX)))
    arguments = textured_face(SIZE_PX), canonical_landmarks(SIZE_PX), PseudoFakesConfig(variant="diverse")
    rows = one_of_each_kind(*arguments, np.random.default_rng(0), donor)
    assert [row.recipe.family for row in rows] == [
        *["self_blend"] * len(KINDS), "other_face", "expression", "resynthesis",
    ]  # fmt: skip
    assert "other face" in pseudo_fake_sheet(rows).axes[len(KINDS) * len(COLUMNS)].get_ylabel()
    without = one_of_each_kind(*arguments, np.random.default_rng(0))
    assert [row.recipe.family for row in without[len(KINDS) :]] == ["expression", "resynthesis"]


def test_the_panels_show_what_their_titles_say(rows):
    axes = np.array(pseudo_fake_sheet(rows).axes[: len(rows) * len(COLUMNS)]).reshape(len(rows), len(COLUMNS))
    assert tuple(axis.get_title() for axis in axes[0]) == COLUMNS
    for row, line in zip(rows, axes, strict=True):
        shown = [np.asarray(axis.images[0].get_array()) for axis in line]
        made = row.pseudo_fake
        difference = np.abs(made.fake.astype(int) - made.target).max(axis=2)
        for panel, expected in zip(
            shown, (row.real, made.source, made.target, made.mask, made.fake, difference), strict=True
        ):
            np.testing.assert_array_equal(panel, expected)
        label = line[0].get_ylabel()
        assert row.recipe.mask_type.replace("_", " ") in label
        assert (row.recipe.hull_family or "").replace("_", " ") in label
        assert f"ratio {row.recipe.blend_ratio:g}" in label
    assert len({axis.images[0].get_clim() for axis in axes[:, -1]}) == 1


def test_a_sheet_is_saved_as_png(rows):
    picture = io.BytesIO()
    pseudo_fake_sheet(rows[:2]).savefig(picture, format="png")
    assert picture.getvalue().startswith(b"\x89PNG")


def test_a_sheet_needs_rows():
    with pytest.raises(ValueError, match="at least one row"):
        pseudo_fake_sheet([])


def test_no_drawing_backend_is_chosen_for_the_caller():
    code = "import sys, difffake.pseudofakes.contact_sheet; sys.exit('matplotlib.pyplot' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], check=True)
