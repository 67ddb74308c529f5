"""The queries of the data report against what was counted by hand."""

from pathlib import Path
from typing import Any

import pytest

from data_catalog.lake import Lake
from data_catalog.schemas import TableName
from tests.helpers.lake_rows import EXTRACTION, face, fill, outcome, scan, video

SCOPE = {"extraction": EXTRACTION, "datasets": ["a", "b"]}
EDGES = {"size_px_edges": [64.0, 128.0], "sharpness_edges": [10.0, 100.0], "detector_score_edges": [0.5, 1.0]}
TRACK_EDGES = {"track_share_edges": [0.5, 1.0], "tracks_per_video_edges": [0.5, 1.5]}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Two datasets to be asked for; one content has two names in `a` and a third in `b`; `c` is not asked for."""
    lake = Lake(tmp_path / "lake")
    lake.create()
    fake = {"label": "fake", "manipulation": "swap", "compression": "c23"}
    videos = [
        video("a/1", "shared", split="train"),
        video("a/2", "shared", split="train"),
        video("a/3", "fake", split="test", **fake),
        video("a/4", "new", split="test", **fake),
        video("a/5", "half", state="growing", size_bytes=77),
        video("a/6", "gone", state="removed"),
        video("b/1", "shared", media="photo"),
        video("b/2", "empty"),
        video("b/3", "broken"),
        video("c/1", "shared"),
    ]
    outcomes = [
        outcome("shared", faces_found=3),
        outcome("fake", "few_faces", faces_found=1),
        outcome("gone", faces_found=1),
        outcome("half", faces_found=9),
        outcome("empty", "no_face"),
        outcome("broken", "unreadable", frames_sampled=0),
        outcome("new", extraction="another", faces_found=5),
    ]
    faces = [
        face("shared", 0, bbox_xyxy_px=[0, 0, 64, 20], sharpness=10, detector_score=0.5),
        face("shared", 1, bbox_xyxy_px=[0, 0, 20, 65], sharpness=11, detector_score=0.51),
        face("shared", 2, bbox_xyxy_px=[0, 0, 20, 999], sharpness=1e6, track_id=1, track_share=0.5),
        face("fake", 0, track_share=0.1),
        face("gone", 0),
        face("new", 0, extraction="another"),
    ]
    fill(lake, TableName.VIDEOS, videos)
    fill(lake, TableName.EXTRACTION_LOG, outcomes)
    fill(lake, TableName.FACES, faces)
    return lake


def rows(lake: Lake, query: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    return lake.query(query, parameters).to_pylist()


def test_every_video_is_counted_in_one_status_and_faces_of_present_ones_only(lake: Lake) -> None:
    counted = rows(lake, "count_videos", SCOPE)
    columns = ("dataset", "split", "label", "manipulation", "compression", "media", "state", "status")
    assert {tuple(row[name] for name in columns): (row["videos"], row["faces"]) for row in counted} == {
        ("a", "train", "real", None, None, "video", "present", "ok"): (2, 6),
        ("a", "test", "fake", "swap", "c23", "video", "present", "few_faces"): (1, 1),
        ("a", "test", "fake", "swap", "c23", "video", "present", "pending"): (1, 0),
        ("a", None, "real", None, None, "video", "growing", "growing"): (1, 0),
        ("a", None, "real", None, None, "video", "removed", "removed"): (1, 0),
        ("b", None, "real", None, None, "photo", "present", "ok"): (1, 3),
        ("b", None, "real", None, None, "video", "present", "no_face"): (1, 0),
        ("b", None, "real", None, None, "video", "present", "unreadable"): (1, 0),
    }
    assert len(counted) == 8


def test_problem_videos_say_why_and_every_status_gets_its_share_of_the_list(lake: Lake) -> None:
    listed = rows(lake, "list_problem_videos", SCOPE | {"most": 50})
    assert [(row["status"], row["video_key"], row["reason"]) for row in listed] == [
        ("few_faces", "a/3", "it is few_faces"),
        ("growing", "a/5", "still being written, 77 bytes so far"),
        ("no_face", "b/2", "it is no_face"),
        ("pending", "a/4", "no outcome yet"),
        ("unreadable", "b/3", "it is unreadable"),
    ]
    assert {row["total"] for row in listed} == {5}
    assert listed[0]["uri"] == "file:///videos/a/3.mp4"

    fill(lake, TableName.VIDEOS, [video(f"a/empty{number}", "empty") for number in range(9)])
    few = rows(lake, "list_problem_videos", SCOPE | {"most": 5})
    assert [row["status"] for row in few] == ["few_faces", "growing", "no_face", "pending", "unreadable"]
    assert {row["total"] for row in few} == {14}


def test_faces_are_measured_once_a_dataset_whatever_their_videos_are_called(lake: Lake) -> None:
    of_a, of_b = rows(lake, "summarise_faces", SCOPE | EDGES)
    assert (of_a["dataset"], of_a["faces"]) == ("a", 4)
    assert (of_b["dataset"], of_b["faces"]) == ("b", 3)
    # Up to 64, up to 128, beyond: an edge belongs to the bin below it.
    assert of_b["size_px_counts"] == [1, 1, 1]
    assert of_b["size_px_quantiles"] == pytest.approx([64.1, 65, 905.6])
    assert of_b["sharpness_counts"] == [1, 1, 1]
    assert of_b["detector_score_counts"] == [1, 2]
    assert of_a["size_px_counts"] == [1, 2, 1]


def test_tracks_are_counted_by_length_and_readable_videos_by_people(lake: Lake) -> None:
    of_a, of_b = rows(lake, "summarise_tracks", SCOPE | TRACK_EDGES)
    # a: two tracks of the shared content, one of the fake; nobody else was looked at.
    assert (of_a["dataset"], of_a["videos"], of_a["tracks"]) == ("a", 2, 3)
    assert of_a["track_share_counts"] == [2, 1]
    assert of_a["track_share_quantiles"][1] == pytest.approx(0.5)
    assert of_a["tracks_per_video_counts"] == [0, 1, 1]
    # b: the shared content, and a video with nobody in it; the broken one could not be read.
    assert (of_b["dataset"], of_b["videos"], of_b["tracks"]) == ("b", 2, 2)
    assert of_b["tracks_per_video_counts"] == [1, 0, 1]


def test_a_dataset_without_a_track_is_still_there(lake: Lake) -> None:
    fill(lake, TableName.VIDEOS, [video("d/1", "empty")])
    (of_d,) = rows(lake, "summarise_tracks", SCOPE | TRACK_EDGES | {"datasets": ["d"]})
    assert (of_d["videos"], of_d["tracks"], of_d["track_share_counts"]) == (1, 0, None)
    assert rows(lake, "summarise_faces", SCOPE | EDGES | {"datasets": ["d"]}) == []


def test_the_sample_shows_main_people_of_present_videos_under_one_name(lake: Lake) -> None:
    shown = rows(lake, "sample_faces", SCOPE | {"per_group": 8, "most": 100})
    assert [(row["dataset"], row["label"], row["manipulation"], row["video_key"]) for row in shown] == [
        ("a", "real", None, "a/1"),
        ("a", "real", None, "a/1"),
        ("a", "fake", "swap", "a/3"),
        ("b", "real", None, "b/1"),
        ("b", "real", None, "b/1"),
    ]
    assert {row["face_id"] for row in shown} == {"shared-0", "shared-1", "fake-0"}


def test_the_sample_takes_other_videos_first_and_deals_fairly(lake: Lake) -> None:
    contents = [f"content{number}" for number in range(6)]
    fill(lake, TableName.VIDEOS, [video(f"a/more{content}", content) for content in contents])
    fill(lake, TableName.EXTRACTION_LOG, [outcome(content, faces_found=2) for content in contents])
    fill(lake, TableName.FACES, [face(content, number) for content in contents for number in range(2)])

    shown = rows(lake, "sample_faces", SCOPE | {"per_group": 4, "most": 100})
    of_reals = [row["video_sha256"] for row in shown if (row["dataset"], row["label"]) == ("a", "real")]
    assert len(of_reals) == len(set(of_reals)) == 4
    assert shown == rows(lake, "sample_faces", SCOPE | {"per_group": 4, "most": 100})

    few = rows(lake, "sample_faces", SCOPE | {"per_group": 4, "most": 4})
    assert [(row["dataset"], row["label"]) for row in few] == [
        ("a", "real"), ("a", "real"), ("a", "fake"), ("b", "real"),
    ]  # fmt: skip
    everything = rows(lake, "sample_faces", SCOPE | {"per_group": 99, "most": 100})
    assert len(everything) == 2 + 12 + 1 + 2


def test_recent_scans_are_the_newest_of_each_dataset(lake: Lake) -> None:
    unplaced = [{"file": f"{number}.mp4", "reason": "no list names it"} for number in range(3)]
    changes = [{"change": "added", "video_key": "a/1", "detail": ""}]
    scans = [scan(f"a{day}", "a", day, added=day, changes=changes, unplaced=unplaced) for day in range(3)]
    fill(lake, TableName.SCANS, [*scans, scan("b", "b", 1), scan("c", "c", 9)])

    newest = rows(lake, "recent_scans", {"datasets": ["a", "b"], "per_dataset": 2, "most_unplaced": 2})
    assert [row["scan_id"] for row in newest] == ["a2", "a1", "b"]
    assert newest[0]["added"] == 2
    assert newest[0]["changes"] == changes
    assert newest[0]["unplaced"] == unplaced[:2]
    assert newest[0]["unplaced_total"] == 3
    assert (newest[2]["unplaced"], newest[2]["unplaced_total"]) == ([], 0)


def test_an_empty_lake_gives_empty_answers(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "empty")
    lake.create()
    for query, parameters in {
        "count_videos": SCOPE,
        "list_problem_videos": SCOPE | {"most": 5},
        "summarise_faces": SCOPE | EDGES,
        "summarise_tracks": SCOPE | TRACK_EDGES,
        "sample_faces": SCOPE | {"per_group": 5, "most": 5},
        "recent_scans": {"datasets": ["a"], "per_dataset": 1, "most_unplaced": 1},
    }.items():
        assert rows(lake, query, parameters) == []
