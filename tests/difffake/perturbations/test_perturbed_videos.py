"""Videos encoded anew: what becomes of quality, size, times, rotation, odd sizes and damage."""

from fractions import Fraction
from pathlib import Path
from typing import get_args

import av
import cv2
import numpy as np
import pytest

from difffake.config import FacesConfig, VideoCodec
from difffake.errors import TruncatedVideoError, UnreadableVideoError
from difffake.faces.extraction import extract_faces
from difffake.faces.finder import build_face_finder
from difffake.faces.records import RgbImage
from difffake.perturbations.perturbation import Perturbation, read_perturbed_frames
from difffake.video import Frame, probe, read_frames
from difffake.video_writing import reencode, write_video
from tests.helpers.media import astronaut_rgb, carphone_path

CRFS = (10, 20, 30, 32, 35, 38, 40, 51)
FACES = FacesConfig(detector="blazeface", frames_per_video=4, crop_size_px=96, min_faces=2)


def carphone(count: int = 30) -> list[Frame]:
    return list(read_frames(carphone_path(), range(count)))


def psnr(first: RgbImage, second: RgbImage) -> float:
    return float(10 * np.log10(255**2 / np.mean((first.astype(float) - second) ** 2)))


def with_times(frames: list[RgbImage], times_s: list[float]) -> list[Frame]:
    return [Frame(index, time_s, rgb) for index, (time_s, rgb) in enumerate(zip(times_s, frames, strict=True))]


@pytest.mark.parametrize("codec", get_args(VideoCodec))
def test_a_higher_rate_factor_gives_a_smaller_file_and_a_worse_picture(codec: VideoCodec, tmp_path: Path) -> None:
    frames = carphone()
    sizes, qualities = [], []
    for crf in CRFS:
        path = tmp_path / f"{crf}.mp4"
        assert reencode(path, iter(frames), 30, crf, codec) == 30
        sizes.append(path.stat().st_size)
        copies = list(read_frames(path, range(30)))
        qualities.append(np.mean([psnr(a.rgb, b.rgb) for a, b in zip(frames, copies, strict=True)]))
    assert sizes == sorted(sizes, reverse=True)
    assert qualities == sorted(qualities, reverse=True)
    assert len(set(sizes)) == len(set(np.round(qualities, 3))) == len(CRFS)
    assert qualities[0] > 36
    assert qualities[-1] < {"h264": 27, "hevc": 27, "vp9": 32}[codec]


@pytest.mark.parametrize("codec", get_args(VideoCodec))
def test_equal_frames_give_equal_bytes(codec: VideoCodec, tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        reencode(tmp_path / name, carphone(10), 30, 35, codec)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_a_constant_rate_stays_constant(tmp_path: Path) -> None:
    reencode(tmp_path / "copy.mp4", carphone(), 30_000 / 1001, 35)
    assert probe(tmp_path / "copy.mp4").fps == pytest.approx(30_000 / 1001, rel=1e-3)
    assert probe(tmp_path / "copy.mp4").codec == "h264"
    with av.open(str(tmp_path / "copy.mp4")) as container:
        ticks = sorted(packet.pts for packet in container.demux(video=0) if packet.pts is not None)
    assert len(set(np.diff(ticks))) == 1


def test_frames_keep_their_own_times(tmp_path: Path) -> None:
    times_s = [0.0, 0.04, 0.05, 0.5, 0.51, 2.0]
    frames = with_times([frame.rgb for frame in carphone(6)], times_s)
    reencode(tmp_path / "copy.mp4", frames, 3, 30)
    assert [frame.time_s for frame in read_frames(tmp_path / "copy.mp4", range(6))] == pytest.approx(times_s, abs=1e-4)


def test_times_that_go_back_lose_no_frame(tmp_path: Path) -> None:
    frames = with_times([frame.rgb for frame in carphone(5)], [0.0, 0.0, 0.2, 0.1, 0.3])
    assert reencode(tmp_path / "copy.mp4", frames, 25, 30) == 5
    copies = list(read_frames(tmp_path / "copy.mp4", range(5)))
    assert np.all(np.diff([frame.time_s for frame in copies]) > 0)


@pytest.mark.parametrize(("height", "width"), [(143, 175), (144, 175), (143, 176), (1, 1)])
def test_odd_sizes_gain_a_copy_of_their_edge(tmp_path: Path, height: int, width: int) -> None:
    frames = with_times([frame.rgb[:height, :width] for frame in carphone(3)], [0, 0.1, 0.2])
    reencode(tmp_path / "copy.mp4", frames, 10, 10)
    copies = list(read_frames(tmp_path / "copy.mp4", range(3)))
    for frame, copy in zip(frames, copies, strict=True):
        assert copy.rgb.shape == (height + height % 2, width + width % 2, 3)
        assert psnr(frame.rgb, copy.rgb[:height, :width]) > 30


def test_a_change_of_size_is_scaled_away(tmp_path: Path) -> None:
    small, large = astronaut_rgb()[::4, ::4], astronaut_rgb()[::2, ::2]
    reencode(tmp_path / "copy.mp4", with_times([small, large], [0, 0.1]), 10, 10)
    shapes = {frame.rgb.shape for frame in read_frames(tmp_path / "copy.mp4", range(2))}
    assert shapes == {(128, 128, 3)}


def test_no_frames_and_bad_factors_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one frame"):
        reencode(tmp_path / "a.mp4", [], 25, 30)
    with pytest.raises(ValueError, match="crf"):
        reencode(tmp_path / "a.mp4", carphone(1), 25, 52)
    assert not list(tmp_path.iterdir())


def test_frames_are_perturbed_by_content_and_index_whichever_are_read() -> None:
    noise = Perturbation("gaussian_noise", 2, seed=5)
    some = {frame.index: frame.rgb for frame in read_perturbed_frames(carphone_path(), [3, 9], noise, "a")}
    more = {frame.index: frame.rgb for frame in read_perturbed_frames(carphone_path(), [0, 3, 7], noise, "a")}
    other = {frame.index: frame.rgb for frame in read_perturbed_frames(carphone_path(), [3], noise, "b")}
    np.testing.assert_array_equal(some[3], more[3])
    assert not np.array_equal(some[3], other[3])
    clean = {frame.index: frame.rgb.astype(float) for frame in read_frames(carphone_path(), [0, 3])}
    assert not np.array_equal(more[0] - clean[0], more[3] - clean[3])


def test_severities_share_their_noise() -> None:
    clean = next(read_frames(carphone_path(), [4])).rgb.astype(float)
    added = [
        next(read_perturbed_frames(carphone_path(), [4], Perturbation("gaussian_noise", level), "a")).rgb - clean
        for level in (1, 2)
    ]
    inside = (clean > 60) & (clean < 190)
    ratio = np.sum(added[0][inside] * added[1][inside]) / np.sum(added[0][inside] ** 2)
    assert ratio == pytest.approx(np.sqrt(2), rel=0.02)


@pytest.fixture(scope="module")
def rotated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip whose container says that it is to be turned by a quarter."""
    path = tmp_path_factory.mktemp("rotated") / "rotated.mp4"
    write_video(path, [frame.rgb for frame in carphone(8)], fps=25, crf=10)
    content = bytearray(path.read_bytes())
    identity = b"".join(v.to_bytes(4, "big") for v in (0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000))
    at = content.index(identity, content.index(b"tkhd"))
    turned = (0, 0x10000, 0, 0xFFFF0000, 0, 0, 144 << 16, 0, 0x40000000)
    content[at : at + 36] = b"".join(v.to_bytes(4, "big") for v in turned)
    path.write_bytes(content)
    return path


def test_a_rotated_video_is_compressed_upright(rotated: Path) -> None:
    clean = next(read_frames(rotated, [5]))
    assert clean.rgb.shape == (176, 144, 3)
    compressed = next(read_perturbed_frames(rotated, [5], Perturbation("h264_crf", 12), "a"))
    assert compressed.rgb.shape == (176, 144, 3)
    assert compressed.time_s == pytest.approx(clean.time_s, abs=1e-4)
    assert psnr(clean.rgb, compressed.rgb) > 33


def test_the_same_frames_are_compressed_as_are_read_clean(tmp_path: Path) -> None:
    """A flash in one frame stays in that frame, in a variable-rate clip too."""
    dark, light = np.full((32, 32, 3), 30, np.uint8), np.full((32, 32, 3), 220, np.uint8)
    path = tmp_path / "flash.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=1000)
        stream.width = stream.height = 32
        for index, time_ms in enumerate([0, 40, 41, 300, 310, 1000, 1040, 1080]):
            frame = av.VideoFrame.from_ndarray(light if index == 5 else dark, format="rgb24")
            frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
            container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode())
    frames = list(read_perturbed_frames(path, range(8), Perturbation("video_compression", 1), "a"))
    assert [frame.rgb.mean() > 125 for frame in frames] == [index == 5 for index in range(8)]
    clean_s = [frame.time_s for frame in read_frames(path, range(8))]
    assert [frame.time_s for frame in frames] == pytest.approx(clean_s, abs=1e-3)


def test_a_cut_video_gives_what_it_holds_and_says_so(tmp_path: Path) -> None:
    whole = tmp_path / "whole.mp4"
    rng = np.random.default_rng(0)
    write_video(whole, rng.integers(0, 256, (40, 64, 64, 3), dtype=np.uint8), fps=25, crf=20)
    # The index comes first, so that what is there can be read.
    with (
        av.open(str(whole)) as source,
        av.open(str(tmp_path / "cut.mp4"), "w", options={"movflags": "faststart"}) as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    content = (tmp_path / "cut.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) // 2])
    frames = read_perturbed_frames(tmp_path / "cut.mp4", [0, 5, 39], Perturbation("h264_crf", 30), "a")
    assert [next(frames).index, next(frames).index] == [0, 5]
    with pytest.raises(TruncatedVideoError):
        next(frames)


def test_what_is_no_video_stays_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "no.mp4"
    path.write_text("not a video")
    for perturbation in (Perturbation("video_compression", 1), Perturbation("gaussian_blur", 1)):
        with pytest.raises(UnreadableVideoError, match=r"no\.mp4"):
            list(read_perturbed_frames(path, [0], perturbation, "a"))
        outcome = extract_faces(path, "a", "x", FACES, build_face_finder(FACES), "video", perturbation)
        assert outcome.status == "unreadable"


@pytest.mark.parametrize(
    "perturbation", [Perturbation("gaussian_blur", 3), Perturbation("video_compression", 5)], ids=["blur", "crf"]
)
def test_faces_are_cut_from_perturbed_frames(perturbation: Perturbation) -> None:
    finder = build_face_finder(FACES)
    clean = extract_faces(carphone_path(), "a", "x", FACES, finder)
    perturbed = extract_faces(carphone_path(), "a", "x", FACES, finder, "video", perturbation)
    again = extract_faces(carphone_path(), "a", "x", FACES, finder, "video", perturbation)
    assert perturbed.status == "ok"
    assert [face.face_id for face in perturbed.faces] == [face.face_id for face in clean.faces]
    assert [face.crop_jpeg for face in perturbed.faces] == [face.crop_jpeg for face in again.faces]
    for before, after in zip(clean.faces, perturbed.faces, strict=True):
        assert after.sharpness < 0.8 * before.sharpness


def test_a_photo_can_be_perturbed(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "photo.png"), astronaut_rgb()[..., ::-1])
    finder = build_face_finder(FACES)
    clean = extract_faces(tmp_path / "photo.png", "a", "x", FACES, finder, "photo")
    for perturbation in (Perturbation("gaussian_blur", 1), Perturbation("h264_crf", 40)):
        outcome = extract_faces(tmp_path / "photo.png", "a", "x", FACES, finder, "photo", perturbation)
        assert len(outcome.faces) == len(clean.faces) == 1
        assert outcome.faces[0].sharpness < clean.faces[0].sharpness
