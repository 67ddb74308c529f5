"""Refresh bookkeeping at size: scanning and diffing a folder of 100,000 videos against as many known rows."""

import hashlib
import json
import os
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.measure import Figure, in_fresh_process, peak_mb, resident_mb, spent
from benchmarks.media import sample_videos
from data_catalog.datasets import get_adapter
from data_catalog.home import Home
from data_catalog.inventory import take_inventory
from data_catalog.lake import Lake
from data_catalog.schemas import TABLES, TableName
from data_catalog.storage import Folder
from difffake.config import DatasetSpec, FacesConfig
from difffake.faces.extraction import extract_faces
from difffake.faces.records import face_id
from tasks.faces import PendingVideo, cached_finder, extract_shard

VIDEOS = 100_000
_PER_FOLDER = 1000
_FACES_A_VIDEO = 4
_VIDEOS_A_COMMIT = 10_000
_EXTRACTION = "benchmark"


def run() -> list[Figure]:
    """A scan that finds nothing new, its diff, the plan of what is to be extracted; and a refresh of one new video."""
    measured = at_size(VIDEOS)
    note = f"{VIDEOS:,} files, nothing new; {measured['present']:,} videos found"
    return [
        Figure(
            "refresh of one new video, beyond extracting it",
            measured["one_new_s"] - measured["extract_s"],
            "s",
            bar=20,
            note=f"{VIDEOS:,} videos and {VIDEOS * _FACES_A_VIDEO:,} faces without crops known; "
            f"extracting it takes {measured['extract_s']:.2f} s",
        ),
        Figure("scan and diff", measured["scan_s"], "s", bar=20, note=note),
        Figure("its memory", measured["scan_mb"], "MB", bar=1000, note="of the whole process"),
        Figure("plan of the extraction", measured["plan_s"], "s", note=f"{measured['pending']} videos pending"),
    ]


def at_size(videos: int) -> dict[str, Any]:
    """Every measurement of a lake of so many videos."""
    with tempfile.TemporaryDirectory(prefix="difffake-benchmark-") as folder:
        in_fresh_process("benchmarks.refresh", ["make", folder, str(videos)])
        return dict(json.loads(in_fresh_process("benchmarks.refresh", ["measure", folder])))


def _make(folder: Path, count: int) -> None:
    """A generic folder of files nobody opens, and the rows a first scan and extraction would have written."""
    root = folder / "videos"
    for start in range(0, count, _PER_FOLDER):
        place = root / ("real" if start % (2 * _PER_FOLDER) == 0 else "fake") / f"part{start // _PER_FOLDER:04d}"
        place.mkdir(parents=True)
        for number in range(start, min(start + _PER_FOLDER, count)):
            (place / f"{number:06d}.mp4").write_bytes(b"%d" % number)
    lake = Lake(folder / "lake")
    lake.create()
    place = Folder.of(root)
    entries = get_adapter("folder").scan(place).entries
    now = datetime.now(UTC)
    videos: list[dict[str, Any]] = [
        {
            "video_key": f"big/{entry.local_key}", "dataset": "big", "name": entry.name, "label": entry.label,
            "manipulation": entry.manipulation, "compression": None, "split": entry.split, "media": entry.media,
            "identity": f"big:{entry.identity}",
            "source_identity": None, "original_key": None, "uri": place.file_uri(entry.file.relative),
            "size_bytes": entry.file.size_bytes, "modified_ns": entry.file.modified_ns,
            "sha256": hashlib.sha256(b"%d" % number).hexdigest(), "fps": 25.0, "frames": 300,
            "width_px": 640, "height_px": 480, "state": "present", "registered_at": now,
        }
        for number, entry in enumerate(entries)
    ]  # fmt: skip
    log = [
        {
            "video_sha256": row["sha256"], "video_key": row["video_key"], "extraction": _EXTRACTION,
            "status": "ok", "reason": "", "frames_sampled": 40, "faces_found": _FACES_A_VIDEO, "extracted_at": now,
        }
        for row in videos
    ]  # fmt: skip
    lake.upsert(TableName.VIDEOS, pa.Table.from_pylist(videos, schema=TABLES[TableName.VIDEOS].schema))
    lake.append_missing(
        TableName.EXTRACTION_LOG, pa.Table.from_pylist(log, schema=TABLES[TableName.EXTRACTION_LOG].schema)
    )
    for start in range(0, count, _VIDEOS_A_COMMIT):
        lake.append_missing(TableName.FACES, _faces(videos[start : start + _VIDEOS_A_COMMIT]))


def _faces(videos: list[dict[str, Any]]) -> pa.Table:
    """As an extraction names them, in the order of the scan: every commit holds contents from first to last."""
    rows = [(video, frame) for video in videos for frame in range(_FACES_A_VIDEO)]
    columns = {
        "face_id": [face_id(video["sha256"], _EXTRACTION, frame, 0) for video, frame in rows],
        "video_sha256": [video["sha256"] for video, _ in rows],
        "video_key": [video["video_key"] for video, _ in rows],
        "extraction": [_EXTRACTION] * len(rows),
        "frame_index": [frame for _, frame in rows],
        "crop_jpeg": [b""] * len(rows),
        **{name: np.zeros(len(rows)) for name in ("time_s", "track_id", "track_share", "detector_score", "sharpness")},
        **{
            name: pa.FixedSizeListArray.from_arrays(np.zeros(len(rows) * width), width)
            for name, width in {"bbox_xyxy_px": 4, "landmarks_px": 136, "crop_to_frame": 6}.items()
        },
    }
    schema = TABLES[TableName.FACES].schema
    return pa.table(columns).select(schema.names).cast(schema)


def _measure(folder: Path) -> None:
    loaded_mb = resident_mb()
    lake = Lake(folder / "lake")
    spec = DatasetSpec(name="big", adapter="folder", root=str(folder / "videos"))
    with spent() as scan:
        inventory = take_inventory(lake, spec, workers=os.cpu_count() or 1)
    scan_mb = peak_mb()
    if inventory.is_news:
        raise RuntimeError(f"the prepared rows are not what a scan would write: {inventory.changes[:3]}")
    with spent() as plan:
        roles = lake.query("list_present", {"datasets": ["big"]})
        pending = lake.query("pending_extractions", {"extraction": _EXTRACTION}, {"roles": roles})
    one_new_s, extract_s = _one_new(folder, lake, spec)
    facts = {
        "one_new_s": one_new_s,
        "extract_s": extract_s,
        "scan_s": scan.wall_s,
        "scan_mb": scan_mb,
        "loaded_mb": loaded_mb,
        "plan_s": plan.wall_s,
        "present": inventory.present,
        "pending": pending.num_rows,
    }
    sys.stdout.write(json.dumps(facts))


def _one_new(folder: Path, lake: Lake, spec: DatasetSpec) -> tuple[float, float]:
    """Wall seconds of scan, plan, extraction and commit when one video was added, and of its extraction alone."""
    video = sample_videos("FaceForensics++")[0]
    copyfile(video, folder / "videos" / "real" / "part0000" / "added.mp4")
    faces = FacesConfig(detector="blazeface", frames_per_video=40)
    finder = cached_finder(faces)
    with spent() as extraction:
        extract_faces(video, "content", "extraction", faces, finder)
    with spent() as refresh:
        inventory = take_inventory(lake, spec, workers=os.cpu_count() or 1)
        roles = lake.query("list_present", {"datasets": ["big"]})
        (row,) = lake.query("pending_extractions", {"extraction": _EXTRACTION}, {"roles": roles}).to_pylist()
        extract_shard.fn(Home(folder, str(lake.folder)), faces, _EXTRACTION, (PendingVideo(**row),))
    if inventory.added != 1:
        raise RuntimeError(f"one video was added, and the scan says {inventory.added}")
    return refresh.wall_s, extraction.wall_s


if __name__ == "__main__":
    if sys.argv[1] == "make":
        _make(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        _measure(Path(sys.argv[2]))
