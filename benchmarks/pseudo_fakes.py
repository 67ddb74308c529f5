"""Pseudo-fakes a second on one core, from decoded crops and from stored ones."""

from collections.abc import Callable

import cv2
import numpy as np

from benchmarks.measure import Figure, median_of, spent
from benchmarks.media import sample_faces
from difffake.config import PseudoFakesConfig
from difffake.faces.crop_jpeg import decode_crop
from difffake.pseudofakes.generator import make_pseudo_fake
from difffake.randomness import derive_rng

_CROP_PX = 224
_REPEATS = 5
_COUNT = 200
_CONFIG = PseudoFakesConfig()


def run() -> list[Figure]:
    """Both speeds, and what a pseudo-fake costs against one remapping and one blend, and against decoding its crop."""
    cv2.setNumThreads(1)
    faces = sample_faces(_CROP_PX)
    rows = [number % len(faces) for number in range(_COUNT)]
    crops = [decode_crop(jpeg, name) for jpeg, name in zip(faces.crops_jpeg, faces.face_ids, strict=True)]
    grid_x, grid_y = np.meshgrid(np.arange(_CROP_PX, dtype=np.float32), np.arange(_CROP_PX, dtype=np.float32))

    def from_decoded(number: int, row: int) -> None:
        make_pseudo_fake(crops[row], faces.landmarks_crop_px[row], _CONFIG, derive_rng(0, "benchmark", number))

    def from_stored(number: int, row: int) -> None:
        crop = decode_crop(faces.crops_jpeg[row], faces.face_ids[row])
        make_pseudo_fake(crop, faces.landmarks_crop_px[row], _CONFIG, derive_rng(0, "benchmark", number))

    def floor(_number: int, row: int) -> None:
        moved = cv2.remap(crops[row], grid_x + 1, grid_y, cv2.INTER_LINEAR)
        cv2.addWeighted(crops[row], 0.5, moved, 0.5, 0)

    def decoding(_number: int, row: int) -> None:
        decode_crop(faces.crops_jpeg[row], faces.face_ids[row])

    def cpu_s(work: Callable[[int, int], None]) -> float:
        with spent() as measured:
            for number, row in enumerate(rows):
                work(number, row)
        return measured.cpu_s / len(rows)

    cpu_s(from_stored)
    decoded, spread = median_of(_REPEATS, lambda: 1 / cpu_s(from_decoded))
    stored, spread_stored = median_of(_REPEATS, lambda: 1 / cpu_s(from_stored))
    ratio, spread_ratio = median_of(_REPEATS, lambda: cpu_s(from_decoded) / cpu_s(floor))
    ratio_stored, spread_ratio_stored = median_of(_REPEATS, lambda: cpu_s(from_stored) / cpu_s(decoding))
    what = f"{_CROP_PX} px, one core"
    return [
        Figure(f"pseudo-fakes from decoded crops, {what}", decoded, "a CPU s", 400, "higher", spread),
        Figure(f"pseudo-fakes from stored crops, {what}", stored, "a CPU s", 280, "higher", spread_stored),
        Figure("a pseudo-fake", ratio, "x", note=f"[floor: one remapping and one blend of the crop] {spread_ratio}"),
        Figure("one from a stored crop", ratio_stored, "x", note=f"[floor: its decoding] {spread_ratio_stored}"),
    ]
