"""One pair of the plan becomes its files: two real clips and, both ways, the swap of their faces."""

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data_catalog.fingerprints import digest_file
from data_catalog.footage.face_swap import swap_clip
from data_catalog.footage.motion import add_sensor_noise, render_take
from data_catalog.footage.plan import CRF, FootageConfig, PlannedClip, PlannedPair, fake_path, real_path
from difffake.config import FacesConfig
from difffake.errors import DataError
from difffake.faces.finder import FaceFinder, build_face_finder
from difffake.faces.records import FloatArray, RgbImage
from difffake.randomness import derive_rng
from difffake.video_writing import write_video

_LEAST_LANDMARK_SCORE = 0.5


@dataclass(frozen=True)
class WrittenClip:
    """A finished file.

    Attributes:
        path: below the root, with forward slashes.
        sha256: of its content.
        frames_swapped: frames of a fake that carry the other face; 0 in a real clip.
    """

    path: str
    sha256: str
    frames_swapped: int


def write_pair(root: Path, pair: PlannedPair, config: FootageConfig) -> list[WrittenClip]:
    """Render, swap and encode the clips of one pair; each file appears under its name only once complete.

    Raises:
        DataError: a medium cannot be used, or too few frames show both faces.
    """
    clips = (pair.first, pair.second)
    frames = tuple(_render(clip, config) for clip in clips)
    written = [
        _write(root, real_path(clip.video_id, config.compression), own, clip, config)
        for clip, own in zip(clips, frames, strict=True)
    ]
    if not pair.has_faces:
        return written
    landmarks_px = tuple(_find_landmarks(own) for own in frames)
    for target, source in ((0, 1), (1, 0)):
        path = fake_path(clips[target].video_id, clips[source].video_id, config.compression)
        rng = derive_rng(config.seed, "footage blending", *_names(clips[target]), *_names(clips[source]))
        blending = config.blendings[int(rng.integers(len(config.blendings)))]
        try:
            swap = swap_clip(frames[target], landmarks_px[target], frames[source], landmarks_px[source], blending)
        except DataError as error:
            raise DataError(f"{path} ({clips[source].person} on {clips[target].person}): {error}") from error
        written.append(_write(root, path, swap.frames, clips[target], config, swap.frames_swapped))
    return written


def _names(clip: PlannedClip) -> tuple[str, int]:
    return (clip.person or "", clip.take_index)


def _render(clip: PlannedClip, config: FootageConfig) -> npt.NDArray[np.uint8]:
    rng = derive_rng(config.seed, "footage motion", *_names(clip))
    return render_take(clip.take, config.frames, config.fps, config.size_px, rng)


def _write(
    root: Path,
    path: str,
    frames: npt.NDArray[np.uint8],
    clip: PlannedClip,
    config: FootageConfig,
    frames_swapped: int = 0,
) -> WrittenClip:
    """Noise and encode; a fake takes the very noise of the real clip it was made from."""
    rng = derive_rng(config.seed, "footage noise", *_names(clip))
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    write_video(root / path, add_sensor_noise(frames, rng), config.fps, CRF[config.compression])
    return WrittenClip(path, digest_file(root / path), frames_swapped)


def _find_landmarks(frames: npt.NDArray[np.uint8]) -> list[FloatArray | None]:
    """Landmarks of the face nearest to the middle of each frame, which the camera looks at; None without a face."""
    finder = _face_finder()
    return [_central_landmarks(finder, rgb) for rgb in frames]


def _central_landmarks(finder: FaceFinder, rgb: RgbImage) -> FloatArray | None:
    middle = np.array([rgb.shape[1], rgb.shape[0]]) / 2
    faces = [face.landmarks_px for face in finder.find([rgb])[0] if face.landmark_score >= _LEAST_LANDMARK_SCORE]
    return min(faces, key=lambda points: float(np.linalg.norm(points.mean(axis=0) - middle)), default=None)


@functools.cache
def _face_finder() -> FaceFinder:
    return build_face_finder(FacesConfig(detector="blazeface"))
