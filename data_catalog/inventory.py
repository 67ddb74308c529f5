"""The inventory of a dataset: what a folder holds now against what the lake knows of it.

An unchanged file (same size and modification time) is not opened. A file whose time changed but whose content did
not keeps its faces. A video that is gone is marked removed, never deleted.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from data_catalog.datasets import DatasetSpec, VideoEntry, get_adapter, read_identities
from data_catalog.fingerprints import digest_file
from data_catalog.lake import Lake
from data_catalog.schemas import TABLES, TableName
from difffake.errors import DataError, UnreadableVideoError
from difffake.video import probe

_MOST_NAMED = 5
UNREAD = "unread"
"""Stands for the digest of a file that could not be read; such a file is tried again at every scan."""


@dataclass(frozen=True)
class Inventory:
    """What a scan found: counts of videos, and the files that could not be placed with the reason for each."""

    dataset: str
    present: int
    added: int
    changed: int
    unchanged: int
    removed: int
    without_split: int
    unrecognised: tuple[tuple[str, str], ...]


def take_inventory(
    lake: Lake, spec: DatasetSpec, workers: int, on_progress: Callable[[int, int], None] | None = None
) -> Inventory:
    """Scan the dataset's folder and bring the `videos` table up to date in one commit.

    Raises:
        DataError: the folder, its lists or the identities file cannot be used; a person crosses splits.
    """
    scan = get_adapter(spec.adapter).scan(spec.root.resolve(), read_identities(spec.identities))
    known = {row["video_key"]: row for row in lake.read(TableName.VIDEOS, where={"dataset": [spec.name]}).to_pylist()}
    found = {f"{spec.name}/{entry.local_key}": entry for entry in scan.entries}

    to_open = {key: entry for key, entry in found.items() if not _is_untouched(entry, known.get(key))}
    contents = _read_contents(to_open, workers, on_progress)
    rows = [_video_row(spec, key, entry, contents.get(key), known.get(key)) for key, entry in found.items()]
    gone = [row | {"state": "removed"} for key, row in known.items() if key not in found and row["state"] == "present"]
    news = [row for row in rows if row != known.get(row["video_key"])]
    lake.upsert(TableName.VIDEOS, pa.Table.from_pylist(news + gone, schema=TABLES[TableName.VIDEOS].schema))

    changed = sum(1 for key in contents if key in known and contents[key]["sha256"] != known[key]["sha256"])
    added = sum(1 for key in found if key not in known)
    return Inventory(
        dataset=spec.name,
        present=len(found),
        added=added,
        changed=changed,
        unchanged=len(found) - added - changed,
        removed=len(gone),
        without_split=sum(1 for entry in scan.entries if entry.split is None),
        unrecognised=tuple((str(item.path), item.reason) for item in scan.unrecognised),
    )


def check_identities(lake: Lake, datasets: Iterable[str]) -> None:
    """Refuse a person who is seen in more than one split.

    Raises:
        DataError: names the people and their videos.
    """
    crossing = lake.query("check_identity_splits", {"datasets": list(datasets)}).to_pylist()
    if not crossing:
        return
    named = "\n".join(f"  {row['identity']}: {row['splits']} ({row['video_keys']})" for row in crossing[:_MOST_NAMED])
    more = f"\n  … and {len(crossing) - _MOST_NAMED} more" if len(crossing) > _MOST_NAMED else ""
    raise DataError(
        f"{len(crossing)} people appear in more than one split, so test results would be worthless:\n{named}{more}\n"
        "Correct the splits, or the identities file."
    )


def _is_untouched(entry: VideoEntry, row: dict[str, Any] | None) -> bool:
    if row is None or row["sha256"] == UNREAD:
        return False
    try:
        stat = entry.path.stat()
    except OSError:
        return False
    same = (row["size_bytes"], row["modified_ns"], row["uri"]) == (stat.st_size, stat.st_mtime_ns, entry.path.as_uri())
    return same and row["state"] == "present"


def _read_contents(
    entries: dict[str, VideoEntry], workers: int, on_progress: Callable[[int, int], None] | None
) -> dict[str, dict[str, Any]]:
    contents: dict[str, dict[str, Any]] = {}
    with ThreadPoolExecutor(workers) as pool:
        futures = {pool.submit(_read_content, entry.path): key for key, entry in entries.items()}
        for done, future in enumerate(as_completed(futures), start=1):
            contents[futures[future]] = future.result()
            if on_progress is not None:
                on_progress(done, len(entries))
    return contents


def _read_content(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = {
        "size_bytes": 0,
        "modified_ns": 0,
        "sha256": UNREAD,
        "fps": None,
        "frames": None,
        "width_px": None,
        "height_px": None,
    }
    try:
        stat = path.stat()
        content |= {"size_bytes": stat.st_size, "modified_ns": stat.st_mtime_ns}
        content["sha256"] = digest_file(path)
        info = probe(path)
    except (UnreadableVideoError, OSError):
        # Still a row: extraction will say why it cannot be read.
        return content
    return content | {"fps": info.fps, "frames": info.frames, "width_px": info.width, "height_px": info.height}


def _video_row(
    spec: DatasetSpec, key: str, entry: VideoEntry, content: dict[str, Any] | None, known: dict[str, Any] | None
) -> dict[str, Any]:
    described = {
        "video_key": key,
        "dataset": spec.name,
        "name": entry.name,
        "label": entry.label,
        "manipulation": entry.manipulation,
        "compression": entry.compression,
        "split": entry.split,
        "identity": entry.identity,
        "source_identity": entry.source_identity,
        "original_key": None if entry.original is None else f"{spec.name}/{entry.original}",
        "uri": entry.path.as_uri(),
        "state": "present",
    }
    row = (known or {}) | (content or {}) | described
    if known is None or row["sha256"] != known["sha256"]:
        row["registered_at"] = datetime.now(UTC)
    if missing := set(TABLES[TableName.VIDEOS].schema.names) - set(row):
        raise DataError(f"video {key} lacks the columns {sorted(missing)}")
    return row
