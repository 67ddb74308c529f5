"""Ids, pairs, splits and names of the sample footage."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_catalog.footage.media import SPLITS, FootageMedia, Person, Take
from data_catalog.footage.people import demo_media
from data_catalog.footage.plan import FootageConfig, plan_pairs
from data_catalog.footage.sources import WHEELS
from difffake.errors import ConfigError, DataError

TAKE = Take(Path("photo.png"), (10, 10), 20)


def cast(split: str, *takes: int) -> tuple[Person, ...]:
    return tuple(Person(f"{split}{index}", split, (TAKE,) * count) for index, count in enumerate(takes))


@given(st.lists(st.integers(1, 6), min_size=2, max_size=7).filter(lambda n: sum(n) % 2 == 0 and 2 * max(n) <= sum(n)))
def test_every_clip_is_in_one_pair_and_never_meets_its_own_person(counts: list[int]) -> None:
    pairs = plan_pairs(FootageMedia(cast("train", *counts)))
    clips = [clip for pair in pairs for clip in (pair.first, pair.second)]
    assert sorted(clip.video_id for clip in clips) == [f"{number:03d}" for number in range(sum(counts))]
    assert all(pair.first.person != pair.second.person for pair in pairs)
    assert len({(clip.person, clip.take_index) for clip in clips}) == sum(counts)


def test_people_meet_as_many_others_as_they_can() -> None:
    pairs = plan_pairs(FootageMedia(cast("test", 3, 3, 3, 3)))
    meetings = {frozenset((pair.first.person, pair.second.person)) for pair in pairs}
    assert len(meetings) == 6


def test_ids_pairs_and_files_by_hand() -> None:
    media = FootageMedia(cast("test", 1, 1) + cast("train", 2, 1, 1), faceless=(TAKE, TAKE))
    pairs = plan_pairs(media)
    assert [(p.split, p.first.video_id, p.second.video_id, p.has_faces) for p in pairs] == [
        ("train", "000", "002", True),
        ("train", "001", "003", True),
        ("train", "004", "005", False),
        ("test", "006", "007", True),
    ]
    assert pairs[0].files("c23") == (
        "original_sequences/youtube/c23/videos/000.mp4",
        "original_sequences/youtube/c23/videos/002.mp4",
        "manipulated_sequences/FaceSwap/c23/videos/000_002.mp4",
        "manipulated_sequences/FaceSwap/c23/videos/002_000.mp4",
    )
    assert pairs[2].files("c40") == (
        "original_sequences/youtube/c40/videos/004.mp4",
        "original_sequences/youtube/c40/videos/005.mp4",
    )


@pytest.mark.parametrize("takes", [(1, 1, 1), (3, 1), (2,)])
def test_a_split_that_cannot_be_paired_is_refused(takes: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=f"val split has {sum(takes)} clips, {max(takes)} of them of one person"):
        plan_pairs(FootageMedia(cast("val", *takes)))


def test_a_person_cannot_be_in_two_splits() -> None:
    people = (Person("ann", "train", (TAKE,)), Person("bob", "train", (TAKE,)), Person("ann", "test", (TAKE,)))
    with pytest.raises(DataError, match="repeated: ann"):
        plan_pairs(FootageMedia(people))


def test_a_single_faceless_clip_has_no_partner() -> None:
    with pytest.raises(DataError, match="even number, not 1"):
        plan_pairs(FootageMedia(cast("train", 1, 1), faceless=(TAKE,)))


def test_more_clips_than_ids_are_refused() -> None:
    with pytest.raises(DataError, match="1002 clips"):
        plan_pairs(FootageMedia(cast("train", 501, 501)))


def test_the_demo_has_enough_people_and_clips_and_no_one_in_two_splits() -> None:
    names = [Path(name).name for wheel in WHEELS for name in wheel.sha256]
    media = demo_media({name: Path(name) for name in names})
    used = {take.path.name for person in media.people for take in person.takes}
    assert used | {take.path.name for take in media.faceless} == set(names)
    pairs = plan_pairs(media)
    people = {
        split: {p.first.person for p in pairs if p.split == split and p.has_faces}
        | {p.second.person for p in pairs if p.split == split and p.has_faces}
        for split in SPLITS
    }
    reals = {split: 2 * sum(p.split == split and p.has_faces for p in pairs) for split in SPLITS}
    assert people["train"].isdisjoint(people["val"] | people["test"])
    assert people["val"].isdisjoint(people["test"])
    assert (len(people["train"]), len(people["val"]), len(people["test"])) == (5, 3, 5)
    assert reals == {"train": 16, "val": 8, "test": 10}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size_px": 161}, "even"),
        ({"frames": 0}, "at least 1 frame"),
        ({"fps": 0.0}, "rate"),
        ({"blendings": ()}, "empty"),
    ],
)
def test_impossible_clips_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FootageConfig(**wrong)
