"""The files of an evaluation: its table for people, and the pairs and frames its scores were made of."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from difffake.evaluation.robustness import RobustnessRow
from difffake.evaluation.rows import EvaluationRow
from difffake.scores import Examination

PAIRS = "pairs.parquet"
FRAMES = "frames.parquet"

_VIDEO_COLUMNS = [("video_key", pa.string()), ("track_id", pa.int16())]
_PAIR_COLUMNS = [("base_id", pa.string()), ("partner_id", pa.string()), ("log_likelihood", pa.float64())]
_FRAME_COLUMNS = [("face_id", pa.string()), ("fake_probability", pa.float32())]


def write_table(table: Sequence[EvaluationRow | RobustnessRow], path: Path) -> None:
    """One line a row, six digits a figure; the last column says once why the columns it names are empty."""
    rows = [row.to_dict() for row in table]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(rows[0])
        writer.writerows([_cell(value) for value in row.values()] for row in rows)


def write_samples(examined: Mapping[str, Examination], folder: Path) -> None:
    """The pairs and faces of the judged person of every scored video, in `PAIRS` and `FRAMES`."""
    scored = [(key, one) for key, one in sorted(examined.items()) if one.score.status == "scored"]
    pairs = [
        (key, one.score.track_id, base, partner, float(value))
        for key, one in scored
        for (base, partner), value in zip(_judged(one), one.log_likelihood, strict=True)
    ]
    frames = [
        (key, one.score.track_id, face_id, float(value))
        for key, one in scored
        if one.fake_probability is not None
        for face_id, value in zip(one.face_ids, one.fake_probability, strict=True)
    ]
    _write(pairs, [*_VIDEO_COLUMNS, *_PAIR_COLUMNS], folder / PAIRS)
    _write(frames, [*_VIDEO_COLUMNS, *_FRAME_COLUMNS], folder / FRAMES)


def _judged(examined: Examination) -> Sequence[tuple[str, str | None]]:
    """The pairs that were judged, or the faces without a partner where they were judged singly."""
    return examined.pairs or [(face_id, None) for face_id in examined.face_ids]


def _write(rows: Sequence[tuple[object, ...]], columns: Sequence[tuple[str, pa.DataType]], path: Path) -> None:
    by_column = zip(*rows, strict=True) if rows else [()] * len(columns)
    arrays = [pa.array(values, kind) for values, (_, kind) in zip(by_column, columns, strict=True)]
    pq.write_table(pa.Table.from_arrays(arrays, schema=pa.schema(columns)), path)


def _cell(value: object) -> object:
    if isinstance(value, float):
        return f"{value:.6g}"
    if not isinstance(value, dict):
        return value
    columns: dict[str, list[str]] = {}
    for column, reason in value.items():
        columns.setdefault(reason, []).append(column)
    return "; ".join(f"{reason} ({', '.join(names)})" for reason, names in columns.items())
