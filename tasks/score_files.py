"""Score files: inputs in, one examination each out; and the table of them in four formats."""

import io
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from data_catalog.storage import describe_error, fetched, store_errors
from difffake.detector import Detector, Device
from difffake.judgement import COLUMNS, Judgement, VideoExamination
from difffake.limits import InputLimits
from difffake.memory import release_memory, set_aside_what_is_loaded
from difffake.scores import VideoScore
from tasks.score_inputs import ScoreInput

Format = Literal["table", "json", "csv", "parquet"]

_TYPES = {
    "person": pa.int32(),
    "score": pa.float64(),
    "p_value": pa.float64(),
    "false_positive_rate": pa.float64(),
    "differential": pa.float64(),
    "fake_probability": pa.float64(),
    "fusion": pa.float64(),
    "faces_used": pa.int32(),
    "pairs_used": pa.int32(),
    "first_s": pa.float64(),
    "last_s": pa.float64(),
    "share_of_frames": pa.float64(),
    "reference_score": pa.float64(),
    "reference_p_value": pa.float64(),
    "reference_distance": pa.float64(),
    "references": pa.int32(),
}
SCHEMA = pa.schema([pa.field(name, _TYPES.get(name, pa.string())) for name in COLUMNS])

logger = logging.getLogger("difffake.tasks.score")


def examine_files(
    detector: Detector,
    inputs: Sequence[ScoreInput],
    references: Sequence[Path] = (),
    device: Device = "auto",
    limits: InputLimits | None = None,
) -> Iterator[VideoExamination]:
    """Examine each input in turn; one that cannot be had or read is a judgement with the reason."""
    limits = limits or InputLimits()
    set_aside_what_is_loaded()
    for entry in inputs:
        if entry.reason:
            yield _not_read(detector, entry, entry.reason)
            continue
        try:
            with fetched(entry.uri) as path:
                examined = detector.examine(path, device, references, limits)
        except store_errors() as error:
            yield _not_read(detector, entry, describe_error(error))
            continue
        yield VideoExamination(examined.judgement.renamed(entry.name), examined.people)
        release_memory()


def table_of(judgements: Sequence[Judgement]) -> pa.Table:
    """One row a person, and one of every file without."""
    rows = [row for judgement in judgements for row in judgement.rows()]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def encode(judgements: Sequence[Judgement], form: Format) -> bytes:
    """The table as JSON (a list of rows), CSV or Parquet."""
    return encode_table(table_of(judgements), form)


def encode_table(table: pa.Table, form: Format) -> bytes:
    """A table as JSON (a list of rows), CSV or Parquet."""
    if form == "json":
        return (json.dumps(table.to_pylist(), indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
    buffer = io.BytesIO()
    if form == "csv":
        pa.csv.write_csv(table, buffer)
    else:
        pq.write_table(table, buffer)
    return buffer.getvalue()


def _not_read(detector: Detector, entry: ScoreInput, reason: str) -> VideoExamination:
    score = VideoScore("failed", f"unreadable: {reason}")
    return VideoExamination(Judgement(entry.name, score, detector.settings.verdict), ())
