"""Pairs of a million faces: time and memory of drawing them, in one video and across videos."""

import json
import sys
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.measure import Figure, in_fresh_process, peak_mb, spent
from data_catalog.lake import Lake
from difffake.config import PairsConfig

FACES_PER_VIDEO = 40
_VIDEOS = 25_000
_VIDEOS_PER_PERSON = 5


def run() -> list[Figure]:
    """One pair a face within videos, and four reference videos' partners for every face."""
    figures = []
    for relation, what in (("same_video", "in one video"), ("reference", "with four reference videos each")):
        measured = json.loads(in_fresh_process("benchmarks.pairs", [relation, str(_VIDEOS)]))
        note = f"{_VIDEOS * FACES_PER_VIDEO:,} faces, {measured['pairs']:,} pairs; two threads"
        figures += [
            Figure(f"pairs {what}", measured["wall_s"], "s", bar=4, note=note),
            Figure(f"their memory, {relation}", measured["peak_mb"], "MB", bar=1000, note="of the whole process"),
        ]
    return figures


def draw(relation: str, videos: int) -> dict[str, float]:
    """Draw the pairs of generated faces by the pipeline's queries."""
    with TemporaryDirectory(prefix="difffake-benchmark-") as folder:
        lake = Lake(folder)
        lake.create()
        if relation == "same_video":
            config = PairsConfig()
            candidates = _faces(videos, "group_key")
            parameters = {"seed": 0, "pool_size": config.pool_size, "half_up_to": config.half_up_to}
            with spent() as measured:
                drawn = lake.query("draw_pairs", parameters, {"candidate_faces": candidates})
        else:
            relations = {"usable_faces": _usable(videos), "eligible": _eligible(videos)}
            with spent() as measured:
                drawn = lake.query(
                    "draw_pairs_across", {"seed": 0, "relation": relation, "references": 4}, relations
                )  # fmt: skip
    return {"wall_s": measured.wall_s, "peak_mb": peak_mb(), "pairs": drawn.num_rows}


def _faces(videos: int, of: str) -> pa.Table:
    """Columns `of` (a name a video) and face_id, both digests as long as real ones."""
    numbers = pa.array(range(videos * FACES_PER_VIDEO), pa.int64())
    contents = pc.utf8_lpad(pc.divide(numbers, FACES_PER_VIDEO).cast(pa.string()), 64, "0")
    return pa.table({of: contents, "face_id": pc.utf8_lpad(numbers.cast(pa.string()), 32, "0")})


def _usable(videos: int) -> pa.Table:
    faces = _faces(videos, "video_sha256")
    rows = faces.num_rows
    return faces.append_column("role", pa.array(["density"] * rows)).append_column(
        "track_id", pa.array([0] * rows, pa.int16())
    )


def _eligible(videos: int) -> pa.Table:
    """Everybody has five videos, each of which may be compared with the four others."""
    rows = [
        (f"{first:064d}", f"{other:064d}")
        for person in range(0, videos, _VIDEOS_PER_PERSON)
        for first in range(person, person + _VIDEOS_PER_PERSON)
        for other in range(person, person + _VIDEOS_PER_PERSON)
        if first != other
    ]
    firsts, others = zip(*rows, strict=True)
    return pa.table({"role": ["density"] * len(rows), "video_sha256": firsts, "reference_sha256": others})


if __name__ == "__main__":
    sys.stdout.write(json.dumps(draw(sys.argv[1], int(sys.argv[2]))))
