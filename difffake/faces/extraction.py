"""Extraction: a video in, face records out; never an exception for a video that is merely bad.

The result depends on the video's content, the configuration and the finder's weights alone. One call uses one thread if
the process has called ``cv2.setNumThreads(1)``, as workers do at their start; this module does not change that setting.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from difffake.config import FacesConfig
from difffake.errors import InputLimitError, TruncatedVideoError, UnreadableVideoError
from difffake.faces.crop_jpeg import encode_crop
from difffake.faces.crops import cut_crop
from difffake.faces.finder import FaceFinder, FoundFace
from difffake.faces.records import Affine, Extraction, ExtractionStatus, FaceRecord, RgbImage, face_id
from difffake.faces.tracks import Sighting, group_tracks, sight
from difffake.limits import Deadline, InputLimits
from difffake.media import Media
from difffake.perturbations.perturbation import Perturbation, perturb_frames, read_perturbed_frames
from difffake.photo import photo_size, read_photo
from difffake.video import Frame, VideoInfo, probe, sample_frames, sample_indices

# Bump when extraction yields other records for the same video, configuration and weights.
STAGE_VERSION = 1

# Frames looked at together (`DetectorFaceFinder` says why): so many, or fewer once they hold so many bytes.
_GROUP_FRAMES = 8
_GROUP_BYTES = 32 * 2**20


def extract_faces(
    path: Path,
    video_sha256: str,
    extraction_fingerprint: str,
    config: FacesConfig,
    finder: FaceFinder,
    media: Media = "video",
    perturbation: Perturbation | None = None,
    limits: InputLimits | None = None,
    on_frame: Callable[[int, int], None] | None = None,
) -> Extraction:
    """Faces of evenly spaced frames of a video, or of a photo, with one status; perturbed before detection, if wanted.

    - ok: at least `min_faces` faces on the main track; a photo has at most one.
    - few_faces: some, but fewer; they are kept.
    - no_face: none in any sampled frame.
    - truncated: the video breaks off before the last sampled frame; faces up to there are kept.
    - unreadable: not a single frame could be decoded.
    - refused: beyond the limits, if there are any.

    Faces are ordered by frame, then track. `on_frame` is called with the frames read and the frames in all.
    """
    deadline = limits.start() if limits is not None else None
    video: VideoInfo | None = None
    try:
        if media == "photo":
            frames = _photo(path, video_sha256, perturbation, limits)
        else:
            video, frames = _sampled(path, video_sha256, config.frames_per_video, perturbation, limits, deadline)
            if on_frame is not None:
                frames = _counted(frames, min(config.frames_per_video, video.frames), on_frame)
        seen, loss = _look_at_all(frames, video.frames if video else 1, config, finder, deadline)
    except UnreadableVideoError as error:
        return Extraction("unreadable", str(error).removeprefix(f"{path}: "), frames_sampled=0)
    except InputLimitError as error:
        return Extraction("refused", str(error), frames_sampled=0, video=video)
    faces = _records(seen, video_sha256, extraction_fingerprint)
    status, reason = _outcome(faces, len(seen), loss, 1 if media == "photo" else config.min_faces)
    return Extraction(status, reason, frames_sampled=len(seen), faces=faces, video=video)


def _counted(frames: Iterator[Frame], total: int, on_frame: Callable[[int, int], None]) -> Iterator[Frame]:
    for number, frame in enumerate(frames, start=1):
        yield frame
        on_frame(number, total)


def _sampled(
    path: Path,
    video_sha256: str,
    count: int,
    perturbation: Perturbation | None,
    limits: InputLimits | None,
    deadline: Deadline | None,
) -> tuple[VideoInfo, Iterator[Frame]]:
    if perturbation is None:
        return sample_frames(path, count, limits, deadline)
    video = probe(path, limits, deadline)
    wanted = sample_indices(video.frames, count).tolist()
    return video, read_perturbed_frames(path, wanted, perturbation, video_sha256)


def _photo(
    path: Path, video_sha256: str, perturbation: Perturbation | None, limits: InputLimits | None
) -> Iterator[Frame]:
    if limits is not None:
        limits.check_file(path)
        # Before a small file is unpacked to gigabytes.
        if (size := photo_size(path)) is not None:
            limits.check_picture(*size)
    rgb = read_photo(path)
    if limits is not None:
        limits.check_picture(rgb.shape[1], rgb.shape[0])
    frames = iter([Frame(0, 0.0, rgb)])
    return frames if perturbation is None else perturb_frames(frames, perturbation, video_sha256)


def _look_at_all(
    frames: Iterator[Frame], total_frames: int, config: FacesConfig, finder: FaceFinder, deadline: Deadline | None
) -> tuple[list["_SeenFrame"], str]:
    """What each frame shows, and what was lost of a damaged file, in words."""
    seen: list[_SeenFrame] = []
    group: list[Frame] = []
    loss = ""
    try:
        for frame in frames:
            group.append(frame)
            if len(group) == _GROUP_FRAMES or sum(waiting.rgb.nbytes for waiting in group) >= _GROUP_BYTES:
                seen += _look(group, config, finder)
                group.clear()
            if deadline is not None:
                deadline.check()
    except TruncatedVideoError as error:
        loss = f"decoded {error.decoded_frames} of {total_frames} frames: the file is cut or damaged"
    if group:
        seen += _look(group, config, finder)
    if deadline is not None:
        deadline.check()
    return seen, loss


@dataclass(frozen=True, eq=False)
class _Cut:
    """A face of one frame, its crop already encoded so that the frame can be let go."""

    sighting: Sighting
    crop_jpeg: bytes
    crop_to_frame: Affine
    sharpness: float


@dataclass(frozen=True, eq=False)
class _SeenFrame:
    index: int
    time_s: float
    cuts: list[_Cut]


def _look(frames: Sequence[Frame], config: FacesConfig, finder: FaceFinder) -> list[_SeenFrame]:
    found = finder.find([frame.rgb for frame in frames])
    return [
        _SeenFrame(frame.index, frame.time_s, [_cut(frame.rgb, face, config) for face in faces])
        for frame, faces in zip(frames, found, strict=True)
    ]


def _cut(rgb: RgbImage, face: FoundFace, config: FacesConfig) -> _Cut:
    crop, crop_to_frame = cut_crop(rgb, face.landmarks_px, config)
    return _Cut(sight(rgb, face), encode_crop(crop, config.jpeg_quality), crop_to_frame, sharpness(crop))


def _records(seen: list[_SeenFrame], video_sha256: str, extraction_fingerprint: str) -> tuple[FaceRecord, ...]:
    track_ids = group_tracks([[cut.sighting for cut in frame.cuts] for frame in seen])
    counts = np.bincount([track_id for row in track_ids for track_id in row], minlength=1)
    records = []
    for frame, row in zip(seen, track_ids, strict=True):
        for track_id, cut in sorted(zip(row, frame.cuts, strict=True), key=lambda pair: pair[0]):
            face = cut.sighting.face
            records.append(
                FaceRecord(
                    face_id=face_id(video_sha256, extraction_fingerprint, frame.index, track_id),
                    frame_index=frame.index,
                    time_s=frame.time_s,
                    track_id=track_id,
                    track_share=float(counts[track_id]) / len(seen),
                    bbox_xyxy_px=face.bbox_xyxy_px,
                    detector_score=face.detector_score,
                    landmarks_px=face.landmarks_px,
                    crop_jpeg=cut.crop_jpeg,
                    crop_to_frame=cut.crop_to_frame,
                    sharpness=cut.sharpness,
                )
            )
    return tuple(records)


def _outcome(
    faces: tuple[FaceRecord, ...], frames_sampled: int, loss: str, min_faces: int
) -> tuple[ExtractionStatus, str]:
    if loss:
        return "truncated", loss
    if not faces:
        return "no_face", f"no face in {frames_sampled} sampled frames"
    on_main_track = sum(face.track_id == 0 for face in faces)
    if on_main_track < min_faces:
        return "few_faces", f"{on_main_track} faces on the main track, {min_faces} wanted, in {frames_sampled} frames"
    return "ok", ""


def sharpness(crop: RgbImage) -> float:
    """Variance of the Laplacian of the grey crop: higher is sharper."""
    return float(cv2.Laplacian(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var())
