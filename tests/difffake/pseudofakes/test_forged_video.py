import numpy as np
import pytest

from difffake.config import PseudoFakesConfig
from difffake.errors import DegenerateMaskError
from difffake.faces.records import FaceSet
from difffake.pseudofakes.forged_video import DonorVideo, forge_video
from difffake.pseudofakes.generator import apply_recipe
from difffake.pseudofakes.recipe import draw_recipe
from tests.helpers.landmarks import canonical_landmarks, textured_face
from tests.helpers.synthetic_faces import encode

SIZE_PX = 96


@pytest.fixture(scope="module")
def face() -> tuple[np.ndarray, np.ndarray]:
    return textured_face(SIZE_PX), canonical_landmarks(SIZE_PX)


def test_a_video_is_forged_alike_and_trembles(face: tuple[np.ndarray, np.ndarray]) -> None:
    crop, landmarks = face
    config = PseudoFakesConfig(mask_weights={"mouth": 1}, blend_ratios=(1.0,), colour_strength="strong")
    made = forge_video([crop] * 3, np.stack([landmarks] * 3), config, 0.01, np.random.default_rng(0))
    images = [image for image in made if image is not None]
    assert len(images) == 3
    changed = [np.abs(image.astype(int) - crop).sum(axis=2) > 12 for image in images]
    # The same part of the face in all, never quite the same.
    assert all((changed[0] & other).sum() > 0.5 * changed[0].sum() for other in changed[1:])
    assert not np.array_equal(images[0], images[1])


def test_without_trembling_only_the_bending_differs(face: tuple[np.ndarray, np.ndarray]) -> None:
    crop, landmarks = face
    config = PseudoFakesConfig(elastic_alpha=0.0)
    first, second = forge_video([crop] * 2, np.stack([landmarks] * 2), config, 0.0, np.random.default_rng(1))
    assert first is not None
    assert second is not None
    assert np.array_equal(first, second)
    recipe = draw_recipe(config, np.random.default_rng(1))
    assert np.array_equal(first, apply_recipe(crop, landmarks, recipe).fake)


def test_a_face_without_a_mask_is_left_out_and_none_at_all_is_an_error(face: tuple[np.ndarray, np.ndarray]) -> None:
    crop, landmarks = face
    nowhere = np.full_like(landmarks, -500)
    made = forge_video([crop] * 2, np.stack([landmarks, nowhere]), PseudoFakesConfig(), 0.005, np.random.default_rng(2))
    assert [image is None for image in made] == [False, True]
    with pytest.raises(DegenerateMaskError):
        forge_video([crop], nowhere[None], PseudoFakesConfig(), 0.005, np.random.default_rng(2))


def test_landmarks_that_drift_move_the_mask_slowly(face: tuple[np.ndarray, np.ndarray]) -> None:
    crop, landmarks = face
    config = PseudoFakesConfig(
        mask_weights={"mouth": 1}, blend_ratios=(1.0,), colour_strength="strong", elastic_alpha=0
    )
    still, drifting, redrawn = (
        forge_video([crop] * 30, np.stack([landmarks] * 30), config, 0.0, np.random.default_rng(3), drift)
        for drift in ("jitter", "landmarks", "redrawn")
    )
    assert all(np.array_equal(image, still[0]) for image in still)

    def change(video: list[np.ndarray | None], lag: int) -> float:
        images = [image.astype(int) for image in video if image is not None]
        return float(np.mean([np.abs(a - b).mean() for a, b in zip(images, images[lag:], strict=False)]))

    assert 0 < change(drifting, 1) < 0.8 * change(drifting, 20)
    assert change(redrawn, 1) > 2 * change(drifting, 1)


def test_another_persons_nearest_face_is_blended_into_each(face: tuple[np.ndarray, np.ndarray]) -> None:
    crop, landmarks = face
    shifted = landmarks.copy()
    shifted[48:] += 4
    crops = tuple(encode(textured_face(SIZE_PX, seed)) for seed in (20, 21))
    others = FaceSet(("x", "y"), ("v", "v"), crops, np.stack([landmarks, shifted]))
    loaded: list[int] = []

    def load() -> FaceSet:
        loaded.append(1)
        return others

    donor = DonorVideo("x", load)
    assert donor.nearest(shifted)[0] == "y"
    assert donor.nearest(landmarks)[0] == "x"
    config = PseudoFakesConfig(families={"other_face": 1}, blend_ratios=(1.0,))
    made = forge_video([crop, crop], np.stack([shifted, landmarks]), config, 0.0, np.random.default_rng(4), donor=donor)
    assert all(image is not None and not np.array_equal(image, crop) for image in made)
    assert len(loaded) == 1
    unread = DonorVideo("x", load)
    forge_video([crop], landmarks[None], PseudoFakesConfig(), 0.0, np.random.default_rng(4), donor=unread)
    assert len(loaded) == 1
