"""How time and memory grow from 1,000 to 100,000 videos; memory is counted beyond what is loaded before.

`python -m benchmarks growth` gives the figures, `python -m benchmarks.growth FILE.png` the picture.
"""

import json
import math
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
from matplotlib.figure import Figure as Picture

from benchmarks import density, pairs, refresh
from benchmarks.measure import Figure, in_fresh_process, peak_mb, resident_mb, spent
from data_catalog.lake import Lake
from data_catalog.schemas import TABLES, TableName
from difffake.config import DensityConfig
from difffake.differential.density import build_density

SIZES = (1_000, 10_000, 100_000)
_PAIRS_A_VIDEO = 2
_DIMENSIONS = 256
# n log n from 10,000 to 100,000 is 12.5 times as much.
_MOST = math.log10(12.5) + 0.1

Curve = dict[int, dict[str, float]]


def run() -> list[Figure]:
    """The exponents over the last tenfold step."""
    return [figure for name, curve in _curves().items() for figure in _figures(name, curve)]


def exponent(curve: Sequence[tuple[int, float]]) -> float:
    """Of the power law through the last two points: 1 is linear."""
    (n, before), (m, after) = sorted(curve)[-2:]
    return math.log(after / before) / math.log(m / n)


def _figures(name: str, curve: Curve) -> list[Figure]:
    found = []
    for what, unit in (("wall_s", "s"), ("peak_mb", "MB")):
        points = [(size, values[what]) for size, values in curve.items()]
        note = ", ".join(f"{size:,}: {value:.3g} {unit}" for size, value in points)
        kind = "time" if what == "wall_s" else "memory"
        found.append(Figure(f"{kind} of {name}, exponent", exponent(points), "", bar=_MOST, note=note))
    return found


def _curves() -> dict[str, Curve]:
    """Each stage at each size, in a process of its own."""
    curves: dict[str, Curve] = {"refresh": {size: _of_refresh(size) for size in SIZES}}
    for stage, (what, _) in _STAGES.items():
        curves[what] = {
            size: dict(json.loads(in_fresh_process("benchmarks.growth", [stage, str(size)], threads=2)))
            for size in SIZES
        }
    return curves


def _of_refresh(videos: int) -> dict[str, float]:
    measured = refresh.at_size(videos)
    return {"wall_s": measured["scan_s"] + measured["plan_s"], "peak_mb": measured["scan_mb"] - measured["loaded_mb"]}


def _of_density(videos: int) -> dict[str, float]:
    drawn = density.vectors(videos * _PAIRS_A_VIDEO, _DIMENSIONS, 0)
    with spent() as measured:
        build_density(DensityConfig(model="subspace_gmm", max_iterations=20), 0).fit(drawn)
    return {"wall_s": measured.wall_s, "peak_mb": peak_mb()}


def _of_scoring(videos: int) -> dict[str, float]:
    """Which videos have no score yet: all but one have one."""
    now = datetime.now(UTC)
    contents = [f"{number:064d}" for number in range(videos)]
    log = {
        "video_sha256": contents, "video_key": [f"big/{number}" for number in range(videos)],
        "extraction": ["growth"] * videos, "status": ["ok"] * videos, "reason": [""] * videos,
        "frames_sampled": [40] * videos, "faces_found": [40] * videos, "extracted_at": [now] * videos,
    }  # fmt: skip
    schema = TABLES[TableName.SCORES].schema
    scored = {
        "video_key": log["video_key"][1:], "video_sha256": contents[1:], "detector": ["growth"] * (videos - 1),
        "status": ["scored"] * (videos - 1), "reason": [""] * (videos - 1),
    }  # fmt: skip
    with TemporaryDirectory(prefix="difffake-benchmark-") as folder:
        lake = Lake(folder)
        lake.create()
        lake.append_missing(TableName.EXTRACTION_LOG, pa.table(log).cast(TABLES[TableName.EXTRACTION_LOG].schema))
        rest = {
            field.name: pa.nulls(videos - 1, field.type)
            if field.nullable
            else pa.array([0] * (videos - 1)).cast(field.type)
            for field in schema
            if field.name not in scored
        }
        lake.upsert(TableName.SCORES, pa.table(scored | rest).select(schema.names).cast(schema))
        roles = pa.table({"video_key": log["video_key"], "sha256": contents})
        with spent() as measured:
            pending = lake.query("pending_scores", {"extraction": "growth", "detector": "growth"}, {"roles": roles})
    if pending.num_rows != 1:
        raise RuntimeError(f"one video has no score, and {pending.num_rows} are said to have none")
    return {"wall_s": measured.wall_s, "peak_mb": peak_mb()}


_STAGES: dict[str, tuple[str, Callable[[int], dict[str, float]]]] = {
    "pairs": ("pairs, 40 faces a video", lambda videos: pairs.draw("same_video", videos)),
    "density": (f"density, {_PAIRS_A_VIDEO} pairs a video × {_DIMENSIONS}", _of_density),
    "scoring": ("plan of what is to be scored", _of_scoring),
}


def draw(curves: dict[str, Curve]) -> Picture:
    """Time and memory over the number of videos, on logarithmic axes."""
    picture = Picture(figsize=(9, 4), layout="constrained")
    for axes, what, label in zip(
        picture.subplots(1, 2), ("wall_s", "peak_mb"), ("seconds", "peak memory beyond imports, MB"), strict=True
    ):
        for name, curve in curves.items():
            axes.loglog(list(curve), [values[what] for values in curve.values()], marker="o", label=name)
        first = [values[what] for curve in curves.values() for values in curve.values()]
        guide = [min(first) * size * math.log(size) / (SIZES[0] * math.log(SIZES[0])) for size in SIZES]
        axes.loglog(SIZES, guide, linestyle=":", color="grey", label="n log n")
        axes.set(xlabel="videos", ylabel=label)
        axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend(fontsize="small")
    return picture


if __name__ == "__main__":
    if sys.argv[1].endswith(".png"):
        measured = _curves()
        draw(measured).savefig(Path(sys.argv[1]), dpi=150)
        for name, curve in measured.items():
            for figure in _figures(name, curve):
                sys.stdout.write(f"{figure.what}: {figure.value:.2f} ({figure.note})\n")
    else:
        loaded_mb = resident_mb()
        cost = _STAGES[sys.argv[1]][1](int(sys.argv[2]))
        sys.stdout.write(json.dumps(cost | {"peak_mb": cost["peak_mb"] - loaded_mb}))
