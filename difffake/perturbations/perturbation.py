"""A condition under which videos are judged: which perturbation, how strong, and the frames it leaves."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from difffake.config import LARGEST_CRF, PerturbationName, VideoCodec
from difffake.errors import TruncatedVideoError
from difffake.perturbations.frames import FRAME_PERTURBATIONS
from difffake.randomness import derive_rng
from difffake.video import Frame, probe, read_frames
from difffake.video_writing import reencode

STAGE_VERSION = 1
"""Enters the fingerprint of a perturbed extraction: bump it when perturbed frames change."""

VIDEO_COMPRESSION_CRF = (30, 32, 35, 38, 40)
"""Constant rate factor of H.264 at severities 1 to 5 of `video_compression`."""

ReencodingName = Literal["h264_crf", "hevc_crf", "vp9_crf"]
"""Re-encoding at a rate factor of one's own choice, which is the level."""

H264_CRF: Literal["h264_crf"] = "h264_crf"

_REENCODINGS: Mapping[VideoCodec, ReencodingName] = {"h264": H264_CRF, "hevc": "hevc_crf", "vp9": "vp9_crf"}
_CODECS: Mapping[str, VideoCodec] = {name: codec for codec, name in _REENCODINGS.items()}


@dataclass(frozen=True, order=True)
class Perturbation:
    """A perturbation at one strength.

    Attributes:
        name: of the seven, or one of re-encoding.
        level: severity, 1 to 5; of re-encoding the constant rate factor, see `LARGEST_CRF`.
        seed: of what it draws.
    """

    name: PerturbationName | ReencodingName
    level: int
    seed: int = 0

    def __post_init__(self) -> None:
        low, high = (0, LARGEST_CRF[_CODECS[self.name]]) if self.name in _CODECS else (1, 5)
        if not low <= self.level <= high:
            raise ValueError(f"the level of {self.name} must be in [{low}, {high}], not {self.level}")

    @property
    def crf(self) -> int | None:
        """The rate factor at which the whole video is encoded anew; None for a perturbation of single frames."""
        if self.name in _CODECS:
            return self.level
        return VIDEO_COMPRESSION_CRF[self.level - 1] if self.name == "video_compression" else None

    @property
    def codec(self) -> VideoCodec:
        """Which encodes the whole video anew, where one does."""
        return _CODECS.get(self.name, "h264")

    @property
    def value(self) -> float:
        """The parameter that the level stands for."""
        if self.crf is not None:
            return self.crf
        return FRAME_PERTURBATIONS[self.name].levels[self.level - 1]  # type: ignore[index]

    def fingerprint_parts(self) -> dict[str, str | float]:
        """What its result depends on; two names of one effect are equal here."""
        if self.crf is not None:
            return {"perturbation": reencoding(self.codec), "value": self.crf}
        return {"perturbation": self.name, "value": self.value, "seed": self.seed}


def reencoding(codec: VideoCodec) -> ReencodingName:
    """The name of re-encoding by a codec."""
    return _REENCODINGS[codec]


def read_perturbed_frames(
    path: Path, indices: Iterable[int], perturbation: Perturbation, content: str
) -> Iterator[Frame]:
    """The wanted frames of a perturbed video, one in memory at a time; see `difffake.video.read_frames`.

    Compression encodes every frame into a temporary file and reads that.

    Args:
        path: the video.
        indices: of frames, strictly increasing.
        perturbation: what is done to them.
        content: digest of the video's content; with the frame's index it seeds what is drawn.

    Raises:
        UnreadableVideoError: not a single frame could be decoded.
        TruncatedVideoError: decoding ended before the last wanted frame; earlier ones have been yielded.
    """
    wanted = list(indices)
    if perturbation.crf is None:
        yield from perturb_frames(read_frames(path, wanted), perturbation, content)
        return
    info = probe(path)
    everything = _decodable(read_frames(path, range(info.frames)))
    yield from _compressed(everything, info.fps, perturbation.crf, perturbation.codec, wanted)


def perturb_frames(frames: Iterator[Frame], perturbation: Perturbation, content: str) -> Iterator[Frame]:
    """The frames perturbed one by one; compression takes them for a video of their own."""
    if perturbation.crf is not None:
        yield from _compressed(frames, 1.0, perturbation.crf, perturbation.codec, None)
        return
    spec = FRAME_PERTURBATIONS[perturbation.name]  # type: ignore[index]
    for frame in frames:
        # Not a function of the level: all severities of a frame share their draw, so a curve over them is smooth.
        rng = derive_rng(perturbation.seed, "perturbation", perturbation.name, content, frame.index)
        yield replace(frame, rgb=spec.apply(frame.rgb, perturbation.value, rng))


def _compressed(
    frames: Iterator[Frame], fps: float, crf: int, codec: VideoCodec, wanted: list[int] | None
) -> Iterator[Frame]:
    with TemporaryDirectory(prefix="difffake-") as folder:
        path = Path(folder) / "compressed.mp4"
        count = reencode(path, frames, fps, crf, codec)
        yield from read_frames(path, range(count) if wanted is None else wanted)


def _decodable(frames: Iterator[Frame]) -> Iterator[Frame]:
    """Up to where a damaged file breaks off; whoever wants a later frame of the copy is told that it is cut."""
    try:
        yield from frames
    except TruncatedVideoError:
        return
