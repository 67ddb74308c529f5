import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial import Delaunay

from difffake.errors import DegenerateMaskError
from difffake.pseudofakes import masks
from difffake.pseudofakes.contact_sheet import KINDS
from difffake.pseudofakes.masks import deform_mask, elastic_field, hull_mask, soften_mask
from difffake.pseudofakes.recipe import BLUR_KERNELS_PX, Elastic, Move, Softening
from tests.helpers.landmarks import canonical_landmarks

SIZE_PX = 224
STILL = Move(translate_x=0, translate_y=0, scale=1)
RIGID = Elastic(alpha_px=0, sigma_px=7, seed=0)
FULL_FACE = [kind for kind in KINDS if kind[0] == "full_face"]
LOCAL = {
    # mask type: (landmarks inside, landmarks outside)
    "eyes": ([*range(17, 27), *range(36, 48), 0, 1, 14, 15, 27], [*range(3, 14), *range(31, 36), *range(48, 68)]),
    "mouth": ([*range(48, 68), *range(4, 13), *range(31, 36)], [*range(4), *range(13, 31), *range(36, 48)]),
    "lower_head": ([*range(1, 16), 29, 30, *range(31, 36), *range(48, 68)], [0, 16, *range(17, 29), *range(36, 48)]),
}


def covered(mask: np.ndarray, landmarks_px: np.ndarray) -> np.ndarray:
    x, y = np.rint(landmarks_px).astype(int).T
    return mask[y, x] == 1


def wobbly_landmarks(seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 4, (68, 2))
    return (canonical_landmarks(SIZE_PX) + noise).astype(np.float32)


@pytest.mark.parametrize("mask_type", LOCAL)
def test_local_masks_cover_their_part_of_the_face_and_no_other(mask_type):
    landmarks_px = canonical_landmarks(SIZE_PX)
    inside, outside = LOCAL[mask_type]
    hit = covered(hull_mask(landmarks_px, mask_type, None, SIZE_PX), landmarks_px)
    assert hit[inside].all()
    assert not hit[outside].any()


@pytest.mark.parametrize(("mask_type", "hull_family"), FULL_FACE)
def test_full_face_masks_cover_every_landmark_in_one_piece_without_holes(mask_type, hull_family):
    landmarks_px = canonical_landmarks(SIZE_PX)
    mask = hull_mask(landmarks_px, mask_type, hull_family, SIZE_PX)
    assert covered(mask, landmarks_px).all()
    assert mask.dtype == np.float32
    assert set(np.unique(mask)) == {0, 1}
    assert ndimage.label(mask)[1] == 1
    np.testing.assert_array_equal(ndimage.binary_fill_holes(mask), mask == 1)


def test_hull_families_differ_as_their_names_say():
    landmarks_px = canonical_landmarks(SIZE_PX)
    family = {name: hull_mask(landmarks_px, "full_face", name, SIZE_PX) for _, name in FULL_FACE}
    # Lifted brows add forehead only: nothing below the eyes changes.
    eye_line = int(landmarks_px[36:48, 1].max())
    assert (family["extended"] >= family["all_points"]).all()
    assert family["extended"].sum() > 1.05 * family["all_points"].sum()
    np.testing.assert_array_equal(family["extended"][eye_line:], family["all_points"][eye_line:])
    # The components leave out what lies between the brows.
    assert (family["components"] <= family["all_points"]).all()
    between_brows_x, between_brows_y = np.rint(landmarks_px[[21, 22]].mean(axis=0)).astype(int)
    assert family["all_points"][between_brows_y, between_brows_x] == 1
    assert family["components"][between_brows_y, between_brows_x] == 0
    assert (family["dfl_full"] <= family["all_points"]).all()


def test_brows_rise_by_half_their_distance_from_the_eyes():
    landmarks_px = canonical_landmarks(1000)
    brow_y, eye_y = landmarks_px[17:22, 1].mean(), landmarks_px[36:42, 1].mean()
    top_px = {
        family: np.flatnonzero(hull_mask(landmarks_px, "full_face", family, 1000).any(axis=1))[0]
        for family in ("all_points", "extended")
    }
    assert top_px["all_points"] - top_px["extended"] == pytest.approx((eye_y - brow_y) / 2, abs=2)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("mask_type", "hull_family", "hulls"),
    [
        ("full_face", "all_points", [range(68)]),
        ("full_face", "dfl_full", masks.DFL_FULL_HULLS),
        ("full_face", "components", masks.COMPONENT_HULLS),
        ("eyes", None, [masks.EYES_HULL]),
        ("mouth", None, [masks.MOUTH_HULL]),
        ("lower_head", None, [masks.LOWER_HEAD_HULL]),
    ],
)
def test_hulls_agree_with_point_in_triangulation(seed, mask_type, hull_family, hulls):
    landmarks_px = wobbly_landmarks(seed)
    y, x = np.mgrid[:SIZE_PX, :SIZE_PX]
    grid = np.column_stack([x.ravel(), y.ravel()])
    inside = np.zeros(SIZE_PX * SIZE_PX, bool)
    for hull in hulls:
        inside |= Delaunay(landmarks_px[list(hull)].astype(np.float64)).find_simplex(grid) >= 0
    inside = inside.reshape(SIZE_PX, SIZE_PX)
    mask = hull_mask(landmarks_px, mask_type, hull_family, SIZE_PX) == 1
    # The filler also draws the outline: never less than the hull, at most a pixel more.
    assert not (inside & ~mask).any()
    assert not (mask & ~ndimage.binary_dilation(inside, np.ones((3, 3)))).any()


@pytest.mark.parametrize(("mask_type", "hull_family"), KINDS)
@pytest.mark.parametrize("shift_px", [(-90, 0), (90, 20), (100, -60)])
def test_a_face_partly_outside_the_crop_is_the_window_of_the_whole_mask(mask_type, hull_family, shift_px):
    landmarks_px = canonical_landmarks(SIZE_PX)
    shift_px = np.array(shift_px)
    big = hull_mask(landmarks_px + SIZE_PX, mask_type, hull_family, 3 * SIZE_PX)
    x, y = SIZE_PX - shift_px
    window = big[y : y + SIZE_PX, x : x + SIZE_PX]
    assert 0 < window.sum() < big.sum()
    mask = hull_mask((landmarks_px + shift_px).astype(np.float32), mask_type, hull_family, SIZE_PX)
    # An outline cut off at the border may be drawn a pixel further.
    assert (mask != window).sum() <= 4


def line_of_landmarks(dx: float, dy: float) -> np.ndarray:
    along = np.linspace(20, 200, 68)
    return np.column_stack([20 + dx * along, 20 + dy * along]).astype(np.float32)


@pytest.mark.parametrize(("mask_type", "hull_family"), KINDS)
@pytest.mark.parametrize(
    "landmarks_px",
    [
        np.full((68, 2), np.nan, np.float32),
        np.full((68, 2), np.inf, np.float32),
        np.full((68, 2), 100, np.float32),
        np.zeros((68, 2), np.float32),
        line_of_landmarks(1, 0),
        line_of_landmarks(0, 1),
        line_of_landmarks(0.7, 0.7),
        canonical_landmarks(SIZE_PX) + SIZE_PX,
        canonical_landmarks(SIZE_PX) - SIZE_PX,
        canonical_landmarks(SIZE_PX) * np.float32(1e9),
        canonical_landmarks(4) + 100,
    ],
    ids=["nan", "inf", "point", "origin", "row", "column", "diagonal", "right", "left", "vast", "tiny"],
)
def test_degenerate_landmarks_are_refused(landmarks_px, mask_type, hull_family):
    with pytest.raises(DegenerateMaskError, match=r"landmark|hull covers"):
        hull_mask(landmarks_px, mask_type, hull_family, SIZE_PX)


def test_one_bad_point_is_enough_to_refuse_landmarks():
    landmarks_px = canonical_landmarks(SIZE_PX)
    landmarks_px[60, 1] = np.nan
    with pytest.raises(DegenerateMaskError, match="finite"):
        hull_mask(landmarks_px, "eyes", None, SIZE_PX)


@pytest.mark.parametrize(("mask_type", "hull_family"), [("eyes", "extended"), ("full_face", None), ("nose", None)])
def test_mask_type_and_hull_family_must_go_together(mask_type, hull_family):
    with pytest.raises(ValueError, match=f"mask type '{mask_type}' with hull family"):
        hull_mask(canonical_landmarks(SIZE_PX), mask_type, hull_family, SIZE_PX)


def test_landmarks_of_another_number_are_refused():
    with pytest.raises(ValueError, match=r"\(5, 2\), expected \(68, 2\)"):
        hull_mask(np.zeros((5, 2), np.float32), "eyes", None, SIZE_PX)


def test_no_move_and_no_elastic_leave_a_mask_as_it_was():
    mask = np.random.default_rng(0).random((SIZE_PX, SIZE_PX), dtype=np.float32)
    np.testing.assert_array_equal(deform_mask(mask, STILL, RIGID), mask)


@pytest.mark.parametrize(("right_px", "down_px"), [(5, 0), (0, -3), (-4, 7)])
def test_a_mask_is_translated_by_known_pixels(right_px, down_px):
    mask = hull_mask(canonical_landmarks(SIZE_PX), "full_face", "all_points", SIZE_PX)
    move = Move(translate_x=right_px / SIZE_PX, translate_y=down_px / SIZE_PX, scale=1)
    np.testing.assert_allclose(
        deform_mask(mask, move, RIGID), np.roll(mask, (down_px, right_px), axis=(0, 1)), atol=1e-3
    )


@pytest.mark.parametrize("scale", [0.8, 0.95, 1 / 0.95])
def test_a_mask_is_scaled_about_the_centre_of_the_crop(scale):
    mask = np.zeros((SIZE_PX, SIZE_PX), np.float32)
    mask[62:162, 72:152] = 1
    moved = deform_mask(mask, Move(translate_x=0, translate_y=0, scale=scale), RIGID)
    assert moved.sum() == pytest.approx(scale**2 * mask.sum(), rel=0.01)
    np.testing.assert_allclose(ndimage.center_of_mass(moved), (SIZE_PX - 1) / 2, atol=0.05)


def test_deformation_samples_the_mask_where_the_definition_says():
    mask = ndimage.gaussian_filter(np.random.default_rng(1).random((SIZE_PX, SIZE_PX)), 4).astype(np.float32)
    mask = (mask - mask.min()) / np.ptp(mask)
    move = Move(translate_x=0.02, translate_y=-0.01, scale=0.96)
    elastic = Elastic(alpha_px=200, sigma_px=7, seed=3)
    shift_x, shift_y = elastic_field(SIZE_PX, elastic)
    y, x = np.mgrid[:SIZE_PX, :SIZE_PX].astype(np.float64)
    centre = (SIZE_PX - 1) / 2
    from_x = (x + shift_x - centre - 0.02 * SIZE_PX) / 0.96 + centre
    from_y = (y + shift_y - centre + 0.01 * SIZE_PX) / 0.96 + centre
    expected = ndimage.map_coordinates(mask, [from_y, from_x], order=1, mode="grid-constant", cval=0)
    # OpenCV interpolates at 1/32 of a pixel.
    np.testing.assert_allclose(deform_mask(mask, move, elastic), expected, atol=0.02)


@pytest.mark.parametrize(("sigma_px", "tolerance"), [(2, 0.05), (4, 0.1), (7, 0.05), (12, 0.08)])
def test_the_elastic_field_has_the_amplitude_and_smoothness_of_blurred_noise(sigma_px, tolerance):
    fields = np.stack(elastic_field(1024, Elastic(alpha_px=50, sigma_px=sigma_px, seed=11)))
    inner = fields[:, 64:-64, 64:-64].astype(np.float64)
    reference = 50 * ndimage.gaussian_filter(np.random.default_rng(2).uniform(-1, 1, (1024, 1024)), sigma_px)
    assert inner.std() == pytest.approx(reference.std(), rel=tolerance)
    # Uniform noise has standard deviation 1/√3; a Gaussian blur divides it by 2σ√π.
    assert inner.std() == pytest.approx(50 / np.sqrt(3) / (2 * sigma_px * np.sqrt(np.pi)), rel=tolerance)
    # Blurring twice with σ correlates neighbours at distance d by exp(−d² / 4σ²).
    correlation = np.corrcoef(inner[:, :, sigma_px:].ravel(), inner[:, :, :-sigma_px].ravel())[0, 1]
    assert correlation == pytest.approx(np.exp(-0.25), abs=0.06)
    assert abs(np.corrcoef(inner[0].ravel(), inner[1].ravel())[0, 1]) < 0.05


def test_the_elastic_field_is_a_function_of_its_seed():
    one, again, other = (np.stack(elastic_field(99, Elastic(alpha_px=50, sigma_px=7, seed=seed))) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 0.5


def softening(inner: int, outer: int, sigma: float = 10.0, size_px: int = SIZE_PX) -> Softening:
    return Softening(size_px=size_px, inner_kernel_px=inner, outer_kernel_px=outer, outer_sigma_px=sigma)


@pytest.mark.parametrize("kernel_px", BLUR_KERNELS_PX)
def test_the_erosion_takes_half_a_kernel_from_every_side(kernel_px):
    mask = np.zeros((SIZE_PX, SIZE_PX), np.float32)
    mask[60:150, 70:190] = 1
    half = kernel_px // 2
    expected = np.zeros_like(mask)
    expected[60 + half : 150 - half, 70 + half : 190 - half] = 1
    np.testing.assert_array_equal(soften_mask(mask, softening(kernel_px, 1)), expected)


def gaussian_weights(kernel_px: int, sigma_px: float) -> np.ndarray:
    distance = np.arange(kernel_px) - kernel_px // 2
    weights = np.exp(-(distance**2) / (2 * sigma_px**2))
    return weights / weights.sum()


def blurred_reference(mask: np.ndarray, kernel_px: int, sigma_px: float) -> np.ndarray:
    weights = gaussian_weights(kernel_px, sigma_px)
    return ndimage.correlate1d(ndimage.correlate1d(mask, weights, 0, mode="mirror"), weights, 1, mode="mirror")


@pytest.mark.parametrize(("inner", "outer", "sigma"), [(5, 25, 5.0), (25, 5, 45.0), (13, 17, 21.5)])
def test_softening_agrees_with_its_definition_in_double_precision(inner, outer, sigma):
    mask = hull_mask(wobbly_landmarks(0), "full_face", "components", SIZE_PX)
    # OpenCV derives the first sigma from its kernel by this rule.
    blurred = blurred_reference(mask.astype(np.float64), inner, 0.3 * ((inner - 1) * 0.5 - 1) + 0.8)
    eroded = np.where(blurred / blurred.max() < 1 - 1e-6, 0.0, 1.0)
    expected = blurred_reference(eroded, outer, sigma)
    expected /= expected.max()
    np.testing.assert_allclose(soften_mask(mask, softening(inner, outer, sigma)), expected, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(
    size_px=st.integers(64, 512),
    working_px=st.integers(192, 256),
    inner=st.sampled_from(BLUR_KERNELS_PX),
    outer=st.sampled_from(BLUR_KERNELS_PX),
    sigma=st.floats(5, 45),
)
def test_a_plateau_of_ones_survives_softening_at_any_size(size_px, working_px, inner, outer, sigma):
    everything = soften_mask(np.ones((size_px, size_px), np.float32), softening(inner, outer, sigma, working_px))
    np.testing.assert_allclose(everything, 1, atol=1e-6)
    assert everything.max() <= 1
    face = hull_mask(canonical_landmarks(size_px), "full_face", "all_points", size_px)
    soft = soften_mask(face, softening(inner, outer, sigma, working_px))
    assert soft.dtype == np.float32
    assert soft.min() >= 0
    assert soft.max() <= 1
    # The centre is further from the edge than both kernels reach.
    assert soft[size_px // 2, size_px // 2] == pytest.approx(1, abs=1e-6)
    assert soft[0].max() == 0


def test_a_mask_thinner_than_the_kernel_still_has_a_middle():
    mask = np.zeros((SIZE_PX, SIZE_PX), np.float32)
    mask[100:104, 100:120] = 1
    soft = soften_mask(mask, softening(25, 5))
    assert soft.max() == 1
    assert mask[soft == 1].all()


@pytest.mark.parametrize("fill", [0.0, np.nan, 1e-30])
def test_a_mask_that_selects_nothing_is_refused(fill):
    with pytest.raises(DegenerateMaskError, match="draw another recipe"):
        soften_mask(np.full((SIZE_PX, SIZE_PX), fill, np.float32), softening(5, 5))
