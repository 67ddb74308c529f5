import pytest

from difffake.differential.conditions import Conditions, measure_faces, measure_video
from difffake.errors import ArtefactError

CALIBRATION = [
    {"frame_height_px": 480.0, "face_side_px": 100.0},
    {"frame_height_px": 720.0, "face_side_px": 180.0, "bits_per_pixel": 0.1},
]


def test_a_video_within_the_calibrations_ranges_is_like_it() -> None:
    conditions = Conditions.of(CALIBRATION)
    assert conditions.ranges == {
        "frame_height_px": (480, 720), "face_side_px": (100, 180), "bits_per_pixel": (0.1, 0.1)
    }  # fmt: skip
    assert conditions.unlike({"frame_height_px": 480 / 1.5, "face_side_px": 180 * 1.5, "sharpness": 1e9}) == ()


def test_a_video_far_outside_says_in_what_and_by_how_much() -> None:
    told = Conditions.of(CALIBRATION).unlike({"frame_height_px": 319.0, "face_side_px": 271.0})
    assert len(told) == 2
    assert "frames 319 px high, where the 2 calibration videos have 480 to 720" in told[0]
    assert "faces 271 px wide, where the 2 calibration videos have 100 to 180" in told[1]


def test_they_are_measured_as_medians_and_per_pixel() -> None:
    assert measure_faces([10, 30, 80], [1, 2, 9]) == {"face_side_px": 30, "sharpness": 2}
    assert measure_faces([], []) == {}
    measured = measure_video(100, 50, 20, 25.0, 12_500)
    assert measured == {"frame_height_px": 50, "frames_per_second": 25, "bits_per_pixel": 1}


def test_they_survive_storage_and_refuse_what_they_did_not_write() -> None:
    conditions = Conditions.of(CALIBRATION)
    assert Conditions.from_json(conditions.to_json()) == conditions
    with pytest.raises(ArtefactError, match="calibrate again"):
        Conditions.from_json('{"version": 2}')
