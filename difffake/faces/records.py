"""What extraction yields: faces, the outcome for a video, and the in-memory set training reads."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from difffake.video import VideoInfo

ExtractionStatus = Literal["ok", "no_face", "few_faces", "truncated", "unreadable", "refused"]

FloatArray = npt.NDArray[np.float32]
Affine = npt.NDArray[np.float64]
RgbImage = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class FaceRecord:
    """One face in one sampled frame.

    Attributes:
        face_id: 32 hex digits, a function of video content, extraction fingerprint, frame and track.
        frame_index: 0-based index of the decoded frame.
        time_s: presentation time of the frame, in seconds from the first frame.
        track_id: 0 is the main person of the video.
        track_share: share of the sampled frames in which this track has a face, in (0, 1].
        bbox_xyxy_px: (4,) float32, the detector's box in source-frame pixels.
        detector_score: in [0, 1].
        landmarks_px: (68, 2) float32, iBUG order, source-frame pixels.
        crop_jpeg: the square crop as JPEG bytes (4:4:4).
        crop_to_frame: (2, 3) float64 affine, homogeneous crop pixels → source-frame pixels.
        sharpness: variance of the Laplacian of the grey crop; higher is sharper.
    """

    face_id: str
    frame_index: int
    time_s: float
    track_id: int
    track_share: float
    bbox_xyxy_px: FloatArray
    detector_score: float
    landmarks_px: FloatArray
    crop_jpeg: bytes
    crop_to_frame: Affine
    sharpness: float


@dataclass(frozen=True)
class Extraction:
    """The outcome for one video: always exactly one status, with a reason unless it is ok.

    `video` says what the file holds; None for photos, and where it could not be read.
    """

    status: ExtractionStatus
    reason: str
    frames_sampled: int
    faces: tuple[FaceRecord, ...] = field(default=(), repr=False)
    video: "VideoInfo | None" = field(default=None, compare=False)


def face_id(video_sha256: str, extraction_fingerprint: str, frame_index: int, track_id: int) -> str:
    """The name of a face: 32 hex digits, equal wherever the same video is extracted the same way."""
    text = f"{video_sha256}/{extraction_fingerprint}/{frame_index}/{track_id}"
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, eq=False)
class FaceSet:
    """Encoded crops in a fixed order; row i of every field is the same face.

    Attributes:
        face_ids: N names.
        video_keys: N keys of the videos the faces come from.
        crops_jpeg: N encoded square crops, all of one size.
        landmarks_crop_px: (N, 68, 2) float32, iBUG order, in pixels of the crop.
    """

    face_ids: tuple[str, ...]
    video_keys: tuple[str, ...]
    crops_jpeg: Sequence[bytes] = field(repr=False)
    landmarks_crop_px: FloatArray = field(repr=False)

    def __len__(self) -> int:
        return len(self.face_ids)

    def of_rows(self, rows: Sequence[int]) -> "FaceSet":
        """The faces of these rows, in that order, their crops in memory."""
        return FaceSet(
            face_ids=tuple(self.face_ids[row] for row in rows),
            video_keys=tuple(self.video_keys[row] for row in rows),
            crops_jpeg=tuple(self.crops_jpeg[row] for row in rows),
            landmarks_crop_px=self.landmarks_crop_px[list(rows)],
        )

    def __post_init__(self) -> None:
        lengths = {len(self.face_ids), len(self.video_keys), len(self.crops_jpeg), len(self.landmarks_crop_px)}
        if len(lengths) != 1:
            raise ValueError(f"fields of a FaceSet must have one length, not {sorted(lengths)}")
