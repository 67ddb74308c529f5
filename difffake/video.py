"""Video files read: what they hold, and evenly spaced frames of them by sequential decoding.

Frames are always decoded from the first one on: seeking to keyframes returns wrong frames on real clips, and container
headers miscount. Left out is only what no other frame refers to, where the codec marks such frames: what is wanted is
the same to the bit. One thread does all the work, so that one process a core is the unit of parallelism.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import cast

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from difffake.display_matrix import Orientation, apply_display_matrix, is_turned
from difffake.errors import TruncatedVideoError, UnreadableVideoError
from difffake.faces.records import RgbImage
from difffake.limits import Deadline, InputLimits

_UNSTATED_RATE = 25  # what FFmpeg assumes of raw streams
# H.264's nal_ref_idc (ITU-T H.264, 7.4.1). HEVC's mark holds within one temporal layer only.
_CODECS_THAT_MARK_REFERENCES = frozenset({"h264"})


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
    survey = _survey(path, limits, deadline)
    return _info(survey, next(_decode(path, [0], {}, deadline)), limits)


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
        UnreadableVideoError: not a single frame could be decoded and turned into RGB.
        TruncatedVideoError: decoding ended or failed before the last wanted frame; earlier ones have been yielded.
        InputLimitError: the deadline has passed.
    """
    wanted = [int(index) for index in indices]
    if any(later <= earlier for earlier, later in zip([-1, *wanted], wanted, strict=False)):
        raise ValueError(f"frame indices must be non-negative and strictly increasing, not {wanted!s:.80}")
    return _read(path, wanted, deadline)


def _read(path: Path, wanted: list[int], deadline: Deadline | None) -> Iterator[Frame]:
    if not wanted:
        return
    positions: Mapping[int, int] = {}
    if _is_worth_skipping(wanted):
        # What is wrong with a file that cannot be surveyed, decoding says.
        with suppress(UnreadableVideoError):
            if _codec(path) in _CODECS_THAT_MARK_REFERENCES:
                positions = _skippable_positions(_survey(path, None, deadline), wanted)
    yield from _shown(path, _decode(path, wanted, positions, deadline), wanted[-1], None)


def sample_frames(
    path: Path, count: int, limits: InputLimits | None = None, deadline: Deadline | None = None
) -> tuple[VideoInfo, Iterator[Frame]]:
    """What a video holds, and `count` evenly spaced frames of it (`sample_indices`): `probe` and `read_frames` in one.

    The file is read once for its packets and decoded once.

    Raises:
        InputLimitError: the video is beyond the limits; told before the file is read where its header says so.
        UnreadableVideoError: no file, no video stream, no packets, or not a single frame could be decoded.
        UnreadableVideoError, TruncatedVideoError, InputLimitError: from the iterator, as by `read_frames`, and where a
            later frame is larger than the first one and than the limit.
    """
    survey = _survey(path, limits, deadline)
    wanted = sample_indices(survey.frames, count).tolist()
    # The first frame says how large frames are.
    indices = wanted if wanted[0] == 0 else [0, *wanted]
    decoded = _decode(path, indices, _skippable_positions(survey, wanted), deadline)
    first = next(decoded)
    info = _info(survey, first, limits)
    return info, _shown(path, chain([first] if wanted[0] == 0 else [], decoded), wanted[-1], limits)


@dataclass(frozen=True)
class _Survey:
    """What reading all packets of a file says.

    Attributes:
        times: presentation time of every packet shown, in the file's order; None where the container keeps none.
        frames: as in `VideoInfo`.
        fps: likewise.
        codec: likewise.
    """

    times: tuple[int | None, ...]
    frames: int
    fps: float
    codec: str


def _survey(path: Path, limits: InputLimits | None, deadline: Deadline | None) -> _Survey:
    if limits is not None:
        limits.check_file(path)
    with _open_video(path) as (container, stream):
        if limits is not None:
            _check_header(container, stream, limits)
        try:
            times = tuple(packet.pts for packet in _packets_shown(container, stream, deadline))
        except av.error.FFmpegError as error:
            raise UnreadableVideoError(_unreadable(path, str(error.strerror))) from error
        frames = max(len(times), _frames_promised_by_a_cut_file(path, stream))
        if not frames:
            raise UnreadableVideoError(_unreadable(path, "its video stream holds no frame"))
        fps = _mean_rate([time for time in times if time is not None], stream)
        return _Survey(times, frames, fps, stream.codec_context.name)


def _info(survey: _Survey, first: "_Decoded", limits: InputLimits | None) -> VideoInfo:
    width, height = first.size_px
    duration_s = survey.frames / survey.fps
    if limits is not None:
        limits.check_picture(width, height)
        limits.check_length(survey.frames, duration_s)
    return VideoInfo(
        frames=survey.frames, fps=survey.fps, duration_s=duration_s, width=width, height=height, codec=survey.codec
    )


@dataclass(frozen=True, eq=False)
class _Decoded:
    """A frame that is not turned into RGB yet."""

    index: int
    time_s: float
    frame: VideoFrame
    display_matrix: npt.NDArray[np.int32] | None

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height as displayed."""
        size = self.frame.width, self.frame.height
        return size[::-1] if self.display_matrix is not None and is_turned(self.display_matrix) else size

    def shown(self) -> Frame:
        """The frame as displayed.

        Raises:
            av.error.FFmpegError: its colours cannot be turned into RGB.
        """
        rgb: RgbImage = np.asarray(self.frame.to_ndarray(format="rgb24", threads=1), dtype=np.uint8)
        if self.display_matrix is not None:
            rgb = apply_display_matrix(rgb, self.display_matrix)
        return Frame(self.index, self.time_s, rgb)


def _shown(path: Path, decoded: Iterable[_Decoded], last: int, limits: InputLimits | None) -> Iterator[Frame]:
    for shown, one in enumerate(decoded):
        # Frames may be larger than the first.
        if limits is not None:
            limits.check_picture(*one.size_px)
        try:
            frame = one.shown()
        except av.error.FFmpegError as error:
            cause = f"colours of frame {one.index} cannot be turned into RGB: {error.strerror}"
            if shown == 0:
                raise UnreadableVideoError(_unreadable(path, cause)) from error
            raise TruncatedVideoError(f"{path}: {cause}", decoded_frames=one.index, expected_frames=last + 1) from error
        yield frame


def _codec(path: Path) -> str:
    with _open_video(path) as (_, stream):
        return stream.codec_context.name


def _is_worth_skipping(wanted: Sequence[int]) -> bool:
    return wanted[-1] + 1 >= 2 * len(wanted)


def _skippable_positions(survey: _Survey, wanted: Sequence[int]) -> Mapping[int, int]:
    """The position of every presentation time, where frames nobody wants may be skipped; else empty."""
    if survey.codec not in _CODECS_THAT_MARK_REFERENCES or not _is_worth_skipping(wanted):
        return {}
    times = [time for time in survey.times if time is not None]
    # A cut file is decoded as it is, to the frame where it ends.
    if len(set(times)) < len(survey.times) or wanted[-1] >= len(times):
        return {}
    return {time: position for position, time in enumerate(sorted(times))}


def _decode(
    path: Path, wanted: list[int], positions: Mapping[int, int], deadline: Deadline | None
) -> Iterator[_Decoded]:
    delivered = 0
    try:
        for decoded in _decode_with(path, wanted, positions, deadline):
            yield decoded
            delivered += 1
    except _NotAsAnnouncedError:
        # Whatever is odd about it, decoding all of it says.
        yield from _decode_with(path, wanted[delivered:], {}, deadline)


class _NotAsAnnouncedError(Exception):
    """The decoder does not give the frames that the packets' presentation times announce."""


def _decode_with(
    path: Path, wanted: list[int], positions: Mapping[int, int], deadline: Deadline | None
) -> Iterator[_Decoded]:
    pending = deque(wanted)
    decoded = 0
    start_s: float | None = None
    orientation = Orientation()
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
                    elapsed_s = _elapsed_s(start_s, frame.time, index / rate)
                    yield _Decoded(index, elapsed_s, frame, orientation.matrix_of(frame))
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


def _check_header(container: InputContainer, stream: VideoStream, limits: InputLimits) -> None:
    """Look at what the header claims: enough to refuse by, never enough to accept by."""
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
