"""A Dask cluster of this machine's cores against its worker processes: the same refresh, the same tables."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from shutil import copyfile
from typing import Any

import yaml
from distributed import LocalCluster

from benchmarks.measure import REPOSITORY, Figure, median_of
from benchmarks.media import sample_videos
from benchmarks.tiny_run import server
from data_catalog.home import Home
from data_catalog.schemas import TableName

_REPEATS = 3
_RUN = """
import json, sys
from pathlib import Path
from difffake.config import DatasetSpec
from flows.refresh import refresh
config, home, root = sys.argv[1:]
done = refresh(Path(config), [DatasetSpec(name="own", adapter="folder", root=root)], Path(home))
print(json.dumps({"seconds": done.records["faces"].seconds}))
"""


def run() -> list[Figure]:
    """How much longer the extraction of one sample takes on the cluster."""
    cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory(prefix="difffake-benchmark-") as folder:
        place = Path(folder)
        reals = place / "videos" / "real"
        reals.mkdir(parents=True)
        for number, video in enumerate(sample_videos("FaceForensics++")):
            copyfile(video, reals / f"{number:03d}{video.suffix}")
        with (
            server(place) as environment,
            LocalCluster(n_workers=cores, threads_per_worker=1, dashboard_address=None, host="127.0.0.1") as cluster,
        ):
            alone = environment | {"OMP_NUM_THREADS": "1"}
            ratio, spread = median_of(
                _REPEATS, lambda: _ratio(place, {"workers": cores}, cluster.scheduler_address, alone)
            )
    note = f"[floor: {cores} worker processes] 23 FaceForensics++ videos, {cores} workers of one thread; {spread}"
    return [Figure("extraction on a Dask cluster of this machine", ratio, "x", note=note)]


def _ratio(place: Path, runner: dict[str, Any], scheduler: str, environment: dict[str, str]) -> float:
    alone, faces = _refresh(place, runner, environment)
    cluster, faces_there = _refresh(place, runner | {"dask_scheduler": scheduler}, environment)
    if faces != faces_there:
        raise RuntimeError("the cluster extracted other faces than the worker processes")
    return cluster / alone


def _refresh(place: Path, runner: dict[str, Any], environment: dict[str, str]) -> tuple[float, list[str]]:
    name = f"home-{time.monotonic_ns()}"
    config = place / f"{name}.yaml"
    config.write_text(yaml.safe_dump({"faces": {"detector": "blazeface"}, "runner": runner}), encoding="utf-8")
    home = place / name
    done = subprocess.run(
        [sys.executable, "-c", _RUN, str(config), str(home), str(place / "videos")],
        env=os.environ | environment,
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=1800,
    )
    faces = Home(home).lake.read(TableName.FACES, ["face_id"])["face_id"].to_pylist()
    return float(json.loads(done.stdout.splitlines()[-1])["seconds"]), sorted(faces)
