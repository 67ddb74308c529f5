"""Video files: what they hold, evenly spaced frames of them by sequential decoding, and writing them.

Frames are always decoded from the first one on: seeking to keyframes returns wrong frames on real clips, and container
headers miscount. Left out is only what no other frame refers to, where the codec marks such frames: what is wanted is
the same to the bit. One thread does all the work, so that one process a core is the unit of parallelism.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
import numpy.typing as npt
from av.buffer import Buffer
from av.container import InputContainer, OutputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from difffake.errors import TruncatedVideoError, UnreadableVideoError
from difffake.faces.records import RgbImage
from difffake.limits import Deadline, InputLimits

_DISPLAY_MATRIX = "DISPLAYMATRIX"
_UNSTATED_RATE = 25  # what FFmpeg assumes of raw streams
_LARGEST_RATE_DENOMINATOR = 1001  # 30000/1001 and its relatives stay exact
# H.264's nal_ref_idc (ITU-T H.264, 7.4.1). HEVC's mark holds within one temporal layer only.
_CODECS_THAT_MARK_REFERENCES = frozenset({"h264"})
_CLOCK_HZ = 90_000  # MPEG's; the ticks of all usual frame rates are whole


@dataclass(frozen=True)
class VideoInfo:
    """What a video file holds.

    Attributes:
        frames: video packets counted by reading the file, never the header's claim; packets that the container's index
            places beyond the end of the file (a cut file) count too, so that reading the video reports the loss.
        fps: mean rate between the first and the last presentation time.
        duration_s: frames / fps.
        width: of a frame as displayed, after rotation, in stored pixels (no pixel aspect ratio applied).
        height: likewise.
        codec: FFmpeg's name of the decoder, e.g. ``h264``.
    """

    frames: int
    fps: float
    duration_s: float
    width: int
    height: int
    codec: str


@dataclass(frozen=True, eq=False)
class Frame:
    """A decoded frame.

    Attributes:
        index: 0-based position in presentation order.
        time_s: presentation time, in seconds from the first frame; index over mean rate where a container keeps none.
        rgb: (H, W, 3) uint8, upright as displayed.
    """

    index: int
    time_s: float
    rgb: RgbImage = field(repr=False)


def probe(path: Path, limits: InputLimits | None = None, deadline: Deadline | None = None) -> VideoInfo:
    """Count the frames of a video without decoding more than the first.

    Raises:
        InputLimitError: the video is beyond the limits; told before the file is read where its header says so.
        UnreadableVideoError: no file, no video stream, no packets, or a first frame that cannot be decoded.
    """
    if limits is not None:
        _check_header(path, limits)
    first = next(_decode(path, [0], deadline))
    height, width = first.rgb.shape[:2]
    times: list[int] = []
    packets = 0
    with _open_video(path) as (container, stream):
        try:
            for packet in _packets_shown(container, stream, deadline):
                packets += 1
                if packet.pts is not None:
                    times.append(packet.pts)
        except av.error.FFmpegError as error:
            raise UnreadableVideoError(_unreadable(path, str(error.strerror))) from error
        frames = max(packets, _frames_promised_by_a_cut_file(path, stream))
        fps = _mean_rate(times, stream)
        codec = stream.codec_context.name
    if limits is not None:
        limits.check_picture(width, height)
        limits.check_length(frames, frames / fps)
    return VideoInfo(frames=frames, fps=fps, duration_s=frames / fps, width=width, height=height, codec=codec)


def sample_indices(total_frames: int, count: int) -> npt.NDArray[np.int64]:
    """Evenly spaced frame indices over a whole video: the middles of `count` equal parts.

    Middles, because the last packets of real files often yield no frame.

    Returns:
        (min(count, total_frames),) int64, strictly increasing; every frame when there are no more than `count`.

    Raises:
        ValueError: `total_frames` or `count` below 1.
    """
    if total_frames < 1 or count < 1:
        raise ValueError(f"total_frames and count must be at least 1, not {total_frames} and {count}")
    parts = min(count, total_frames)
    return (2 * np.arange(parts, dtype=np.int64) + 1) * total_frames // (2 * parts)


def read_frames(
    path: Path, indices: Sequence[int] | npt.NDArray[np.int64], deadline: Deadline | None = None
) -> Iterator[Frame]:
    """Decode a video from its start and yield the wanted frames; decoding stops after the last of them.

    Where few frames of an H.264 video are wanted, others are skipped if no frame refers to them (about a fifth of the
    time); damage in a skipped frame is then not noticed.

    `indices` count presented frames from 0 and are strictly increasing.

    Raises:
        ValueError: indices that are negative or not strictly increasing.
        UnreadableVideoError: not a single frame could be decoded.
        TruncatedVideoError: decoding ended or failed before the last wanted frame; earlier ones have been yielded.
        InputLimitError: the deadline has passed.
    """
    wanted = [int(index) for index in indices]
    if any(later <= earlier for earlier, later in zip([-1, *wanted], wanted, strict=False)):
        raise ValueError(f"frame indices must be non-negative and strictly increasing, not {wanted!s:.80}")
    return _decode(path, wanted, deadline)


def write_video(path: Path, frames: Iterable[RgbImage], fps: float, crf: int) -> None:
    """Encode frames as H.264 (yuv420p); equal frames give equal bytes.

    All frames are (H, W, 3) uint8 of one size, H and W even; `crf` runs from 0 (lossless but for 4:2:0) to 51 (worst).
    The container follows the suffix of `path`, which appears only once it is complete.

    Raises:
        ValueError: no frames, odd or differing sizes, another dtype, or a rate or crf out of range.
    """
    with _new_container(path, fps, crf) as (container, rate):
        _encode(container, frames, rate, crf)


def reencode(path: Path, frames: Iterable[Frame], fps: float, crf: int) -> int:
    """Encode decoded frames as H.264 (yuv420p), each at its own time, and return how many there were.

    Frames of odd width or height get their last column or row twice; frames of another size than the first one's are
    scaled to it. Times that do not increase are put right. Equal frames give equal bytes.

    Args:
        path: where to; the container follows its suffix, and it appears only once it is complete.
        frames: in presentation order; read one by one.
        fps: mean rate, which the encoder's rate control reckons with.
        crf: constant rate factor, 0 (lossless but for 4:2:0) to 51 (worst).

    Raises:
        ValueError: no frames, or a rate or crf out of range.
    """
    count, previous = 0, -1
    stream: VideoStream | None = None
    with _new_container(path, fps, crf) as (container, rate):
        for count, frame in enumerate(frames, start=1):  # noqa: B007
            rgb = _padded_to_even(frame.rgb)
            if stream is None:
                stream = _h264_stream(container, rgb, rate, crf)
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
def _new_container(path: Path, fps: float, crf: int) -> Iterator[tuple[OutputContainer, Fraction]]:
    """A file to write to, put in its place once the block ends well, and the rate as a fraction."""
    if not 0 < fps < float("inf") or not 0 <= crf <= 51:
        raise ValueError(f"fps must be above 0 and crf in [0, 51], not {fps} and {crf}")
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        with av.open(str(partial), "w", options={"fflags": "+bitexact"}) as container:
            yield container, Fraction(fps).limit_denominator(_LARGEST_RATE_DENOMINATOR)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _h264_stream(container: OutputContainer, rgb: RgbImage, rate: Fraction, crf: int) -> VideoStream:
    stream = container.add_stream("libx264", rate=rate)
    stream.height, stream.width = rgb.shape[:2]
    stream.pix_fmt = "yuv420p"
    stream.codec_context.thread_count = 1
    # With macroblock trees x264's AVX-512 code gives other bytes from run to run, at sizes that are no multiple of 64.
    stream.options = {"crf": str(crf), "threads": "1", "flags": "+bitexact", "x264-params": "mbtree=0"}
    return stream


def _encode(container: OutputContainer, frames: Iterable[RgbImage], rate: Fraction, crf: int) -> None:
    stream: VideoStream | None = None
    shape: tuple[int, ...] = ()
    for rgb in frames:
        if stream is None:
            _check_encodable(rgb)
            shape = rgb.shape
            stream = _h264_stream(container, rgb, rate, crf)
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


def _decode(path: Path, wanted: list[int], deadline: Deadline | None = None) -> Iterator[Frame]:
    if not wanted:
        return
    delivered = 0
    try:
        for frame in _decode_with(path, wanted, deadline, _skippable_positions(path, wanted, deadline)):
            yield frame
            delivered += 1
    except _NotAsAnnouncedError:
        # Whatever is odd about it, decoding all of it says.
        yield from _decode_with(path, wanted[delivered:], deadline, {})


class _NotAsAnnouncedError(Exception):
    """The decoder does not give the frames that the packets' presentation times announce."""


def _skippable_positions(path: Path, wanted: list[int], deadline: Deadline | None) -> dict[int, int]:
    """The position of every presentation time, where frames nobody wants may be skipped; else empty."""
    if wanted[-1] + 1 < 2 * len(wanted):
        return {}
    times: list[int] = []
    with _open_video(path) as (container, stream):
        if stream.codec_context.name not in _CODECS_THAT_MARK_REFERENCES:
            return {}
        try:
            for packet in _packets_shown(container, stream, deadline):
                if packet.pts is None:
                    return {}
                times.append(packet.pts)
        except av.error.FFmpegError:
            return {}
    # A cut file is decoded as it is, to the frame where it ends.
    if len(set(times)) < len(times) or wanted[-1] >= len(times):
        return {}
    return {time: position for position, time in enumerate(sorted(times))}


def _decode_with(
    path: Path, wanted: list[int], deadline: Deadline | None, positions: Mapping[int, int]
) -> Iterator[Frame]:
    pending = deque(wanted)
    decoded = 0
    start_s: float | None = None
    with _open_video(path) as (container, stream):
        rate = _mean_rate([], stream)
        failure: av.error.FFmpegError | None = None
        frames = _decode_sparsely(container, stream, wanted, positions) if positions else container.decode(stream)
        try:
            for frame in frames:
                if deadline is not None:
                    deadline.check()
                index = positions.get(cast(int, frame.pts), -1) if positions else decoded
                if decoded == 0:
                    start_s = frame.time
                if index > pending[0] or (decoded == 0 and index != 0):
                    raise _NotAsAnnouncedError
                decoded = max(decoded, index + 1)
                if index == pending[0]:
                    yield Frame(index, _elapsed_s(start_s, frame.time, index / rate), _upright_rgb(frame))
                    pending.popleft()
                if not pending:
                    return
        except av.error.FFmpegError as error:
            failure = error
    if positions:
        raise _NotAsAnnouncedError from failure
    cause = str(failure.strerror) if failure else "the stream ended"
    if decoded == 0:
        raise UnreadableVideoError(_unreadable(path, f"not a single frame decoded: {cause}")) from failure
    raise TruncatedVideoError(
        f"{path}: {decoded} frames decoded, frame {wanted[-1]} (counted from 0) was wanted: {cause}. "
        "The file is cut or damaged: copy it anew, or leave it out.",
        decoded_frames=decoded,
        expected_frames=wanted[-1] + 1,
    ) from failure


def _packets_shown(
    container: InputContainer, stream: VideoStream, deadline: Deadline | None
) -> "Iterator[av.Packet[VideoStream]]":
    """Packets that hold something, and are not cut away by an edit list."""
    for packet in container.demux(stream):
        if deadline is not None:
            deadline.check()
        if packet.size and not packet.is_discard:
            yield packet


def _decode_sparsely(
    container: InputContainer, stream: VideoStream, wanted: list[int], positions: Mapping[int, int]
) -> Iterator[VideoFrame]:
    """All frames but those that neither another frame refers to nor anybody wants; what is decoded is the same."""
    chosen = set(wanted)
    times = {time for time, position in positions.items() if position in chosen}
    for packet in container.demux(stream):
        # The first is wanted too: it says whether frames come in the order of their times.
        is_wanted = packet.pts in times or positions.get(cast(int, packet.pts)) == 0
        stream.codec_context.skip_frame = "DEFAULT" if is_wanted else "NONREF"
        yield from packet.decode()


def _elapsed_s(start_s: float | None, time_s: float | None, untimed_s: float) -> float:
    return untimed_s if start_s is None or time_s is None else time_s - start_s


def _check_header(path: Path, limits: InputLimits) -> None:
    """Look at what the header claims: enough to refuse by, never enough to accept by."""
    limits.check_file(path)
    with _open_video(path) as (container, stream):
        if stream.width and stream.height:
            limits.check_picture(stream.width, stream.height)
        if container.duration is not None:
            limits.check_length(stream.frames, container.duration / av.time_base)


@contextmanager
def _open_video(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    # "file:" keeps a colon in a name from being read as a protocol, and FFmpeg then lets no playlist reach the network.
    try:
        container = av.open(f"file:{path}", "r", metadata_errors="replace")
    except av.error.FFmpegError as error:
        raise UnreadableVideoError(_unreadable(path, str(error.strerror))) from error
    with container:
        streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
        if not streams:
            kinds = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
            raise UnreadableVideoError(_unreadable(path, f"no video stream (it holds: {kinds})"))
        # PyAV has no codec context where FFmpeg has no decoder, whatever its annotations say.
        if getattr(streams[0], "codec_context", None) is None:
            raise UnreadableVideoError(_unreadable(path, "no decoder for its video stream"))
        streams[0].thread_type = "NONE"
        streams[0].codec_context.thread_count = 1
        yield container, streams[0]


def _unreadable(path: Path, seen: str) -> str:
    return f"{path}: {seen}. Expected a video file that FFmpeg decodes: copy it anew, or leave it out."


def _frames_promised_by_a_cut_file(path: Path, stream: VideoStream) -> int:
    """Entries of the container's index if any lies beyond the end of the file, else 0.

    FFmpeg ends quietly where an MP4 file is cut. Containers without an index (MPEG-PS, MPEG-TS, a cut AVI) cannot tell.
    """
    file_bytes = path.stat().st_size
    entries = [entry for entry in stream.index_entries if not entry.is_discard]
    is_cut = any(entry.pos + entry.size > file_bytes for entry in entries)
    return len(entries) if is_cut else 0


def _mean_rate(times: list[int], stream: VideoStream) -> float:
    """Frames a second between presentation times (in the stream's time base); the stream's claim for fewer than two."""
    if len(times) > 1 and stream.time_base and max(times) > min(times):
        return (len(times) - 1) / float((max(times) - min(times)) * stream.time_base)
    return float(stream.average_rate or stream.guessed_rate or stream.base_rate or _UNSTATED_RATE)


def _upright_rgb(frame: VideoFrame) -> RgbImage:
    rgb: RgbImage = np.asarray(frame.to_ndarray(format="rgb24", threads=1), dtype=np.uint8)
    side_data = cast(Mapping[str, Buffer], frame.side_data)
    if _DISPLAY_MATRIX not in side_data:
        return rgb
    return apply_display_matrix(rgb, np.frombuffer(bytes(side_data[_DISPLAY_MATRIX]), dtype=np.int32).reshape(3, 3))


def apply_display_matrix(rgb: RgbImage, matrix: npt.NDArray[np.int32]) -> RgbImage:
    """Turn and mirror a stored picture as its display matrix says, to the nearest quarter turn.

    `matrix` is (3, 3) in FFmpeg's order: a stored point (p, q) is shown at (m00 p + m10 q, m01 p + m11 q), up to
    translation and scale.

    Source: ISO/IEC 14496-12, track header box.
    """
    (x_from_p, y_from_p), (x_from_q, y_from_q) = matrix[:2, :2].tolist()
    is_turned = abs(x_from_q) + abs(y_from_p) > abs(x_from_p) + abs(y_from_q)
    if is_turned:
        rgb, x_sign, y_sign = rgb.transpose(1, 0, 2), x_from_q, y_from_p
    else:
        x_sign, y_sign = x_from_p, y_from_q
    return np.ascontiguousarray(rgb[:: -1 if y_sign < 0 else 1, :: -1 if x_sign < 0 else 1])
