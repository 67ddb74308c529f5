"""Each thing that must never be is found, and a sound lake gives no finding."""

from typing import Any

import pyarrow as pa
import pytest

from data_catalog.lake import Lake

SOUND: dict[str, list[dict[str, Any]]] = {
    "videos": [{"video_key": "a"}, {"video_key": "b"}],
    "faces": [{"face_id": "f", "video_sha256": "1", "extraction": "x"}],
    "extraction_log": [
        {"video_sha256": "1", "extraction": "x", "faces_found": 1},
        {"video_sha256": "2", "extraction": "x", "faces_found": 0},
    ],
    "roles": [
        {"video_key": "a", "sha256": "1", "label": "real"},
        {"video_key": "b", "sha256": "2", "label": "fake"},
    ],
}


def findings(lake: Lake, tables: dict[str, list[dict[str, Any]]]) -> list[str]:
    relations = {name: pa.Table.from_pylist(rows) for name, rows in tables.items()}
    return lake.query("check_tables", {"extraction": "x"}, relations)["finding"].to_pylist()


@pytest.fixture
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return Lake(tmp_path_factory.mktemp("lake"))


def test_a_sound_lake_gives_no_finding(lake: Lake) -> None:
    assert findings(lake, SOUND) == []


def test_what_another_refresh_is_about_to_vouch_for_is_no_finding(lake: Lake) -> None:
    in_flight = {"face_id": "g", "video_sha256": "of another dataset", "extraction": "x"}
    assert findings(lake, SOUND | {"faces": [*SOUND["faces"], in_flight]}) == []


@pytest.mark.parametrize(
    ("table", "row", "finding"),
    [
        ("videos", {"video_key": "a"}, "video_key occurs twice in videos"),
        ("faces", {"face_id": "f", "video_sha256": "9", "extraction": "x"}, "face_id occurs twice in faces"),
        (
            "extraction_log",
            {"video_sha256": "2", "extraction": "x", "faces_found": 0},
            "a content has two outcomes in extraction_log",
        ),
        (
            "extraction_log",
            {"video_sha256": "3", "extraction": "x", "faces_found": 4},
            "an outcome names other faces than are stored",
        ),
        ("roles", {"video_key": "c", "sha256": "3", "label": "real"}, "a present video has no outcome"),
        ("roles", {"video_key": "c", "sha256": "1", "label": "fake"}, "one content is labelled real and fake"),
    ],
)
def test_what_must_never_be_is_found(lake: Lake, table: str, row: dict[str, Any], finding: str) -> None:
    assert findings(lake, SOUND | {table: [*SOUND[table], row]}) == [finding]
