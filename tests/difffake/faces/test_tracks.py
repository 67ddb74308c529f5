"""Tracks of painted people: each has a colour of their own and walks where the test says."""

from collections.abc import Sequence

import numpy as np
import pytest

from difffake.faces.finder import FoundFace
from difffake.faces.records import RgbImage
from difffake.faces.tracks import Sighting, group_tracks, sight
from tests.helpers.face_template import template_landmarks

RED, GREEN, BLUE = (200, 40, 40), (40, 200, 40), (40, 40, 200)
Person = tuple[tuple[int, int, int], float, float, float]  # colour, x, y, eye distance


def sightings(people: Sequence[Person], scores: Sequence[float] | None = None) -> list[Sighting]:
    frame: RgbImage = np.full((300, 600, 3), 128, dtype=np.uint8)
    faces = []
    for position, (colour, x, y, eye_distance_px) in enumerate(people):
        reach = int(4 * eye_distance_px)
        frame[max(int(y) - reach, 0) : int(y) + reach, max(int(x) - reach, 0) : int(x) + reach] = colour
        landmarks = template_landmarks((x, y), eye_distance_px)
        box = np.concatenate([landmarks.min(axis=0), landmarks.max(axis=0)])
        faces.append(FoundFace(box, scores[position] if scores else 0.9, landmarks, 1.0))
    return [sight(frame, face) for face in faces]


def test_one_person_is_one_track() -> None:
    frames = [sightings([(RED, 100 + 5 * step, 100, 20)]) for step in range(10)]
    assert group_tracks(frames) == [[0]] * 10


def test_no_frames_and_no_faces() -> None:
    assert group_tracks([]) == []
    assert group_tracks([[], [], []]) == [[], [], []]


def test_two_people_side_by_side_stay_apart_whatever_the_order() -> None:
    frames = []
    for step in range(8):
        people: list[Person] = [(RED, 150, 100, 20), (GREEN, 400 - 3 * step, 110, 16)]
        frames.append(sightings(people if step % 2 else people[::-1]))
    assert group_tracks(frames) == [[1, 0], [0, 1]] * 4


def test_people_who_trade_places_keep_their_tracks() -> None:
    """Two of one size 60 px apart step past each other: nearest alone would mix them up, colours do not."""
    before = sightings([(RED, 150, 100, 20), (GREEN, 450, 100, 20)])
    closer = sightings([(RED, 160, 100, 20), (GREEN, 440, 100, 20)])
    assert group_tracks([before, closer[::-1], before]) == [[0, 1], [1, 0], [0, 1]]


def test_a_cut_to_another_person_in_the_same_place_starts_a_track() -> None:
    frames = [sightings([(RED, 200, 100, 20)])] * 3 + [sightings([(BLUE, 200, 100, 20)])] * 5
    assert group_tracks(frames) == [[1]] * 3 + [[0]] * 5


def test_a_short_gap_is_bridged_and_a_long_one_is_not() -> None:
    one = sightings([(RED, 200, 100, 20)])
    assert group_tracks([one, [], [], [], [], one]) == [[0], [], [], [], [], [0]]
    assert group_tracks([one, one, [], [], [], [], [], one]) == [[0], [0], [], [], [], [], [], [1]]


def test_another_person_after_a_gap_is_another_track() -> None:
    frames = [sightings([(RED, 200, 100, 20)])] * 4 + [[]] + [sightings([(GREEN, 205, 100, 20)])] * 3
    assert group_tracks(frames) == [[0]] * 4 + [[]] + [[1]] * 3


@pytest.mark.parametrize("moved", [(RED, 330.0, 100.0, 20.0), (RED, 200.0, 100.0, 32.0), (RED, 200.0, 100.0, 12.0)])
def test_a_jump_in_place_or_size_starts_a_track(moved: Person) -> None:
    """All over red, so that colours cannot tell: only 130 px of a 53-px face, or a size ratio of 1.6, do."""
    flat = np.full((300, 600, 3), RED, dtype=np.uint8)

    def seen(person: Person) -> list[Sighting]:
        landmarks = template_landmarks(person[1:3], person[3])
        return [sight(flat, FoundFace(np.zeros(4, np.float32), 0.9, landmarks, 1.0))]

    still: Person = (RED, 200, 100, 20)
    assert group_tracks([seen(still), seen(still), seen(moved)]) == [[0], [0], [1]]


def test_the_main_person_is_not_the_largest_box_once() -> None:
    """A false box of four times the side in two frames loses against a face in all ten."""
    frames = []
    for step in range(10):
        people: list[Person] = [(RED, 100, 60, 15)]
        if step in (3, 4):
            people.insert(0, (GREEN, 420, 130, 40))
        frames.append(sightings(people, scores=[0.55, 0.9][-len(people) :]))
    ids = group_tracks(frames)
    assert ids[3] == [1, 0]
    assert ids[0] == ids[9] == [0]


def test_the_main_person_is_not_the_small_bystander() -> None:
    frames = [sightings([(RED, 100, 60, 8), (GREEN, 400, 130, 30)]) for _ in range(5)]
    frames.append(sightings([(RED, 100, 60, 8)]))
    assert group_tracks(frames)[0] == [1, 0]


def test_others_follow_by_the_frames_they_are_in() -> None:
    large: Person = (BLUE, 480, 150, 30)
    frames = [sightings([large, (RED, 60, 60, 8)]), *[sightings([large, (GREEN, 200, 60, 8)]) for _ in range(3)]]
    assert group_tracks(frames) == [[0, 2], [0, 1], [0, 1], [0, 1]]


def test_two_faces_of_a_frame_never_share_a_track() -> None:
    twins = sightings([(RED, 200, 100, 20), (RED, 215, 100, 20)])
    ids = group_tracks([sightings([(RED, 207, 100, 20)]), twins, twins])
    assert all(len(set(row)) == len(row) for row in ids)


def test_colours_are_four_histograms_of_a_quarter_each() -> None:
    (one,) = sightings([(RED, 200, 100, 20)])
    assert one.colours.shape == (256,)
    assert one.colours.reshape(4, 64).sum(axis=1) == pytest.approx([0.25] * 4)
    # (200, 40, 40) lies in level 3 of red, 0 of green and blue.
    assert one.colours.reshape(4, 64)[:, 3 * 16] == pytest.approx([0.25] * 4)
