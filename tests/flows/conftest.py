"""One footage folder and one Prefect server for all flow tests; they share a worker (`xdist_group`)."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from sqlite3 import connect

import numpy as np
import pytest
import yaml

from data_catalog.footage.builder import FootageSummary
from data_catalog.home import Home
from data_catalog.schemas import TableName
from difffake.video_writing import write_video
from tasks import services
from tests.helpers.common import common_folder, one_at_a_time
from tests.helpers.footage import common_footage
from tests.helpers.media import aged, astronaut_rgb
from tests.helpers.mlflow_database import empty_database, give_database
from tests.helpers.preloaded import FRESH_WORKERS, PROGRAM_MODULES, Preloaded, Started

# Training videos no face can be had from, and what becomes of them.
BAD_VIDEOS = {"900": "unreadable", "901": "unreadable", "902": "few_faces"}
REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAM = (sys.executable, "-c", "from flows.cli import main; main()")
# Of Prefect's server: workers are tested with servers of their own, and these look around all the time.
_UNUSED_SERVICES = ("LATE_RUNS", "FOREMAN", "PAUSE_EXPIRATIONS", "CANCELLATION_CLEANUP", "REPOSSESSOR")
SCHEDULER_LOOP_S = 5
"""How often the scheduler of tests' servers looks for runs to make; once a minute in use."""
SCHEDULER_SETTINGS = {"PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": str(SCHEDULER_LOOP_S)}
SMALL_SHARDS = {"videos_per_shard": 2}
"""Where a run is to be caught between two of them; each costs Prefect a quarter of a second of CPU time."""
_MAKES_A_DATABASE = frozenset({"run", "refresh", "ablate"})
TINY = {
    "name": "tiny",
    "data": {"train_compression": "c23", "test_compression": "c23"},
    "faces": {"detector": "blazeface", "frames_per_video": 8, "crop_size_px": 96},
    "pseudo_fakes": {"colour_strength": "strong"},
    "backbone": {
        "model": "tf_efficientnet_lite0",
        "pretrained": "wheel",
        "normalisation": "pretrained",
        "input_size_px": 32,
        "epochs": 3,
        "faces_per_video_per_epoch": 4,
        "batch_pairs": 8,
        "keep_best": 2,
        "device": "cpu",
    },
    "density": {
        "components": 2,
        "covariance": "diag",
        "covariance_floor": 1.0,
        "covariance_floor_unit": "data_variance",
    },
    "calibration": {"false_positive_rate": 0.05},
    "evaluation": {"bootstrap_resamples": 50},
    "robustness": {},
    "runner": {"videos_per_shard": 6, "workers": 1},
}


@dataclass(frozen=True)
class Program:
    """The program under test, a Prefect server it uses, and a folder for its configurations.

    Attributes:
        database: an empty one of MLflow's, for work folders that have none; None: each makes its own.
        server_database: one of Prefect's in which nothing has run, for servers of a test's own.
    """

    folder: Path
    environment: dict[str, str]
    preloaded: Preloaded
    database: Path | None
    server_database: Path

    def config(self, name: str, datasets: Sequence[Mapping[str, object]] = (), **changes: dict[str, object]) -> Path:
        """An experiment file with tiny values, but for the given sections."""
        content: dict[str, object] = changes | {
            key: (value | changes.get(key, {})) if isinstance(value, dict) else value for key, value in TINY.items()
        }
        content["datasets"] = [dict(dataset) for dataset in datasets]
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    def call(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Any command of the program."""
        self._prepare(arguments, environment)
        return self.preloaded.call(arguments, os.environ | self.environment | environment, REPOSITORY, timeout_s=300)

    def start(self, *arguments: str, **environment: str) -> Started:
        """Any command of the program, not waited for."""
        self._prepare(arguments, environment)
        return self.preloaded.start(arguments, os.environ | self.environment | environment, REPOSITORY)

    def run_code(self, code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Python code that uses the program, as by `python -c`."""
        settings = os.environ | self.environment | environment
        return self.preloaded.call(arguments, settings, REPOSITORY, timeout_s=300, code=code)

    def start_code(self, code: str, *arguments: str, **environment: str) -> Started:
        """Python code that uses the program, not waited for."""
        return self.preloaded.start(arguments, os.environ | self.environment | environment, REPOSITORY, code)

    def _prepare(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        # Prefect has read its own settings when it was imported.
        assert not any(name.startswith("PREFECT_") for name in environment)
        is_at_home = self.database is not None and "MLFLOW_TRACKING_URI" not in environment
        if is_at_home and arguments[0] in _MAKES_A_DATABASE and "--home" in arguments:
            give_database(Home(Path(arguments[arguments.index("--home") + 1])), self.database)


@dataclass(frozen=True)
class Bench(Program):
    """A program with footage to run on."""

    footage: FootageSummary

    def arguments(self, home: Path, config: Path, *more: str, root: Path | None = None) -> list[str]:
        """Of a whole run."""
        identities = ["--identities", str(self.footage.identities)] if root is None else []
        return [
            "run", "--config", str(config),
            "--dataset", "faceforensics", "--root", str(root or self.footage.root), *identities,
            "--home", str(home), *more,
        ]  # fmt: skip

    def run(self, home: Path, config: Path, *more: str, root: Path | None = None) -> subprocess.CompletedProcess[str]:
        return self.call(*self.arguments(home, config, *more, root=root))


def add_bad_videos(root: Path) -> None:
    """A text file, a video whose index was cut off and one of three frames, all in the training split."""
    videos = root / "original_sequences/youtube/c23/videos"
    splits = json.loads((root / "splits/train.json").read_text())
    (videos / "900.mp4").write_text("this is not a video\n")
    face = astronaut_rgb()[:256, 100:356]
    whole_path = root / "whole.mp4"
    write_video(whole_path, [np.roll(face, shift, axis=1) for shift in range(40)], fps=10, crf=10)
    whole = whole_path.read_bytes()
    (videos / "901.mp4").write_bytes(whole[: len(whole) * 6 // 10])
    whole_path.unlink()
    write_video(videos / "902.mp4", [face] * 3, fps=10, crf=20)
    (root / "splits/train.json").write_text(json.dumps([*splits, ["900", "901"], ["902", "903"]]))


def copy_faces(finished: Path, home: Path) -> None:
    """Begin a home with the faces of a finished run, and nothing that was learnt from them."""
    for table in (TableName.VIDEOS, TableName.SCANS, TableName.EXTRACTION_LOG, TableName.FACES):
        shutil.copytree(finished / "lake" / table, home / "lake" / table)


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory, plain: Preloaded) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("flows")
    # One server for the tests of all processes, as for all commands of a work folder.
    common = common_folder(tmp_path_factory)
    server_home = Home(common / "server")
    port = _common_port(common / "prefect.port")
    environment = services.prefect_environment(server_home, port) | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as beside:
        for name in _UNUSED_SERVICES:
            patch.setenv(f"PREFECT_SERVER_SERVICES_{name}_ENABLED", "false")
        for name, value in SCHEDULER_SETTINGS.items():
            patch.setenv(name, value)
        # Both take their time to start.
        address = common / "program.socket"
        preloading = beside.submit(Preloaded, address, environment, REPOSITORY, PROGRAM_MODULES, plain)
        service = services.share(server_home, "prefect", port, services.start_prefect)
        preloaded = preloading.result()
    assert service.port == port
    # Making one takes longer than a server's start.
    server_database = common / "prefect.db"
    with one_at_a_time(server_database):
        if not server_database.exists():
            with closing(connect(server_home.prefect / "prefect.db")) as of_server:
                of_server.execute("VACUUM INTO ?", (str(server_database),))
    try:
        yield Program(folder, environment, preloaded, empty_database(tmp_path_factory), server_database)
    finally:
        preloaded.close()
        services.leave(server_home, service)


def _common_port(note: Path) -> int:
    """The port of the server of all test processes."""
    with one_at_a_time(note):
        if not note.exists():
            note.write_text(str(services.free_port()))
    return int(note.read_text())


@pytest.fixture(scope="session")
def footage(tmp_path_factory: pytest.TempPathFactory) -> FootageSummary:
    """That of all test processes, which only read it."""
    common = common_folder(tmp_path_factory)
    _, small = common_footage(common)
    root = common / "FaceForensics++"
    with one_at_a_time(root):
        if not root.exists():
            partial = root.with_name(f"{root.name}.partial")
            shutil.copytree(small.root, partial, dirs_exist_ok=True)
            add_bad_videos(partial)
            aged(partial).rename(root)
    return replace(small, root=root, identities=root / small.identities.name)


@pytest.fixture(scope="session")
def bench(footage: FootageSummary, program: Program) -> Bench:
    """The footage first: another test process may be waiting for the server."""
    return Bench(**vars(program), footage=footage)


@pytest.fixture(scope="session")
def finished(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A home after an undisturbed run, whose worker processes say on its error output what they import.

    That of all test processes: to be copied, not to be changed.
    """
    home = common_folder(tmp_path_factory) / "finished"
    run = home.with_name("finished.json")
    with one_at_a_time(home):
        if not run.exists():
            arguments = bench.arguments(home, bench.config("base"))
            told = {FRESH_WORKERS: "1", "PYTHONPROFILEIMPORTTIME": "1"}
            done = replace(bench, database=None).call(*arguments, **told)
            run.write_text(json.dumps([done.args, done.returncode, done.stdout, done.stderr]))
    return home, subprocess.CompletedProcess(*json.loads(run.read_text()))
