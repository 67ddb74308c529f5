"""Pairs of a million faces: time and memory of drawing them, in one video and across videos."""

import json
import sys
from tempfile import TemporaryDirectory

import duckdb
import pyarrow as pa

from benchmarks.measure import Figure, in_fresh_process, peak_mb, spent
from data_catalog.lake import Lake
from data_catalog.pair_drawing import draw_across, draw_within
from difffake.config import PairsConfig, Relation

FACES_PER_VIDEO = 40
_VIDEOS = 25_000
_VIDEOS_PER_PERSON = 5
_REFERENCES = 4
# Names like real ones: as long, and in no order.
_USABLE = """
SELECT 'density' AS role, sha256((n // $per_video)::VARCHAR) AS video_sha256, 0::SMALLINT AS track_id,
    md5(n::VARCHAR) AS face_id
FROM range($videos * $per_video) AS numbers(n)
"""
# Everybody has some videos, each of which may be compared with the others.
_ELIGIBLE = """
SELECT 'density' AS role, sha256(judged::VARCHAR) AS video_sha256, sha256(other::VARCHAR) AS reference_sha256
FROM range($videos) AS videos(judged), range($per_person) AS others(place),
    LATERAL (SELECT judged - judged % $per_person + place AS other)
WHERE other <> judged
"""
_FLOOR = "SELECT max(md5(video_sha256 || face_id)) FROM usable_faces"


def run() -> list[Figure]:
    """One pair a face within videos, one with another video, and four reference videos' partners for every face."""
    figures = []
    for relation, what in {
        "same_video": "in one video",
        "cross_video": "with another video each",
        "reference": f"with {_REFERENCES} reference videos each",
    }.items():
        measured = json.loads(in_fresh_process("benchmarks.pairs", [relation, str(_VIDEOS)]))
        note = f"{_VIDEOS * FACES_PER_VIDEO:,} faces, {measured['pairs']:,} pairs; two threads"
        floor = measured["floor_s"] * measured["pairs"] / (_VIDEOS * FACES_PER_VIDEO)
        held = f"of the whole process; faces {measured['faces_mb']:.0f} MB"
        figures += [
            Figure(f"pairs {what}", measured["wall_s"], "s", bar=4, note=note),
            Figure(f"pairs {what}", measured["cpu_s"] / measured["pairs"] * 1e6, "CPU s a million"),
            Figure(f"pairs {what}", measured["cpu_s"] / floor, "x", note="[floor: one digest a pair]"),
            Figure(f"their memory, {relation}", measured["peak_mb"], "MB", bar=1000, note=held),
        ]
    return figures


def usable_faces(videos: int) -> pa.Table:
    """Columns role, video_sha256, track_id and face_id of generated faces, forty a video."""
    return _made(_USABLE, videos=videos, per_video=FACES_PER_VIDEO)


def draw(relation: Relation, videos: int) -> dict[str, float]:
    """Draw the pairs of generated faces by the pipeline's queries."""
    faces = usable_faces(videos)
    with TemporaryDirectory(prefix="difffake-benchmark-") as folder:
        lake = Lake(folder)
        lake.create()
        if relation == "same_video":
            candidates = faces.select(["video_sha256", "face_id"]).rename_columns(["group_key", "face_id"])
            with spent() as measured:
                # The videos lie one after the other, as the query that lists them has them.
                count = sum(part.num_rows for part in draw_within(lake, candidates, PairsConfig(), 0))
        else:
            eligible = _made(_ELIGIBLE, videos=videos, per_person=_VIDEOS_PER_PERSON)
            across = PairsConfig(relation=relation, references=_REFERENCES)
            with spent() as measured:
                # Each part is written before the next is drawn.
                count = sum(part.num_rows for part in draw_across(lake, faces, eligible, across, 0))
    peak = peak_mb()
    with duckdb.connect() as connection, spent() as floor:
        connection.register("usable_faces", faces).execute(_FLOOR).fetchall()
    return {
        "wall_s": measured.wall_s, "cpu_s": measured.cpu_s, "floor_s": floor.cpu_s, "peak_mb": peak,
        "pairs": count, "faces_mb": faces.nbytes / 1e6,
    }  # fmt: skip


def _made(text: str, **parameters: int) -> pa.Table:
    with duckdb.connect() as connection:
        return connection.sql(text, params=parameters).to_arrow_table()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(draw(sys.argv[1], int(sys.argv[2]))))
