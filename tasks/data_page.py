"""The page of a data report: tables, figures and words as one HTML file that needs nothing beside it."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from data_catalog.schemas import TableName
from difffake.evaluation.data_figures import REMOVED, distributions_figure, face_sheet, percent, status_figure
from difffake.evaluation.plot_style import png
from tasks.data_facts import MOST_LISTED, DataFacts, Row
from tasks.experiment import Experiment, StageRecord
from tasks.page import Listing, Provenance, Table, Tile, inline, render, utc

STATUSES = {
    "ok": "faces found and kept",
    "few_faces": "too few faces of the main person: kept, not used",
    "no_face": "no face in any sampled frame",
    "truncated": "breaks off before the last sampled frame: faces up to there are kept, not used",
    "unreadable": "not a single frame could be decoded",
    "pending": "no outcome yet",
    "growing": "still being written at the last scan: left for the next",
    REMOVED: "no longer in its folder, or there under another name; what is known of it is kept",
}
CHANGES = ("removed", "changed", "relabelled", "renamed", "growing", "added")
"""What may happen to a video, gravest first."""
SCAN_COUNTS = ("present", "added", "changed", "renamed", "relabelled", "growing", "removed")

_FACES_DPI = 120


@dataclass(frozen=True)
class PreviousReport:
    """The report before this one."""

    written_at: datetime
    metrics: Mapping[str, float]


def draw_figures(facts: DataFacts) -> dict[str, bytes]:
    """File name → PNG: videos by status, distributions, faces."""
    return {
        "status.png": png(status_figure(_by_status(facts.counts))),
        "distributions.png": png(distributions_figure(facts.distributions())),
        "faces.png": png(face_sheet(facts.face_groups()), _FACES_DPI),
    }


def render_page(
    experiment: Experiment,
    facts: DataFacts,
    records: Mapping[str, StageRecord],
    checks: Sequence[str],
    figures: Mapping[str, bytes],
    provenance: Provenance,
    previous: PreviousReport | None,
) -> str:
    """The whole page as HTML."""
    scanned = records["ingest"].facts
    news = {name for name, counts in scanned.items() if any(counts.get(change, 0) for change in CHANGES)}
    now = [scan for scan in facts.last_scans if scan["dataset"] in news]
    earlier = [scan for scan in facts.last_scans if scan["dataset"] not in news]
    return render(
        "data_report.html.j2",
        names=experiment.names,
        tiles=_tiles(facts, records, previous),
        previous=previous,
        checks=checks,
        is_news=not records["ingest"].reused,
        extraction_summary=records["faces"].summary,
        changes=_changes_table(scanned),
        changed_now=_changed_videos(now, "Videos that changed"),
        changed_earlier=_changed_videos(earlier, "Where nothing changed now: what a scan last found"),
        scans=_scans_table(facts.scans),
        statuses=_status_table(facts.counts),
        kinds=_kinds_table(facts.counts),
        manipulations=_manipulation_table(facts.counts),
        problems=_problems(facts.problems),
        unplaced=_unplaced(facts.last_scans),
        figures={name.partition(".")[0]: inline(picture) for name, picture in figures.items()},
        sampled=_sampled(facts),
        provenance=provenance,
        lake=str(experiment.lake.folder),
        versions=[(table.value, experiment.lake.version(table)) for table in TableName],
        extraction=records["faces"].fingerprint,
        faces_config=experiment.config.faces.model_dump(mode="json").items(),
    )


def metrics(facts: DataFacts, records: Mapping[str, StageRecord]) -> dict[str, float]:
    """The headline numbers by name: what the last scan counted, and videos and faces as they stand."""
    scanned = {name: _total(records["ingest"].facts, name) for name in SCAN_COUNTS}
    present = [row for row in facts.counts if row["state"] == "present"]
    videos = {f"videos.{status}": sum(row.values()) for status, row in _by_status(facts.counts).items()}
    totals = {name: sum(row[name] for row in present) for name in ("videos", "faces")}
    return {**scanned, **totals, **videos}


def _tiles(facts: DataFacts, records: Mapping[str, StageRecord], previous: PreviousReport | None) -> list[Tile]:
    now = metrics(facts, records)
    before = {} if previous is None else previous.metrics

    def difference(name: str) -> str:
        change = now.get(name, 0) - before.get(name, 0)
        return f"{change:+,.0f}".replace("-", "−") if before and change else ""

    videos = int(now["videos"])
    photos = sum(row["videos"] for row in facts.counts if row["state"] == "present" and row["media"] == "photo")
    problems = facts.problems[0]["total"] if facts.problems else 0
    usable = int(now["videos.ok"])
    return [
        Tile("videos", f"{videos:,}", difference("videos"), f"{photos:,} of them photos" if photos else "present"),
        Tile("faces", f"{int(now['faces']):,}", difference("faces"), "stored, of present videos"),
        Tile("usable", f"{usable:,}", difference("videos.ok"), f"{percent(usable, videos)} of the videos"),
        Tile("without usable faces", f"{problems:,}", "", "listed below with the reason" if problems else "none"),
        Tile("new", f"{int(now['added']):,}", "", "in this refresh"),
        Tile("removed", f"{int(now['removed']):,}", "", "in this refresh"),
    ]


def _by_status(counts: Sequence[Row]) -> dict[str, dict[str, int]]:
    """Status → dataset → videos: those that occur, and ok; in the order of `STATUSES`, others after them."""
    present = {row["status"] for row in counts} | {"ok"}
    found: dict[str, dict[str, int]] = {status: {} for status in (*STATUSES, *sorted(present - set(STATUSES)))}
    for row in counts:
        of_status = found[row["status"]]
        of_status[row["dataset"]] = of_status.get(row["dataset"], 0) + row["videos"]
    return {status: videos for status, videos in found.items() if status in present}


def _status_table(counts: Sequence[Row]) -> Table:
    videos, faces = _sums(counts, "videos", _status), _sums(counts, "faces", _status)
    total = sum(videos.values()) - videos[REMOVED]
    shares = {status: "" if status == REMOVED else percent(videos[status], total) for status in _by_status(counts)}
    rows = [
        (status, STATUSES.get(status, ""), videos[status], share, faces[status]) for status, share in shares.items()
    ]
    return _with_total(("status", "meaning", "videos", "share", "faces"), rows, texts=2)


def _kinds_table(counts: Sequence[Row]) -> Table:
    """Present videos by dataset and split against label."""
    present = [row for row in counts if row["state"] == "present"]
    labels = [label for label in ("real", "fake", "unknown") if label != "unknown" or label in _labels(present)]
    columns = [(label, what) for what in ("videos", "faces") for label in labels]
    sums = {what: _sums(present, what, lambda row: (_split(row), row["label"])) for what in ("videos", "faces")}
    places = sorted({_split(row) for row in present}, key=lambda place: (place[0], _SPLIT_ORDER.get(place[1], 3)))
    rows = [(*place, *(sums[what][(place, label)] for label, what in columns)) for place in places]
    head = ("dataset", "split", *(f"{label} {what}" for label, what in columns))
    return _with_total(head, rows, texts=2)


def _labels(rows: Sequence[Row]) -> set[str]:
    return {row["label"] for row in rows}


def _manipulation_table(counts: Sequence[Row]) -> Table:
    """Present videos by dataset, label and manipulation against compression."""
    present = [row for row in counts if row["state"] == "present"]
    levels = sorted({row["compression"] or "" for row in present}, key=lambda level: (level == "", level))
    videos = _sums(present, "videos", lambda row: (_making(row), row["compression"] or ""))
    faces = _sums(present, "faces", _making)
    kinds = sorted({_making(row) for row in present}, key=lambda kind: (kind[0], kind[1] != "real", kind[2]))
    rows = [(*kind, *(videos[(kind, level)] for level in levels), faces[kind]) for kind in kinds]
    head = ("dataset", "label", "manipulation", *(level or "no level" for level in levels), "faces")
    return _with_total(head, rows, texts=3)


def _changes_table(scanned: Mapping[str, Mapping[str, int]]) -> Table:
    names = (*SCAN_COUNTS, "unchanged", "without_split", "unplaced")
    head = (
        "dataset", "found", "new", "changed", "renamed", "relabelled", "being written", "removed", "as before",
        "in no split", "not placed",
    )  # fmt: skip
    rows = [(dataset, *(counts.get(name, 0) for name in names)) for dataset, counts in sorted(scanned.items())]
    return _with_total(head, rows, texts=1)


def _changed_videos(scans: Sequence[Row], title: str) -> Listing:
    """What the scans found, gravest first, each dataset in its turn."""
    numbered = [(scan, place, change) for scan in scans for place, change in enumerate(scan["changes"])]
    numbered.sort(key=lambda row: (CHANGES.index(row[2]["change"]), row[1]))
    rows = [
        (change["change"], change["video_key"], change["detail"], utc(scan["scanned_at"]))
        for scan, _, change in numbered[:MOST_LISTED]
    ]
    total = sum(scan[name] for scan in scans for name in CHANGES)
    return Listing(title, Table(("change", "video", "detail", "scan"), rows, texts=4), total)


def _scans_table(scans: Sequence[Row]) -> Table:
    head = ("scan", "dataset", "found", "new", "changed", "renamed", "relabelled", "being written", "removed")
    rows = [(utc(scan["scanned_at"]), scan["dataset"], *(scan[name] for name in SCAN_COUNTS)) for scan in scans]
    return Table(head, rows, texts=2)


def _problems(problems: Sequence[Row]) -> Listing:
    rows = [(row["status"], row["video_key"], row["reason"], row["uri"]) for row in problems]
    total = problems[0]["total"] if problems else 0
    return Listing("Videos without usable faces", Table(("status", "video", "reason", "file"), rows, texts=4), total)


def _unplaced(scans: Sequence[Row]) -> Listing:
    """The first unplaced files of each dataset in turn, so that no dataset hides another's."""
    numbered = [(place, scan["dataset"], item) for scan in scans for place, item in enumerate(scan["unplaced"])]
    first = sorted(numbered, key=lambda row: row[:2])[:MOST_LISTED]
    rows = sorted((dataset, item["file"], item["reason"]) for _, dataset, item in first)
    total = sum(scan["unplaced_total"] for scan in scans)
    return Listing("Files not placed", Table(("dataset", "file", "reason"), rows, texts=3), total)


def _sampled(facts: DataFacts) -> Listing:
    rows: list[tuple[object, ...]] = []
    numbers: Counter[tuple[object, ...]] = Counter()
    for row in facts.sample.to_pylist():
        kind = (row["dataset"], row["label"], row["manipulation"])
        numbers[kind] += 1
        rows.append((*kind, str(numbers[kind]), row["video_key"], f"{row['time_s']:.2f} s"))
    head = ("dataset", "label", "manipulation", "place", "video", "at")
    return Listing("Which videos these faces are from", Table(head, rows, texts=6), len(rows))


_SPLIT_ORDER = {"train": 0, "val": 1, "test": 2}


def _status(row: Row) -> str:
    return str(row["status"])


def _split(row: Row) -> tuple[str, str]:
    return row["dataset"], row["split"] or "none"


def _making(row: Row) -> tuple[str, str, str]:
    return row["dataset"], row["label"], row["manipulation"] or ("not stated" if row["label"] == "fake" else "")


def _sums(rows: Sequence[Row], what: str, key: Callable[[Row], object]) -> Counter[object]:
    sums: Counter[object] = Counter()
    for row in rows:
        sums[key(row)] += row[what]
    return sums


def _with_total(head: tuple[str, ...], rows: Sequence[Sequence[Any]], texts: int) -> Table:
    """A table whose last row sums up the whole numbers of the others, if there are several."""
    if len(rows) < 2:
        return Table(head, rows, texts)
    columns = list(zip(*rows, strict=True))[texts:]
    sums = (sum(column) if all(isinstance(value, int) for value in column) else "" for column in columns)
    return Table(head, [*rows, ("all", *[""] * (texts - 1), *sums)], texts, has_total=True)


def _total(scanned: Mapping[str, Mapping[str, int]], name: str) -> int:
    return sum(counts.get(name, 0) for counts in scanned.values())
