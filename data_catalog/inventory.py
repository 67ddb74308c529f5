"""The inventory of a dataset: what a folder holds now against what the lake knows of it.

An unchanged file (same size and modification time) is not opened. A file whose time changed but whose content did not
keeps its faces, and so does one that was moved or renamed: faces hang on content. A video that is gone is marked
removed, never deleted. A file that is still being written is left for the next scan.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from data_catalog.datasets import VideoEntry, get_adapter, read_identities
from data_catalog.datasets.base import DatasetAdapter, Scan
from data_catalog.fingerprints import digest_names
from data_catalog.lake import Lake
from data_catalog.schemas import TABLES, TableName
from data_catalog.storage import Folder, digest, fetched, stat_uri, store_errors
from difffake.config import DatasetSpec
from difffake.errors import DataError, UnreadableVideoError
from difffake.photo import read_photo
from difffake.video import probe

Change = Literal["added", "changed", "renamed", "relabelled", "growing", "removed"]

_MOST_NAMED = 5
_MOST_CHANGES_KEPT = 1000
_FILES_PER_COMMIT = 1000
# A file this young may still be being written: it is looked at twice.
_YOUNG_S = 60.0
_SETTLE_S = 2.0
_UNREAD = "unread-"
# What a dataset's lists say of a video, and may say otherwise one day.
_SAID = ("label", "manipulation", "split", "identity", "source_identity", "original_key", "media")
_NO_CONTENT = {"sha256": None, "fps": None, "frames": None, "width_px": None, "height_px": None}


@dataclass(frozen=True)
class Inventory:
    """What a scan found: counts of videos, what happened to which, and the files that could not be placed, with why."""

    dataset: str
    present: int
    added: int
    changed: int
    renamed: int
    relabelled: int
    unchanged: int
    growing: int
    removed: int
    without_split: int
    changes: tuple[tuple[Change, str, str], ...]
    unplaced: tuple[tuple[str, str], ...]

    @property
    def is_news(self) -> bool:
        """Whether anything is not as it was at the scan before."""
        return bool(self.changes)


def take_inventory(
    lake: Lake,
    spec: DatasetSpec,
    workers: int,
    on_progress: Callable[[int, int], None] | None = None,
    *,
    verify: bool = False,
) -> Inventory:
    """Scan the dataset's folder and bring the `videos` table up to date; a scan that was killed goes on where it was.

    Args:
        lake: the tables.
        spec: folder, layout, and who is the same person.
        workers: threads that read new files.
        on_progress: called with files read and files to read.
        verify: read every file, to find content that changed behind the same size and time.

    Raises:
        DataError: the folder, its lists or the identities file cannot be used.
    """
    adapter = get_adapter(spec.adapter)
    folder = Folder.of(spec.root)
    scanned_at = datetime.now(UTC)
    scan = adapter.scan(folder)
    entries = _with_people(scan, adapter, spec)
    found = {f"{spec.name}/{entry.local_key}": entry for entry in entries}
    known = {row["video_key"]: row for row in lake.read(TableName.VIDEOS, where={"dataset": [spec.name]}).to_pylist()}

    _check_root(lake, spec, folder, found, known)
    rows = {key: _row(spec, folder, key, entry, known.get(key)) for key, entry in found.items()}
    to_open = [key for key, row in rows.items() if verify or not _is_untouched(row, known.get(key))]
    growing = _growing(rows, to_open)
    for key in growing:
        rows[key]["state"] = "growing"
    opened = [key for key in to_open if key not in growing]
    for part in _parts(opened):
        _read_contents({key: rows[key] for key in part}, workers, on_progress, len(opened))
        _store(lake, [rows[key] for key in part], known)
    gone = [row | {"state": "removed"} for key, row in known.items() if key not in found and row["state"] != "removed"]
    _store(lake, [*rows.values(), *gone], known)

    changes = tuple(_changes(rows, known, gone))
    kinds: tuple[Change, ...] = ("added", "changed", "renamed", "relabelled")
    counts = {kind: sum(1 for change, _, _ in changes if change == kind) for kind in kinds}
    still_growing = sum(1 for change, _, _ in changes if change == "growing")
    inventory = Inventory(
        dataset=spec.name,
        present=len(found),
        added=counts["added"],
        changed=counts["changed"],
        renamed=counts["renamed"],
        relabelled=counts["relabelled"],
        unchanged=len(found) - sum(counts.values()) - still_growing,
        growing=still_growing,
        removed=sum(1 for change, _, _ in changes if change == "removed"),
        without_split=sum(1 for entry in entries if entry.split is None),
        changes=changes,
        unplaced=tuple((item.relative, item.reason) for item in scan.unrecognised),
    )
    _log_scan(lake, spec, folder, scanned_at, inventory)
    return inventory


def check_identities(lake: Lake, roles: pa.Table) -> None:
    """Refuse a person or an original that serves both training and testing, or either and validation.

    Args:
        lake: the tables.
        roles: columns role, video_key: what each video of an experiment is for.

    Raises:
        DataError: names the people and their videos.
    """
    crossing = lake.query("check_identity_splits", relations={"roles": roles}).to_pylist()
    if not crossing:
        return
    named = "\n".join(
        f"  {row['kind']} {row['identity']}: {row['purposes']} ({row['video_keys']})" for row in crossing[:_MOST_NAMED]
    )
    more = f"\n  … and {len(crossing) - _MOST_NAMED} more" if len(crossing) > _MOST_NAMED else ""
    raise DataError(
        f"{len(crossing)} people, originals or contents appear in more than one of train, validation and test, so test "
        f"results would be worthless:\n{named}{more}\nCorrect the splits, the identities file, or the datasets' roles."
    )


def is_unread(sha256: str) -> bool:
    """Whether a digest stands for a file that could not be read."""
    return sha256.startswith(_UNREAD)


def _check_root(
    lake: Lake, spec: DatasetSpec, folder: Folder, found: Mapping[str, VideoEntry], known: Mapping[str, dict[str, Any]]
) -> None:
    """Refuse another folder under a known name: every video of the first would be marked removed.

    A folder that was moved as a whole holds most of the videos it held before.
    """
    present = [key for key, row in known.items() if row["state"] != "removed"]
    last = lake.query("last_scan", {"dataset": spec.name}).to_pylist()
    if not present or not last or last[0]["root"] == str(folder):
        return
    if sum(key in found for key in present) < len(present) / 2:
        raise DataError(
            f"the dataset {spec.name} was read from {last[0]['root']}, and {folder} holds fewer than half of its "
            f"{len(present)} videos: give the other folder a name of its own (--name)"
        )


def _with_people(scan: Scan, adapter: DatasetAdapter, spec: DatasetSpec) -> list[VideoEntry]:
    """Entries whose people are named alike in every dataset: by the overrides file, or with their name space."""
    overrides = read_identities(spec.identities)
    people = adapter.people or spec.name
    seen = {entry.identity for entry in scan.entries} | {entry.source_identity for entry in scan.entries}
    known_names = seen | scan.also_known
    unknown = sorted(set(overrides) - known_names)
    if unknown:
        raise DataError(
            f"{spec.identities} names {len(unknown)} that the dataset {spec.name} does not know, first {unknown[0]!r}; "
            f"it knows names such as {', '.join(sorted(filter(None, seen))[:3])}"
        )

    def person(name: str) -> str:
        merged = overrides.get(name, name)
        # "a is b", where b is a person of the dataset, means that person.
        is_own = merged == name or (merged in known_names and merged not in overrides)
        return f"{people}:{merged}" if is_own else merged

    return [
        replace(
            entry,
            identity=person(entry.identity),
            source_identity=None if entry.source_identity is None else person(entry.source_identity),
        )
        for entry in scan.entries
    ]


def _row(
    spec: DatasetSpec, folder: Folder, key: str, entry: VideoEntry, known: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The row of a file as the listing shows it; content as far as it is known."""
    content = (
        known if known is not None else {"registered_at": datetime.now(UTC), **_NO_CONTENT, "sha256": _unread(key)}
    )
    return {
        **content,
        "video_key": key,
        "dataset": spec.name,
        "name": entry.name,
        "label": entry.label,
        "manipulation": entry.manipulation,
        "compression": entry.compression,
        "split": entry.split,
        "media": entry.media,
        "identity": entry.identity,
        "source_identity": entry.source_identity,
        "original_key": None if entry.original is None else f"{spec.name}/{entry.original}",
        "uri": folder.file_uri(entry.file.relative),
        "size_bytes": max(entry.file.size_bytes, 0),
        "modified_ns": entry.file.modified_ns,
        "state": "present",
    }


def _is_untouched(row: Mapping[str, Any], known: Mapping[str, Any] | None) -> bool:
    if known is None or is_unread(known["sha256"]) or known["state"] == "growing":
        return False
    return all(row[name] == known[name] for name in ("size_bytes", "modified_ns", "uri"))


def _growing(rows: Mapping[str, dict[str, Any]], keys: Sequence[str]) -> set[str]:
    """Of the given videos those that are still being written: young, and another size or time a moment later."""
    now_ns = time.time_ns()
    young = [key for key in keys if now_ns - rows[key]["modified_ns"] < _YOUNG_S * 1e9]
    if not young:
        return set()
    time.sleep(_SETTLE_S)
    return {key for key in young if _has_moved_on(rows[key])}


def _has_moved_on(row: Mapping[str, Any]) -> bool:
    try:
        return stat_uri(row["uri"]) != (row["size_bytes"], row["modified_ns"])
    except store_errors():
        # Not there any more: the reading says what is to be said.
        return False


def _parts(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), _FILES_PER_COMMIT):
        yield keys[start : start + _FILES_PER_COMMIT]


def _read_contents(
    rows: Mapping[str, dict[str, Any]], workers: int, on_progress: Callable[[int, int], None] | None, total: int
) -> None:
    """Fill in what only reading the files tells."""
    with ThreadPoolExecutor(workers) as pool:
        futures = {pool.submit(_read_content, row): row for row in rows.values()}
        for done, future in enumerate(as_completed(futures), start=1):
            row, content = futures[future], future.result()
            if content["sha256"] != row["sha256"]:
                row["registered_at"] = datetime.now(UTC)
            row.update(content)
            if on_progress is not None:
                on_progress(done, total)


def _read_content(row: Mapping[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {**_NO_CONTENT, "sha256": _unread(row["video_key"])}
    try:
        with fetched(row["uri"]) as path:
            content["sha256"] = digest(path)
            content |= _measure(path, row["media"])
    except _reading_errors():
        # Still a row: extraction will say why it cannot be read.
        pass
    return content | ({"state": "growing"} if _has_moved_on(row) else {})


def _measure(path: Path, media: str) -> dict[str, Any]:
    if media == "photo":
        height, width = read_photo(path).shape[:2]
        return {"fps": None, "frames": 1, "width_px": width, "height_px": height}
    info = probe(path)
    return {"fps": info.fps, "frames": info.frames, "width_px": info.width, "height_px": info.height}


def _reading_errors() -> tuple[type[Exception], ...]:
    return (UnreadableVideoError, *store_errors())


def _unread(key: str) -> str:
    """Stands for the digest of a file that could not be read; such a file is tried again at every scan."""
    return _UNREAD + hashlib.blake2b(key.encode(), digest_size=16).hexdigest()


def _store(lake: Lake, rows: Sequence[dict[str, Any]], known: dict[str, dict[str, Any]]) -> None:
    """Write the rows that are not stored like this yet."""
    news = [row for row in rows if row != known.get(row["video_key"])]
    lake.upsert(TableName.VIDEOS, pa.Table.from_pylist(news, schema=TABLES[TableName.VIDEOS].schema))


def _changes(
    rows: Mapping[str, dict[str, Any]], known: Mapping[str, dict[str, Any]], gone: Iterable[Mapping[str, Any]]
) -> Iterator[tuple[Change, str, str]]:
    """What happened to each video that is not as it was; a rename is said once, under the new name."""
    gone = list(gone)
    left: dict[str, list[str]] = {}
    for row in gone:
        if not is_unread(row["sha256"]):
            left.setdefault(row["sha256"], []).append(row["video_key"])
    moved_from: set[str] = set()
    for key, row in rows.items():
        before = known.get(key)
        if row["state"] == "growing":
            yield "growing", key, f"{row['size_bytes']} bytes so far"
        elif before is None or before["state"] == "removed":
            if left.get(row["sha256"]):
                old_key = left[row["sha256"]].pop(0)
                moved_from.add(old_key)
                yield "renamed", key, f"was {old_key}"
            elif before is None:
                yield "added", key, ""
            else:
                yield "added", key, "is back" if before["sha256"] == row["sha256"] else "is back with other content"
        elif before["state"] == "growing" and is_unread(before["sha256"]):
            yield "added", key, "was still being written"
        elif before["sha256"] != row["sha256"]:
            yield "changed", key, f"{before['size_bytes']} → {row['size_bytes']} bytes"
        elif told := ", ".join(f"{name} {before[name]} → {row[name]}" for name in _SAID if before[name] != row[name]):
            yield "relabelled", key, told
    for key in sorted({row["video_key"] for row in gone} - moved_from):
        yield "removed", key, ""


def _log_scan(lake: Lake, spec: DatasetSpec, folder: Folder, scanned_at: datetime, inventory: Inventory) -> None:
    """Keep a scan that found something new."""
    unplaced = [{"file": file, "reason": reason} for file, reason in inventory.unplaced]
    if not inventory.is_news:
        last = lake.query("last_scan", {"dataset": spec.name}).to_pylist()
        if last and last[0]["unplaced"] == unplaced:
            return
    changes = [
        {"change": change, "video_key": key, "detail": detail}
        for change, key, detail in inventory.changes[:_MOST_CHANGES_KEPT]
    ]
    counts = ("present", "added", "changed", "renamed", "relabelled", "unchanged", "growing", "removed")
    row = {
        "scan_id": digest_names([spec.name, scanned_at.isoformat()]),
        "dataset": spec.name,
        "adapter": spec.adapter,
        "root": str(folder),
        "scanned_at": scanned_at,
        **{name: getattr(inventory, name) for name in counts},
        "changes": changes,
        "unplaced": unplaced,
    }
    lake.append_missing(TableName.SCANS, pa.Table.from_pylist([row], schema=TABLES[TableName.SCANS].schema))
