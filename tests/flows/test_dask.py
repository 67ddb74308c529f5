"""A Dask cluster of two worker processes, the tables on an object store: the same rows as on this machine alone."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from data_catalog.home import Home
from data_catalog.schemas import TableName
from tests.flows.conftest import Bench, Program
from tests.helpers.detector import face_clip, saved_for_this_installation
from tests.helpers.s3 import BUCKET, s3_server

distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")

pytestmark = [pytest.mark.xdist_group("flows"), pytest.mark.slow]


@pytest.fixture(scope="module")
def store() -> Iterator[dict[str, str]]:
    with s3_server() as environment:
        yield environment


@pytest.fixture(scope="module")
def scheduler(store: dict[str, str]) -> Iterator[str]:
    """Workers begin with the environment of their cluster: the store's credentials are in it."""
    assert store
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        yield str(cluster.scheduler_address)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_for_this_installation(tmp_path_factory.mktemp("model"))


def rows(home: Path, lake: str, table: TableName, columns: list[str]) -> list[dict[str, object]]:
    found = Home(home, lake).lake.read(table, columns).to_pylist()
    return sorted(found, key=lambda row: str(list(row.values())))


def test_videos_are_extracted_and_scored_on_the_cluster_as_on_one_machine(
    program: Program, store: dict[str, str], scheduler: str, model: Path, tmp_path: Path
) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    for number in range(3):
        face_clip(videos / f"v{number}.mp4", 7 * number)
    (videos / "broken.mp4").write_text("no video")

    def score(name: str, *more: str) -> str:
        lake = f"s3://{BUCKET}/{name}"
        place = ("--home", str(tmp_path / name), "--lake", lake, "--root", str(videos), "--model", str(model))
        done = program.call("score-batch", *place, "--workers", "2", *more, **store)
        assert done.returncode == 2, done.stdout + done.stderr
        assert "4 videos (3 scored, 1 failed)" in done.stdout
        return lake

    alone = score("alone")
    cluster = score("cluster", "--dask-scheduler", scheduler)
    compared = {
        TableName.FACES: ["face_id", "frame_index", "crop_jpeg"],
        TableName.EXTRACTION_LOG: ["video_sha256", "status", "faces_found"],
        TableName.SCORES: ["video_key", "status", "score", "p_value", "pairs_used"],
    }
    for table, columns in compared.items():
        expected = rows(tmp_path / "alone", alone, table, columns)
        assert expected
        assert rows(tmp_path / "cluster", cluster, table, columns) == expected
    # The workers did it, not the process that asked them.
    with distributed.Client(scheduler) as client:
        done = client.run(lambda: __import__("sys").modules.get("tasks.batch") is not None)
    assert all(done.values())


def test_an_experiment_run_on_the_cluster_has_the_tables_of_one_machine(
    bench: Bench, store: dict[str, str], scheduler: str, finished: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    alone, done = finished
    assert done.returncode == 0, done.stderr
    lake = f"s3://{BUCKET}/experiment"
    home = bench.folder / "on-the-cluster"
    config = bench.config("cluster", runner={"dask_scheduler": scheduler})
    identities = ("--identities", str(bench.footage.identities))
    where = ("--dataset", "faceforensics", "--root", str(bench.footage.root), *identities, "--home", str(home))
    run = bench.call("run", "--config", str(config), *where, "--lake", lake, **store)
    assert run.returncode == 0, run.stdout + run.stderr

    same = {
        TableName.FACES: ["face_id", "crop_jpeg"],
        TableName.EXTRACTION_LOG: ["video_sha256", "status", "reason", "faces_found"],
        TableName.PSEUDO_FAKES: ["pseudo_fake_id", "recipe"],
        TableName.PAIRS: ["pair_set", "base_id", "partner_id"],
    }
    for table, columns in same.items():
        expected = rows(alone, str(Home(alone).lake.folder), table, columns)
        assert expected
        assert rows(home, lake, table, columns) == expected
    # The network learnt from the same batches, to the bit; rounding depends on how many faces are embedded at once.
    (weights,), (expected_weights,) = (
        [path.read_bytes() for path in (place / "artefacts/backbone").rglob("backbone.safetensors")]
        for place in (home, alone)
    )
    assert weights == expected_weights
    embedded, expected_embedded = (
        {row["face_id"]: row["features"] for row in rows(place, lake_of, TableName.EMBEDDINGS, ["face_id", "features"])}
        for place, lake_of in ((home, lake), (alone, str(Home(alone).lake.folder)))
    )
    assert embedded.keys() == expected_embedded.keys()
    for name, features in expected_embedded.items():
        np.testing.assert_allclose(embedded[name], features, atol=1e-4)
    # The workers did it, not the process that asked them.
    with distributed.Client(scheduler) as client:
        modules = ("tasks.faces", "tasks.embeddings")
        loaded = client.run(lambda: [name in __import__("sys").modules for name in modules])
        kinds = client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.task_prefixes))
    assert all(all(names) for names in loaded.values())
    assert "make_batch" in kinds
