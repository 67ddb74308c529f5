"""Real clips, encoded here: each frame carries its own number in its pixels."""

import gc
import itertools
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from difffake import video
from difffake.display_matrix import apply_display_matrix
from difffake.errors import TruncatedVideoError, UnreadableVideoError
from difffake.faces.records import RgbImage
from difffake.video import probe, read_frames, sample_frames, sample_indices
from difffake.video_writing import write_video
from tests.helpers.media import ONE, carphone_path, with_display_matrix, write_audio, write_in_colours

BITS = 10
CELL_PX = 16
B_FRAMES = {"bf": "3", "b_strategy": "0", "g": "30"}


def numbered_frame(number: int, height: int = 2 * CELL_PX) -> RgbImage:
    """The number in binary, a black or white cell a bit, the highest first."""
    bits = [(number >> bit) & 1 for bit in reversed(range(BITS))]
    row = np.repeat(np.array(bits, dtype=np.uint8) * 255, CELL_PX)
    return np.ascontiguousarray(np.broadcast_to(row[np.newaxis, :, np.newaxis], (height, row.size, 3)))


def number_of(rgb: RgbImage) -> int:
    cells = rgb[CELL_PX, CELL_PX // 2 :: CELL_PX].mean(axis=1) > 127
    return int("".join("1" if cell else "0" for cell in cells), 2)


def encode(
    path: Path,
    frames: Iterable[RgbImage],
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    pts_ms: Sequence[int] | None = None,
) -> Path:
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream: av.VideoStream | None = None
        for position, rgb in enumerate(frames):
            if stream is None:
                stream = container.add_stream(codec, rate=1000 if pts_ms else 25)
                stream.height, stream.width = rgb.shape[:2]
                stream.pix_fmt = pix_fmt
                stream.options = options or {}
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=pix_fmt)
            frame.pts = pts_ms[position] if pts_ms else position
            frame.time_base = Fraction(1, 1000) if pts_ms else Fraction(1, 25)
            container.mux(stream.encode(frame))
        assert stream is not None
        container.mux(stream.encode())
    return path


def numbered_clip(path: Path, count: int, **settings: Any) -> Path:
    return encode(path, map(numbered_frame, range(count)), **settings)


@pytest.fixture(scope="module")
def clip_with_b_frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "b_frames.mp4"
    return numbered_clip(path, 100, options=B_FRAMES)


@pytest.fixture(scope="module")
def noisy_clip(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A clip whose packets are large, with its index in front and behind."""
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (60, 64, 64, 3), dtype=np.uint8)
    folder = tmp_path_factory.mktemp("noisy")
    front = encode(folder / "front.mp4", frames, container_options={"movflags": "faststart"})
    return {"front": front, "behind": encode(folder / "behind.mp4", frames)}


def cut_in_half(path: Path, into: Path) -> Path:
    content = path.read_bytes()
    into.write_bytes(content[: len(content) // 2])
    return into


@pytest.mark.parametrize(
    ("total", "expected"),
    [
        (1, [0]),
        (2, [0, 1]),
        (3, [0, 1, 2]),
        (4, [0, 1, 2, 3]),
        (5, [0, 1, 3, 4]),
        (8, [1, 3, 5, 7]),
        (100, [12, 37, 62, 87]),
    ],
)
def test_four_samples_are_the_middles_of_four_equal_parts(total: int, expected: list[int]) -> None:
    assert sample_indices(total, 4).tolist() == expected


@given(total=st.integers(1, 100_000), count=st.integers(1, 500))
def test_samples_are_distinct_ordered_and_spread_over_the_whole(total: int, count: int) -> None:
    indices = sample_indices(total, count)
    assert indices.dtype == np.int64
    assert len(indices) == min(total, count)
    assert indices[0] >= 0
    assert indices[-1] < total
    assert np.all(np.diff(indices) >= 1)
    assert np.ptp(np.diff(indices)) <= 1 if len(indices) > 1 else True
    # As much of the video lies before the first sample as after the last, up to one frame.
    assert abs(indices[0] - (total - 1 - indices[-1])) <= 1


@pytest.mark.parametrize("total", [1, 2, 3, 39, 40])
def test_a_video_no_longer_than_the_count_gives_all_its_frames(total: int) -> None:
    assert sample_indices(total, 40).tolist() == list(range(total))


@pytest.mark.parametrize(("total", "count"), [(0, 4), (4, 0), (-1, 2)])
def test_nothing_to_sample_is_an_error(total: int, count: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        sample_indices(total, count)


def test_the_wanted_frames_are_the_ones_delivered_despite_b_frames(clip_with_b_frames: Path) -> None:
    with av.open(str(clip_with_b_frames)) as container:
        order = [packet.pts for packet in container.demux(video=0) if packet.pts is not None]
    assert order != sorted(order), "the clip must store frames out of order"
    wanted = [0, 1, 2, 7, 29, 30, 31, 64, 98, 99]
    frames = list(read_frames(clip_with_b_frames, wanted))
    assert [frame.index for frame in frames] == wanted
    assert [number_of(frame.rgb) for frame in frames] == wanted
    assert [frame.time_s for frame in frames] == pytest.approx([index / 25 for index in wanted])
    assert frames[0].rgb.shape == (32, 160, 3)
    assert frames[0].rgb.dtype == np.uint8


def moving_frames(count: int) -> list[RgbImage]:
    """Noise that moves: whatever is left out of the decoding shows."""
    wall = np.random.default_rng(3).integers(0, 256, (80, 80 + 3 * count, 3)).astype(np.uint8)
    return [np.ascontiguousarray(wall[:, 3 * number : 3 * number + 80]) for number in range(count)]


@pytest.mark.parametrize(
    ("suffix", "codec", "options"),
    [
        (".mp4", "libx264", B_FRAMES),
        (".mkv", "libx264", B_FRAMES),
        (".ts", "libx264", B_FRAMES),
        (".avi", "libx264", {"bf": "0"}),
        (".mp4", "libx264", B_FRAMES | {"x264-params": "open-gop=1:b-pyramid=strict"}),
        (".mp4", "libx265", {"x265-params": "log-level=error:bframes=4"}),
        (".mp4", "mpeg4", {"bf": "2"}),
    ],
)
def test_a_few_frames_are_those_of_a_decoding_of_all(
    tmp_path: Path, suffix: str, codec: str, options: dict[str, str]
) -> None:
    clip = encode(tmp_path / f"clip{suffix}", moving_frames(90), codec=codec, options=options)
    everything = list(read_frames(clip, range(probe(clip).frames)))
    for wanted in ([0, 44, 89], [1, 2, 3, 50], list(range(5, 90, 9)), [88]):
        found = list(read_frames(clip, wanted))
        assert [frame.index for frame in found] == wanted
        for frame in found:
            np.testing.assert_array_equal(frame.rgb, everything[frame.index].rgb)
            assert frame.time_s == everything[frame.index].time_s


def test_what_no_frame_refers_to_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = encode(tmp_path / "clip.mp4", moving_frames(90), options=B_FRAMES)
    decoded: list[bool] = []
    sparsely = video._decode_sparsely

    def counted(*arguments: Any) -> Iterator[av.VideoFrame]:
        for frame in sparsely(*arguments):
            decoded.append(True)
            yield frame

    monkeypatch.setattr(video, "_decode_sparsely", counted)
    assert len(list(read_frames(clip, [10, 80]))) == 2
    # Of every four frames two or three are B-frames, and of these at least one is a reference of none.
    assert 20 < len(decoded) < 65


@pytest.mark.parametrize("options", [B_FRAMES, {"bf": "0", "preset": "ultrafast"}])
@pytest.mark.parametrize("count", [1, 7, 60, 90, 200])
@pytest.mark.parametrize("matrix", [(1, 0, 0, 1), (0, 1, -1, 0), (1, 0, 0, -1)])
def test_sampling_a_video_is_probing_it_and_reading_its_frames(
    tmp_path: Path, options: dict[str, str], count: int, matrix: tuple[int, int, int, int]
) -> None:
    clip = with_display_matrix(encode(tmp_path / "clip.mp4", moving_frames(90), options=options), matrix)
    info, frames = sample_frames(clip, count)
    sampled = list(frames)
    assert info == probe(clip)
    assert [frame.index for frame in sampled] == sample_indices(90, count).tolist()
    for frame, alone in zip(sampled, read_frames(clip, sample_indices(90, count)), strict=True):
        assert (info.height, info.width) == frame.rgb.shape[:2]
        assert (frame.index, frame.time_s) == (alone.index, alone.time_s)
        np.testing.assert_array_equal(frame.rgb, alone.rgb)


def test_what_is_lost_of_a_cut_video_is_told_after_what_there_is(noisy_clip: dict[str, Path], tmp_path: Path) -> None:
    cut = cut_in_half(noisy_clip["front"], tmp_path / "cut.mp4")
    info, frames = sample_frames(cut, 10)
    assert info.frames == 60
    found = []
    with pytest.raises(TruncatedVideoError):
        found.extend(frame.index for frame in frames)
    wanted = sample_indices(60, 10).tolist()
    assert 0 < len(found) < 10
    assert found == wanted[: len(found)]


def test_pictures_go_with_their_frames_and_wait_for_no_garbage_collection(tmp_path: Path) -> None:
    clip = with_display_matrix(encode(tmp_path / "clip.mp4", moving_frames(90), options=B_FRAMES), (0, 1, -1, 0))
    list(read_frames(clip, range(3)))
    gc.collect()
    gc.disable()
    try:
        # Decoders that other tests of this process keep hold a spare frame each.
        before = [thing for thing in gc.get_objects() if isinstance(thing, av.VideoFrame)]
        known = {id(thing) for thing in before}
        _, frames = sample_frames(clip, 40)
        shown = [frame.index for frame in frames]
        left = [thing for thing in gc.get_objects() if isinstance(thing, av.VideoFrame) and id(thing) not in known]
    finally:
        gc.enable()
    assert len(shown) == 40
    assert len(left) <= 1, "only the frame that was asked how it is turned"


def without_a_stretch(frames: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    return (frame for frame in frames if not 40 <= round(float(frame.time or 0) * 25) <= 70)


def cut_short(frames: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    return itertools.takewhile(lambda frame: round(float(frame.time or 0) * 25) < 40, frames)


def broken(frames: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    yield from cut_short(frames)
    raise av.error.InvalidDataError(1, "broken")


def without_the_first(frames: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    return itertools.islice(frames, 1, None)


@pytest.mark.parametrize("fault", [without_a_stretch, cut_short, broken, without_the_first])
def test_a_decoder_that_leaves_frames_out_is_asked_for_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Callable[[Iterator[av.VideoFrame]], Iterator[av.VideoFrame]]
) -> None:
    clip = encode(tmp_path / "clip.mp4", moving_frames(90), options=B_FRAMES)
    wanted = [0, 10, 45, 60, 80]
    everything = list(read_frames(clip, range(90)))
    sparsely = video._decode_sparsely
    monkeypatch.setattr(video, "_decode_sparsely", lambda *arguments: fault(sparsely(*arguments)))
    found = list(read_frames(clip, wanted))
    assert [frame.index for frame in found] == wanted
    for frame in found:
        np.testing.assert_array_equal(frame.rgb, everything[frame.index].rgb)
        assert frame.time_s == everything[frame.index].time_s


def test_a_clip_cut_out_between_open_groups_gives_the_frames_of_a_decoding_of_all(tmp_path: Path) -> None:
    options = B_FRAMES | {"x264-params": "open-gop=1:keyint=12:min-keyint=12:scenecut=0"}
    whole = encode(tmp_path / "whole.mp4", moving_frames(90), options=options)
    clip = tmp_path / "cut.mkv"
    with av.open(str(whole)) as source, av.open(str(clip), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(video=0) if packet.size]
        start = [number for number, packet in enumerate(packets) if packet.is_keyframe][2]
        for packet in packets[start:]:
            packet.stream = stream
            target.mux(packet)
    with av.open(str(clip)) as container:
        times = [packet.pts for packet in container.demux(video=0) if packet.size]
    assert min(times) < times[0], "the cut must leave frames behind that the decoder drops"
    every = list(read_frames(clip, range(60)))
    for frame in read_frames(clip, [3, 31, 58]):
        np.testing.assert_array_equal(frame.rgb, every[frame.index].rgb)


@pytest.mark.parametrize("count", [1, 2, 3, 39, 40, 41, 1000])
def test_awkward_lengths(tmp_path: Path, count: int) -> None:
    clip = numbered_clip(tmp_path / "clip.mp4", count, options={"preset": "ultrafast"})
    info = probe(clip)
    assert info.frames == count
    assert info.fps == pytest.approx(25)
    assert info.duration_s == pytest.approx(count / 25)
    wanted = sample_indices(info.frames, 40)
    assert [number_of(frame.rgb) for frame in read_frames(clip, wanted)] == wanted.tolist()


def test_decoding_stops_after_the_last_wanted_frame(noisy_clip: dict[str, Path], tmp_path: Path) -> None:
    cut = cut_in_half(noisy_clip["front"], tmp_path / "cut.mp4")
    assert [frame.index for frame in read_frames(cut, [0, 3])] == [0, 3]


def test_no_wanted_frames_are_no_frames(clip_with_b_frames: Path) -> None:
    assert list(read_frames(clip_with_b_frames, [])) == []


@pytest.mark.parametrize("indices", [[3, 2], [2, 2], [-1, 2]])
def test_indices_must_increase(clip_with_b_frames: Path, indices: list[int]) -> None:
    with pytest.raises(ValueError, match="strictly increasing"):
        read_frames(clip_with_b_frames, indices)


def test_times_of_a_variable_rate_are_the_presentation_times(tmp_path: Path) -> None:
    pts_ms = [0, 40, 80, 500, 540, 1500, 1540, 2000]
    clip = numbered_clip(tmp_path / "vfr.mp4", len(pts_ms), pts_ms=pts_ms)
    frames = list(read_frames(clip, range(8)))
    assert [number_of(frame.rgb) for frame in frames] == list(range(8))
    assert [frame.time_s for frame in frames] == pytest.approx([pts / 1000 for pts in pts_ms], abs=1e-3)
    info = probe(clip)
    assert info.frames == 8
    assert info.fps == pytest.approx(7 / 2.0, rel=1e-3)


def test_times_count_from_the_first_frame(tmp_path: Path) -> None:
    clip = numbered_clip(tmp_path / "late.mkv", 3, pts_ms=[5000, 5100, 5300])
    assert [frame.time_s for frame in read_frames(clip, [0, 1, 2])] == pytest.approx([0, 0.1, 0.3], abs=2e-3)


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "suffix"),
    [
        ("libx264", "yuv444p", "mp4"),
        ("libx264", "yuv420p10le", "mp4"),
        ("libx264", "gray", "mkv"),
        ("mpeg4", "yuv420p", "avi"),
        ("mpeg1video", "yuv420p", "mpg"),
        ("mjpeg", "yuvj420p", "mov"),
        ("libx264", "yuv420p", "ts"),
    ],
)
def test_formats(tmp_path: Path, codec: str, pix_fmt: str, suffix: str) -> None:
    clip = numbered_clip(tmp_path / f"clip.{suffix}", 30, codec=codec, pix_fmt=pix_fmt)
    assert probe(clip).frames == 30
    frames = list(read_frames(clip, range(30)))
    assert [number_of(frame.rgb) for frame in frames] == list(range(30))
    assert all(np.ptp(frame.rgb.astype(int), axis=2).max() <= 16 for frame in frames), "grey stays grey"


def test_colours_survive(tmp_path: Path) -> None:
    colours = [(200, 30, 40), (20, 180, 60), (30, 40, 200), (250, 250, 250)]
    frames = [np.full((64, 64, 3), colour, dtype=np.uint8) for colour in colours]
    write_video(tmp_path / "colours.mp4", frames, fps=25, crf=1)
    for frame, colour in zip(read_frames(tmp_path / "colours.mp4", range(4)), colours, strict=True):
        np.testing.assert_allclose(frame.rgb.reshape(-1, 3).mean(axis=0), colour, atol=4)


def test_the_pristine_clip_is_read_as_it_is() -> None:
    info = probe(carphone_path())
    assert (info.frames, info.width, info.height, info.codec) == (120, 176, 144, "h264")
    assert info.fps == pytest.approx(30_000 / 1001)


def test_a_name_that_looks_like_a_protocol_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbered_clip(tmp_path / "clip.mp4", 2).rename(tmp_path / "take:2 50%.mp4")
    monkeypatch.chdir(tmp_path)
    assert probe(Path("take:2 50%.mp4")).frames == 2


@pytest.mark.parametrize(
    ("matrix", "quarter_turns_clockwise"),
    [((1, 0, 0, 1), 0), ((0, 1, -1, 0), 1), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 3)],
)
def test_rotated_clips_come_upright(
    tmp_path: Path, matrix: tuple[int, int, int, int], quarter_turns_clockwise: int
) -> None:
    stored = np.zeros((48, 96, 3), dtype=np.uint8)
    stored[:24, :48], stored[:24, 48:], stored[24:, :48] = 240, 160, 80
    clip = with_display_matrix(encode(tmp_path / "turned.mp4", [stored] * 3), matrix)
    shown = np.rot90(stored, -quarter_turns_clockwise)
    (frame,) = read_frames(clip, [1])
    assert frame.rgb.shape == shown.shape
    assert np.abs(frame.rgb.astype(int) - shown).mean() < 6
    assert (probe(clip).height, probe(clip).width) == shown.shape[:2]


@pytest.mark.parametrize("entries", [(1, 0, 0, 1), (-1, 0, 0, 1), (1, 0, 0, -1), (-1, 0, 0, -1)])
@pytest.mark.parametrize("is_turned", [False, True])
def test_all_eight_display_matrices_move_each_pixel_as_defined(entries: tuple[int, ...], is_turned: bool) -> None:
    linear = np.array(entries).reshape(2, 2)
    if is_turned:
        linear = linear[::-1]
    matrix = np.zeros((3, 3), dtype=np.int32)
    matrix[:2, :2] = linear * ONE
    stored = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    shown = apply_display_matrix(stored, matrix)
    corners = np.array([[0, 0], [2, 1]]) @ linear
    for q in range(2):
        for p in range(3):
            x, y = np.array([p, q]) @ linear - corners.min(axis=0)
            np.testing.assert_array_equal(shown[y, x], stored[q, p])


def test_a_cut_file_with_its_index_in_front_is_truncated(noisy_clip: dict[str, Path], tmp_path: Path) -> None:
    cut = cut_in_half(noisy_clip["front"], tmp_path / "cut.mp4")
    assert probe(cut).frames == 60, "the index still promises all frames"
    delivered = []
    with pytest.raises(TruncatedVideoError, match=r"cut\.mp4: \d+ frames decoded, frame 59 .* wanted") as caught:
        delivered.extend(frame.index for frame in read_frames(cut, range(60)))
    assert 20 <= caught.value.decoded_frames < 35
    assert caught.value.expected_frames == 60
    assert delivered == list(range(caught.value.decoded_frames))


def test_asking_for_more_frames_than_there_are_is_truncated(clip_with_b_frames: Path) -> None:
    with pytest.raises(TruncatedVideoError, match="100 frames decoded, frame 100"):
        list(read_frames(clip_with_b_frames, [99, 100]))


def test_a_cut_file_with_its_index_behind_is_unreadable(noisy_clip: dict[str, Path], tmp_path: Path) -> None:
    cut = cut_in_half(noisy_clip["behind"], tmp_path / "cut.mp4")
    for use in (probe, lambda path: list(read_frames(path, [0]))):
        with pytest.raises(UnreadableVideoError, match=r"cut\.mp4: .*Expected a video file"):
            use(cut)


def test_audio_only(tmp_path: Path) -> None:
    write_audio(tmp_path / "song.mp4")
    with pytest.raises(UnreadableVideoError, match=r"no video stream \(it holds: audio\)"):
        probe(tmp_path / "song.mp4")


@pytest.mark.parametrize("content", [b"", b"not a video at all\n" * 50, b"#EXTM3U\nhttp://127.0.0.1:9/a.ts\n"])
def test_other_files_called_mp4(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.mp4"
    path.write_bytes(content)
    with pytest.raises(UnreadableVideoError, match=r"notes\.mp4"):
        probe(path)


def test_a_playlist_fetches_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        playlist = tmp_path / "list.m3u8"
        playlist.write_text(f"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:{listener.getsockname()[1]}/a.ts\n#EXT-X-ENDLIST\n")
        with pytest.raises(UnreadableVideoError):
            probe(playlist)
        with pytest.raises(TimeoutError):
            listener.accept()


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(UnreadableVideoError, match="No such file"):
        probe(tmp_path / "absent.mp4")
    with pytest.raises(UnreadableVideoError, match="directory"):
        next(read_frames(tmp_path, [0]))


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "written.mp4"
    write_video(path, (numbered_frame(index) for index in range(50)), fps=29.97, crf=18)
    info = probe(path)
    assert (info.frames, info.width, info.height, info.codec) == (50, 160, 32, "h264")
    assert info.fps == pytest.approx(29.97, abs=0.001)
    assert [number_of(frame.rgb) for frame in read_frames(path, range(50))] == list(range(50))
    with av.open(str(path)) as container:
        assert container.streams.video[0].pix_fmt == "yuv420p"
    assert list(tmp_path.iterdir()) == [path]


def test_equal_frames_give_equal_bytes(tmp_path: Path) -> None:
    frames = np.random.default_rng(1).integers(0, 256, (20, 96, 128, 3), dtype=np.uint8)
    write_video(tmp_path / "a.mp4", frames, fps=25, crf=23)
    write_video(tmp_path / "b.mp4", iter(frames), fps=25, crf=23)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_a_higher_crf_makes_a_smaller_file(tmp_path: Path) -> None:
    frames = np.random.default_rng(1).integers(0, 256, (5, 96, 128, 3), dtype=np.uint8)
    sizes = []
    for crf in (5, 23, 40):
        write_video(tmp_path / f"{crf}.mp4", frames, fps=25, crf=crf)
        sizes.append((tmp_path / f"{crf}.mp4").stat().st_size)
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize(
    ("frames", "fps", "crf", "message"),
    [
        ([], 25, 23, "at least one frame"),
        ([np.zeros((33, 64, 3), np.uint8)], 25, 23, "even H and W"),
        ([np.zeros((32, 63, 3), np.uint8)], 25, 23, "even H and W"),
        ([np.zeros((32, 64), np.uint8)], 25, 23, r"\(H, W, 3\)"),
        ([np.zeros((32, 64, 3), np.float32)], 25, 23, "uint8"),
        ([np.zeros((32, 64, 3), np.uint8), np.zeros((64, 64, 3), np.uint8)], 25, 23, "like the first"),
        ([np.zeros((32, 64, 3), np.uint8)], 0, 23, "fps"),
        ([np.zeros((32, 64, 3), np.uint8)], float("nan"), 23, "fps"),
        ([np.zeros((32, 64, 3), np.uint8)], 25, 52, "crf"),
    ],
)
def test_frames_that_cannot_be_written(
    tmp_path: Path, frames: list[RgbImage], fps: float, crf: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write_video(tmp_path / "bad.mp4", frames, fps=fps, crf=crf)
    assert list(tmp_path.iterdir()) == [], "no half-written file stays"


def test_equal_frames_give_equal_bytes_every_time(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    scene = cv2.GaussianBlur(rng.integers(0, 255, (352, 352, 3)).astype(np.uint8), (0, 0), 8)
    noise = rng.normal(0, 2, scene.shape)
    frames = [np.clip(np.roll(scene, shift, axis=1) + noise, 0, 255).astype(np.uint8) for shift in range(40)]
    written = set()
    for _ in range(6):
        write_video(tmp_path / "clip.mp4", frames, fps=20, crf=23)
        written.add((tmp_path / "clip.mp4").read_bytes())
    assert len(written) == 1


def test_colours_that_have_no_rgb_are_unreadable(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    write_in_colours(clip, "bt2020c", 20)
    assert probe(clip).frames == 20
    for frames in (read_frames(clip, [0, 5]), sample_frames(clip, 4)[1]):
        with pytest.raises(UnreadableVideoError, match=r"colours of frame \d+ cannot be turned into RGB"):
            list(frames)


def test_colours_that_lose_their_rgb_in_mid_stream_cut_the_video_there(tmp_path: Path) -> None:
    parts = [tmp_path / "good.ts", tmp_path / "bad.ts"]
    write_in_colours(parts[0], "bt709", 10)
    write_in_colours(parts[1], "bt2020c", 10, start=10)
    clip = tmp_path / "clip.ts"
    clip.write_bytes(b"".join(part.read_bytes() for part in parts))
    for frames, before, at in ((read_frames(clip, [0, 5, 15]), [0, 5], 15), (sample_frames(clip, 4)[1], [2, 7], 12)):
        seen: list[int] = []
        with pytest.raises(TruncatedVideoError, match=f"colours of frame {at} cannot be turned into RGB") as raised:
            seen.extend(frame.index for frame in frames)
        assert seen == before
        assert raised.value.decoded_frames == at
