"""Extraction from a real clip and from clips made of a real photo."""

from collections.abc import Sequence
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from difffake.config import FacesConfig
from difffake.faces.crop_jpeg import encode_crop
from difffake.faces.crops import cut_crop, frame_to_crop
from difffake.faces.extraction import extract_faces, sharpness
from difffake.faces.finder import FaceFinder, FoundFace, build_face_finder
from difffake.faces.records import Extraction, RgbImage
from difffake.video import read_frames
from difffake.video_writing import write_video
from tests.helpers.media import astronaut_rgb, carphone_path, write_in_colours

CONFIG = FacesConfig(detector="blazeface", frames_per_video=12, crop_size_px=96)
SHA256 = "ab" * 32


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    return build_face_finder(CONFIG)


@pytest.fixture(scope="module")
def carphone(finder: FaceFinder) -> Extraction:
    return extract_faces(carphone_path(), SHA256, "fingerprint", CONFIG, finder)


def decode(jpeg: bytes) -> RgbImage:
    bgr = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(bgr, dtype=np.uint8)[:, :, ::-1]


def photo_frames(count: int, with_face: int) -> list[RgbImage]:
    """The astronaut's head slowly moving in the first frames, then nothing but a slope of grey."""
    photo = astronaut_rgb()
    empty = np.broadcast_to(np.linspace(60, 180, 256).astype(np.uint8)[:, None, None], (256, 256, 3))
    return [np.ascontiguousarray(photo[i : 256 + i, 90:346]) if i < with_face else empty for i in range(count)]


def test_a_talking_man_is_one_person_in_every_frame(carphone: Extraction) -> None:
    assert carphone.status == "ok"
    assert carphone.reason == ""
    assert carphone.frames_sampled == 12
    assert [face.frame_index for face in carphone.faces] == [5, 15, 25, 35, 45, 55, 65, 75, 85, 95, 105, 115]
    assert {face.track_id for face in carphone.faces} == {0}
    assert {face.track_share for face in carphone.faces} == {1.0}
    assert [face.time_s for face in carphone.faces] == pytest.approx(
        [face.frame_index * 1001 / 30_000 for face in carphone.faces], abs=1e-3
    )
    assert len({face.face_id for face in carphone.faces}) == 12


def test_records_are_of_the_documented_types(carphone: Extraction) -> None:
    for face in carphone.faces:
        assert face.bbox_xyxy_px.shape == (4,)
        assert face.landmarks_px.shape == (68, 2)
        assert face.bbox_xyxy_px.dtype == face.landmarks_px.dtype == np.float32
        assert face.crop_to_frame.shape == (2, 3)
        assert face.crop_to_frame.dtype == np.float64
        assert 0.5 <= face.detector_score <= 1
        assert type(face.detector_score) is type(face.sharpness) is type(face.track_share) is float
        assert type(face.frame_index) is type(face.track_id) is int
        assert len(face.face_id) == 32
        assert int(face.face_id, 16) >= 0


def test_stored_crops_are_the_crops_of_their_frames(carphone: Extraction) -> None:
    frames = {frame.index: frame.rgb for frame in read_frames(carphone_path(), range(120))}
    for face in carphone.faces[::5]:
        crop, crop_to_frame = cut_crop(frames[face.frame_index], face.landmarks_px, CONFIG)
        stored = decode(face.crop_jpeg)
        assert stored.shape == (96, 96, 3)
        assert np.abs(stored.astype(float) - crop).mean() < 2
        np.testing.assert_array_equal(face.crop_to_frame, crop_to_frame)
        inside = frame_to_crop(face.landmarks_px, face.crop_to_frame)
        assert inside.min() > 0
        assert inside.max() < 96
        assert face.sharpness == pytest.approx(sharpness(crop))


def test_equal_inputs_give_equal_records(carphone: Extraction) -> None:
    again = extract_faces(carphone_path(), SHA256, "fingerprint", CONFIG, build_face_finder(CONFIG))
    for before, after in zip(carphone.faces, again.faces, strict=True):
        assert (before.face_id, before.crop_jpeg, before.sharpness) == (after.face_id, after.crop_jpeg, after.sharpness)
        np.testing.assert_array_equal(before.landmarks_px, after.landmarks_px)


def test_names_depend_on_the_content_and_on_the_extraction(finder: FaceFinder) -> None:
    config = CONFIG.model_copy(update={"frames_per_video": 3, "min_faces": 2})
    names = {
        extract_faces(carphone_path(), sha256, extraction, config, finder).faces[0].face_id
        for sha256, extraction in [("a", "x"), ("b", "x"), ("a", "y")]
    }
    assert len(names) == 3


@pytest.mark.parametrize("quality", [60, 95])
def test_crops_are_encoded_without_colour_subsampling(quality: int) -> None:
    crop = np.ascontiguousarray(astronaut_rgb()[60:188, 160:288])
    jpeg = encode_crop(crop, quality)
    frame_header = jpeg.index(b"\xff\xc0")
    components = [jpeg[frame_header + 10 + 3 * i : frame_header + 13 + 3 * i] for i in range(3)]
    assert [component[1] for component in components] == [0x11, 0x11, 0x11]
    assert np.abs(decode(jpeg).astype(float) - crop).mean() < (8 if quality == 60 else 2)


def test_sharpness_falls_with_blur_and_is_zero_on_a_flat_crop() -> None:
    crop = np.ascontiguousarray(astronaut_rgb()[60:188, 160:288])
    blurred = np.asarray(cv2.GaussianBlur(crop, (9, 9), 3), dtype=np.uint8)
    assert sharpness(crop) > 5 * sharpness(blurred) > 0
    assert sharpness(np.full((32, 32, 3), 77, dtype=np.uint8)) == 0


class CountingFinder:
    """Tells how many pictures it was given at once."""

    def __init__(self) -> None:
        self.pictures: list[int] = []

    def find(self, pictures: Sequence[RgbImage]) -> list[list[FoundFace]]:
        self.pictures.append(len(pictures))
        return [[] for _ in pictures]

    def fingerprint_parts(self) -> dict[str, str]:
        return {}


@pytest.mark.parametrize(("size_px", "together"), [((64, 48), [8, 8, 4]), ((1920, 1080), [6, 6, 6, 2])])
def test_as_many_frames_wait_for_the_networks_as_memory_has_room_for(
    tmp_path: Path, size_px: tuple[int, int], together: list[int]
) -> None:
    frame = np.zeros((size_px[1], size_px[0], 3), dtype=np.uint8)
    write_video(tmp_path / "v.mp4", [frame] * 20, 25, 40)
    finder = CountingFinder()
    config = FacesConfig(detector="blazeface", frames_per_video=20)
    progress: list[tuple[int, int]] = []
    outcome = extract_faces(
        tmp_path / "v.mp4", SHA256, "f", config, finder, on_frame=lambda *seen: progress.append(seen)
    )
    assert outcome.frames_sampled == 20
    assert finder.pictures == together
    assert progress == [(number, 20) for number in range(1, 21)]


def test_no_face(tmp_path: Path, finder: FaceFinder) -> None:
    write_video(tmp_path / "empty.mp4", photo_frames(20, with_face=0), fps=25, crf=23)
    outcome = extract_faces(tmp_path / "empty.mp4", SHA256, "fingerprint", CONFIG, finder)
    assert outcome == Extraction("no_face", "no face in 12 sampled frames", frames_sampled=12)


def test_few_faces_are_kept(tmp_path: Path, finder: FaceFinder) -> None:
    write_video(tmp_path / "brief.mp4", photo_frames(12, with_face=3), fps=25, crf=18)
    outcome = extract_faces(tmp_path / "brief.mp4", SHA256, "fingerprint", CONFIG, finder)
    assert outcome.status == "few_faces"
    assert outcome.reason == "3 faces on the main track, 4 wanted, in 12 frames"
    assert [face.frame_index for face in outcome.faces] == [0, 1, 2]
    assert {face.track_share for face in outcome.faces} == {3 / 12}


def test_a_cut_file_keeps_the_faces_before_the_cut(tmp_path: Path, finder: FaceFinder) -> None:
    whole, front, cut = tmp_path / "whole.mp4", tmp_path / "front.mp4", tmp_path / "cut.mp4"
    write_video(whole, photo_frames(40, with_face=40), fps=25, crf=18)
    with av.open(str(whole)) as source, av.open(str(front), "w", options={"movflags": "faststart"}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    with av.open(str(front)) as container:
        end = [packet.pos for packet in container.demux(video=0) if packet.size][25]
    cut.write_bytes(front.read_bytes()[:end])
    outcome = extract_faces(cut, SHA256, "fingerprint", CONFIG, finder)
    assert outcome.status == "truncated"
    decoded = int(outcome.reason.split()[1])
    assert outcome.reason == f"decoded {decoded} of 40 frames: the file is cut or damaged"
    assert 15 <= decoded <= 25
    # Of the 12 sampled frames of a whole video, those before the cut.
    assert [face.frame_index for face in outcome.faces] == [
        i for i in [1, 5, 8, 11, 15, 18, 21, 25, 28, 31, 35, 38] if i < decoded
    ]
    assert outcome.frames_sampled == len(outcome.faces)


@pytest.mark.parametrize("content", [b"", b"plain text\n" * 100])
def test_what_is_no_video_is_unreadable_and_the_reason_names_no_folder(
    tmp_path: Path, finder: FaceFinder, content: bytes
) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(content)
    outcome = extract_faces(path, SHA256, "fingerprint", CONFIG, finder)
    assert (outcome.status, outcome.frames_sampled, outcome.faces) == ("unreadable", 0, ())
    assert "Expected a video file" in outcome.reason
    assert str(tmp_path) not in outcome.reason


def test_two_people_are_two_tracks(tmp_path: Path, finder: FaceFinder) -> None:
    """The photo beside its smaller, mirrored, reddish self: the large one is the main person."""
    frames = []
    for frame in photo_frames(12, with_face=12):
        other = cv2.resize(frame[:, ::-1], (160, 160), interpolation=cv2.INTER_AREA) * np.array([1.0, 0.7, 0.6])
        small = np.full((256, 160, 3), 30, dtype=np.uint8)
        small[50:210] = other.astype(np.uint8)
        frames.append(np.concatenate([small, frame], axis=1))
    write_video(tmp_path / "two.mp4", frames, fps=25, crf=18)
    outcome = extract_faces(tmp_path / "two.mp4", SHA256, "fingerprint", CONFIG, finder)
    assert outcome.status == "ok"
    assert [(face.frame_index, face.track_id) for face in outcome.faces] == [(i, t) for i in range(12) for t in (0, 1)]
    centres = np.array([face.landmarks_px[:, 0].mean() for face in outcome.faces]).reshape(12, 2)
    assert np.all(centres[:, 0] > 160)
    assert np.all(centres[:, 1] < 160)


def test_a_video_whose_colours_have_no_rgb_is_unreadable(finder: FaceFinder, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    write_in_colours(clip, "bt2020c", 20)
    outcome = extract_faces(clip, SHA256, "fingerprint", CONFIG, finder)
    assert (outcome.status, outcome.frames_sampled) == ("unreadable", 0)
    assert "cannot be turned into RGB: Operation not supported" in outcome.reason
