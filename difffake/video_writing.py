"""Video files written, whose bytes depend on the frames alone."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from difffake.config import LARGEST_CRF, VideoCodec
from difffake.faces.records import RgbImage
from difffake.video import Frame

_LARGEST_RATE_DENOMINATOR = 1001  # 30000/1001 and its relatives stay exact
_CLOCK_HZ = 90_000  # MPEG's; the ticks of all usual frame rates are whole

_ENCODERS: Mapping[VideoCodec, tuple[str, dict[str, str]]] = {
    # With macroblock trees x264's AVX-512 code gives other bytes from run to run, at sizes that are no multiple of 64.
    "h264": ("libx264", {"threads": "1", "x264-params": "mbtree=0"}),
    "hevc": ("libx265", {"preset": "fast", "x265-params": "pools=none:frame-threads=1:info=0:log-level=error"}),
    # b: without a bit rate of 0, crf is but a bound of the quality.
    "vp9": ("libvpx-vp9", {"threads": "1", "b": "0", "deadline": "good", "cpu-used": "4"}),
}
"""The encoder of each codec, and what makes it deterministic and quick enough for whole datasets."""


def write_video(path: Path, frames: Iterable[RgbImage], fps: float, crf: int) -> None:
    """Encode frames as H.264 (yuv420p); equal frames give equal bytes.

    All frames are (H, W, 3) uint8 of one size, H and W even; `crf` runs from 0 (lossless but for 4:2:0) to 51 (worst).
    The container follows the suffix of `path`, which appears only once it is complete.

    Raises:
        ValueError: no frames, odd or differing sizes, another dtype, or a rate or crf out of range.
    """
    with _new_container(path, fps, crf, "h264") as (container, rate):
        _encode(container, frames, rate, crf)


def reencode(path: Path, frames: Iterable[Frame], fps: float, crf: int, codec: VideoCodec = "h264") -> int:
    """Encode decoded frames as yuv420p, each at its own time, and return how many there were.

    Frames of odd width or height get their last column or row twice; frames of another size than the first one's are
    scaled to it. Times that do not increase are put right. Equal frames give equal bytes.

    Args:
        path: where to; the container follows its suffix, and it appears only once it is complete.
        frames: in presentation order; read one by one.
        fps: mean rate, which the encoder's rate control reckons with.
        crf: constant rate factor, 0 (best; with H.264 lossless but for 4:2:0) to `LARGEST_CRF` (worst).
        codec: the encoder that is used.

    Raises:
        ValueError: no frames, or a rate or crf out of range.
    """
    count, previous = 0, -1
    stream: VideoStream | None = None
    with _new_container(path, fps, crf, codec) as (container, rate):
        for count, frame in enumerate(frames, start=1):  # noqa: B007
            rgb = _padded_to_even(frame.rgb)
            if stream is None:
                stream = _stream(container, rgb, rate, crf, codec)
                stream.codec_context.time_base = Fraction(1, _CLOCK_HZ)
            picture = VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
                stream.width, stream.height, "yuv420p", threads=1
            )
            previous = max(previous + 1, round(frame.time_s * _CLOCK_HZ))
            picture.pts, picture.time_base = previous, Fraction(1, _CLOCK_HZ)
            container.mux(stream.encode(picture))
        if stream is None:
            raise ValueError("a video needs at least one frame")
        container.mux(stream.encode())
    return count


def _padded_to_even(rgb: RgbImage) -> RgbImage:
    height, width = rgb.shape[:2]
    padded = np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return np.ascontiguousarray(padded)


@contextmanager
def _new_container(path: Path, fps: float, crf: int, codec: VideoCodec) -> Iterator[tuple[OutputContainer, Fraction]]:
    """A file to write to, put in its place once the block ends well, and the rate as a fraction."""
    if not 0 < fps < float("inf") or not 0 <= crf <= LARGEST_CRF[codec]:
        raise ValueError(f"fps must be above 0 and crf in [0, {LARGEST_CRF[codec]}], not {fps} and {crf}")
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        with av.open(str(partial), "w", options={"fflags": "+bitexact"}) as container:
            yield container, Fraction(fps).limit_denominator(_LARGEST_RATE_DENOMINATOR)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _stream(container: OutputContainer, rgb: RgbImage, rate: Fraction, crf: int, codec: VideoCodec) -> VideoStream:
    encoder, options = _ENCODERS[codec]
    stream = container.add_stream(encoder, rate=rate)
    if not isinstance(stream, VideoStream):
        raise TypeError(f"{encoder} encodes no video")
    stream.height, stream.width = rgb.shape[:2]
    stream.pix_fmt = "yuv420p"
    stream.codec_context.thread_count = 1
    stream.options = {**options, "crf": str(crf), "flags": "+bitexact"}
    return stream


def _encode(container: OutputContainer, frames: Iterable[RgbImage], rate: Fraction, crf: int) -> None:
    stream: VideoStream | None = None
    shape: tuple[int, ...] = ()
    for rgb in frames:
        if stream is None:
            _check_encodable(rgb)
            shape = rgb.shape
            stream = _stream(container, rgb, rate, crf, "h264")
        if rgb.shape != shape or rgb.dtype != np.uint8:
            raise ValueError(
                f"all frames must be uint8 of shape {shape} like the first; one is {rgb.dtype} {rgb.shape}"
            )
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        container.mux(stream.encode(frame.reformat(format="yuv420p", threads=1)))
    if stream is None:
        raise ValueError("a video needs at least one frame")
    container.mux(stream.encode())


def _check_encodable(rgb: RgbImage) -> None:
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.shape[0] % 2 or rgb.shape[1] % 2 or rgb.size == 0:
        raise ValueError(f"frames must be (H, W, 3) with even H and W (4:2:0 halves them), not {rgb.shape}")
