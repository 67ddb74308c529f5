"""Rows for a lake made by hand: what a test says, and plain values for the rest."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from data_catalog.lake import Lake
from data_catalog.schemas import TABLES, TableName
from difffake.faces.crop_jpeg import encode_crop
from tests.helpers.landmarks import canonical_landmarks, textured_face

EXTRACTION = "0123456789abcdef"
CROP_SIZE_PX = 64
START = datetime(2026, 11, 1, 2, 30, tzinfo=UTC)

Row = dict[str, Any]


def video(video_key: str, sha256: str, **changes: Any) -> Row:
    """A present real video of the dataset its key begins with."""
    return {
        "video_key": video_key,
        "dataset": video_key.partition("/")[0],
        "name": video_key.rpartition("/")[2],
        "label": "real",
        "manipulation": None,
        "compression": None,
        "split": None,
        "media": "video",
        "identity": "someone",
        "source_identity": None,
        "original_key": None,
        "uri": f"file:///videos/{video_key}.mp4",
        "size_bytes": 1000,
        "modified_ns": 0,
        "sha256": sha256,
        "fps": 25.0,
        "frames": 100,
        "width_px": 640,
        "height_px": 480,
        "state": "present",
        "registered_at": START,
        **changes,
    }


def outcome(sha256: str, status: str = "ok", faces_found: int = 0, **changes: Any) -> Row:
    """The outcome of a content under `EXTRACTION`."""
    return {
        "video_sha256": sha256,
        "video_key": "as/it/was/called",
        "extraction": EXTRACTION,
        "status": status,
        "reason": "" if status == "ok" else f"it is {status}",
        "frames_sampled": 10,
        "faces_found": faces_found,
        "extracted_at": START,
        **changes,
    }


def face(sha256: str, number: int, **changes: Any) -> Row:
    """A face of a content, 80 px wide and 100 px high, with a crop of its own."""
    seed = sum(sha256.encode()) * 100 + number
    return {
        "face_id": f"{sha256}-{number}",
        "video_sha256": sha256,
        "video_key": "as/it/was/called",
        "extraction": EXTRACTION,
        "frame_index": number,
        "time_s": number / 25,
        "track_id": 0,
        "track_share": 1.0,
        "bbox_xyxy_px": [10.0, 20.0, 90.0, 120.0],
        "detector_score": 0.9,
        "landmarks_px": canonical_landmarks(CROP_SIZE_PX).ravel().tolist(),
        "crop_jpeg": encode_crop(textured_face(CROP_SIZE_PX, seed), 95),
        "crop_to_frame": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        "sharpness": 50.0,
        **changes,
    }


def scan(scan_id: str, dataset: str, day: int = 0, **changes: Any) -> Row:
    """A scan on a day after `START` that found nothing."""
    counts = ("present", "added", "changed", "renamed", "relabelled", "unchanged", "growing", "removed")
    return {
        "scan_id": scan_id,
        "dataset": dataset,
        "adapter": "folder",
        "root": "/videos",
        "scanned_at": START + timedelta(days=day),
        **dict.fromkeys(counts, 0),
        "changes": [],
        "unplaced": [],
        **changes,
    }


def fill(lake: Lake, table: TableName, rows: Sequence[Row]) -> None:
    """Write the rows, in place of those of the same key."""
    lake.upsert(table, pa.Table.from_pylist(list(rows), schema=TABLES[table].schema))
