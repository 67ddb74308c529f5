"""The videos benchmarks run on: real sample videos where they are at hand, the demo's footage otherwise."""

import os
from pathlib import Path

import av
import cv2
import numpy as np

from benchmarks.measure import REPOSITORY
from difffake.config import FacesConfig
from difffake.errors import DataError
from difffake.faces.crops import frame_to_crop
from difffake.faces.extraction import extract_faces
from difffake.faces.finder import build_face_finder
from difffake.faces.records import FaceSet
from difffake.video import probe, sample_indices

SAMPLE_VARIABLE = "DIFFFAKE_SAMPLE_DATA"
_SUFFIXES = frozenset({".mp4", ".mov", ".mpg", ".avi"})
FOOTAGE = Path(".difffake/footage/FaceForensics++")
"""Of the demo, below the folder it was run in."""


def sample_folder() -> Path:
    """The folder of real sample videos, whether or not it is there."""
    return Path(os.environ.get(SAMPLE_VARIABLE, REPOSITORY.parent / "shared" / "data"))


def sample_videos(*folders: str) -> list[Path]:
    """Real videos below the named folders of the sample, sorted; the demo's footage where there is no sample.

    Raises:
        DataError: there is neither.
    """
    root = sample_folder()
    places = [root / folder for folder in folders] if root.is_dir() else [REPOSITORY / FOOTAGE, Path.cwd() / FOOTAGE]
    videos = sorted({path for place in places for path in place.rglob("*") if path.suffix.lower() in _SUFFIXES})
    if not videos:
        raise DataError(
            f"no video to measure with: {root} is not there ({SAMPLE_VARIABLE} names another place), and "
            "`difffake demo` has not been run here"
        )
    return videos


def sample_sets() -> dict[str, list[Path]]:
    """The videos that are measured apart, by what they are: two datasets of the sample, or the demo's footage."""
    if not sample_folder().is_dir():
        return {"the demo's footage": sample_videos()}
    return {"FaceForensics++ c23": sample_videos("FaceForensics++"), "DFDC": sample_videos("DFDC")}


def sample_faces(crop_size_px: int, videos: int = 8, frames: int = 8) -> FaceSet:
    """Faces of the first FaceForensics++ videos, as they are stored."""
    cv2.setNumThreads(1)
    config = FacesConfig(detector="blazeface", frames_per_video=frames, crop_size_px=crop_size_px)
    finder = build_face_finder(config)
    found = [
        (str(video), face)
        for video in sample_videos("FaceForensics++")[:videos]
        for face in extract_faces(video, str(video), "benchmark", config, finder).faces
    ]
    return FaceSet(
        face_ids=tuple(face.face_id for _, face in found),
        video_keys=tuple(video for video, _ in found),
        crops_jpeg=tuple(face.crop_jpeg for _, face in found),
        landmarks_crop_px=np.stack([frame_to_crop(face.landmarks_px, face.crop_to_frame) for _, face in found]),
    )


def sampled(video: Path, count: int) -> frozenset[int]:
    """The frames that extraction samples, found out before anything is measured."""
    return frozenset(sample_indices(probe(video).frames, count).tolist())


def decode(video: Path, wanted: frozenset[int]) -> None:
    """Decode a video to the last of these frames, and keep these: the floor of what reads videos.

    As PyAV does by itself: every frame is decoded, where extraction skips what no wanted frame refers to.
    """
    # A cut file ends before the last of them, for whoever is measured against this too.
    last = max(wanted)
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        for index, frame in enumerate(container.decode(stream)):
            if index in wanted:
                frame.to_ndarray(format="rgb24", threads=1)
            if index == last:
                break
