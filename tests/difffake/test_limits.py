import time
from pathlib import Path

import numpy as np
import pytest

from difffake.config import FacesConfig
from difffake.errors import InputLimitError
from difffake.faces.extraction import extract_faces
from difffake.faces.finder import build_face_finder
from difffake.limits import Deadline, InputLimits
from difffake.video import probe, read_frames
from difffake.video_writing import write_video
from tests.helpers.media import astronaut_rgb

CONFIG = FacesConfig(detector="blazeface", frames_per_video=4, crop_size_px=64)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("limits") / "clip.mp4"
    face = astronaut_rgb()[0:256, 100:356]
    write_video(path, [np.roll(face, 3 * step, axis=1) for step in range(20)], fps=10, crf=18)
    return path


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"max_file_mb": 0.001}, "MB, more than the 0.001 allowed (limit max_file_mb)"),
        ({"max_duration_s": 1.9}, "of 2 s, more than the 1.9 allowed (limit max_duration_s)"),
        ({"max_megapixels": 0.06}, "256 × 256 of 0.06554 megapixels, more than the 0.06 allowed"),
        ({"max_frames": 19}, "of 20 frames, more than the 19 allowed (limit max_frames)"),
    ],
)
def test_a_file_beyond_a_limit_is_refused_with_the_figure_and_the_limit(
    clip: Path, limits: dict[str, float], said: str
) -> None:
    refused = extract_faces(clip, "content", "test", CONFIG, build_face_finder(CONFIG), limits=InputLimits(**limits))
    assert (refused.status, refused.faces) == ("refused", ())
    assert said in refused.reason


def test_at_the_limits_and_without_them_it_is_read(clip: Path) -> None:
    exact = InputLimits(max_file_mb=1, max_duration_s=2, max_megapixels=256 * 256 / 1e6, max_frames=20)
    finder = build_face_finder(CONFIG)
    plain = extract_faces(clip, "content", "test", CONFIG, finder)
    for limits in (exact, InputLimits.none()):
        outcome = extract_faces(clip, "content", "test", CONFIG, finder, limits=limits)
        assert outcome.status == "ok"
        assert [face.crop_jpeg for face in outcome.faces] == [face.crop_jpeg for face in plain.faces]
    assert plain.video == probe(clip)


def test_frames_that_grow_beyond_the_limit_are_refused(tmp_path: Path) -> None:
    face = astronaut_rgb()[0:256, 100:356]
    parts = [tmp_path / "small.h264", tmp_path / "large.h264"]
    for part, size in zip(parts, (64, 256), strict=True):
        write_video(part, [np.roll(face, step, axis=0)[:size, :size] for step in range(10)], fps=10, crf=18)
    growing = tmp_path / "growing.h264"
    growing.write_bytes(b"".join(part.read_bytes() for part in parts))
    finder = build_face_finder(CONFIG)
    assert extract_faces(growing, "content", "test", CONFIG, finder).status == "few_faces"
    limits = InputLimits(max_megapixels=0.01)
    refused = extract_faces(growing, "content", "test", CONFIG, finder, limits=limits)
    assert (refused.status, refused.faces) == ("refused", ())
    assert "256 × 256" in refused.reason


def test_photos_have_limits_too(tmp_path: Path) -> None:
    import cv2

    photo = tmp_path / "photo.png"
    cv2.imwrite(str(photo), cv2.cvtColor(astronaut_rgb()[0:256, 100:356], cv2.COLOR_RGB2BGR))
    limits = InputLimits(max_megapixels=0.05)
    refused = extract_faces(photo, "content", "test", CONFIG, build_face_finder(CONFIG), "photo", limits=limits)
    assert refused.status == "refused"
    assert "megapixels" in refused.reason


def test_work_ends_between_frames_once_the_time_is_over(clip: Path) -> None:
    over = Deadline(1e-9)
    time.sleep(0.001)
    for work in (lambda: probe(clip, None, over), lambda: list(read_frames(clip, [0, 5], over))):
        with pytest.raises(InputLimitError, match="took longer than 1e-09 s"):
            work()
    limits = InputLimits(timeout_s=1e-9)
    assert extract_faces(clip, "c", "test", CONFIG, build_face_finder(CONFIG), limits=limits).status == "refused"
    Deadline(None).check()
    Deadline(60).check()


def test_a_small_file_of_a_huge_photo_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cv2

    import difffake.faces.extraction as extraction

    def unpack(path: Path) -> None:
        raise AssertionError(f"{path} was unpacked")

    photo = tmp_path / "bomb.png"
    cv2.imwrite(str(photo), np.zeros((7000, 7000), np.uint8))
    assert photo.stat().st_size < 200_000
    monkeypatch.setattr(extraction, "read_photo", unpack)
    refused = extract_faces(photo, "c", "test", CONFIG, build_face_finder(CONFIG), "photo", limits=InputLimits())
    assert refused.status == "refused"
    assert "7000 × 7000" in refused.reason
