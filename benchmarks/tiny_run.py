"""A whole run in a minute: stand-in footage, a small network, a Prefect server that is already up."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.measure import REPOSITORY, Spent, spent_by_children
from data_catalog.home import Home
from tasks import services
from tests.helpers.footage import small_footage

_CONFIG = {
    "name": "benchmark",
    "data": {"train_compression": "c23", "test_compression": "c23"},
    "faces": {"detector": "blazeface", "frames_per_video": 8, "crop_size_px": 96},
    "pseudo_fakes": {"colour_strength": "strong"},
    "backbone": {
        "model": "tf_efficientnet_lite0",
        "pretrained": "wheel",
        "normalisation": "pretrained",
        "input_size_px": 64,
        "epochs": 3,
        "faces_per_video_per_epoch": 4,
        "batch_pairs": 8,
        "device": "cpu",
    },
    "density": {"components": 1, "covariance": "diag"},
    "evaluation": {"bootstrap_resamples": 50},
}


@dataclass(frozen=True)
class TinyRun:
    """Where it is, and what its processes find the server by."""

    config: Path
    home: Path
    environment: dict[str, str]

    def again(self) -> tuple[Spent, str]:
        """Run the same command; what it cost and what it said."""
        command = "from flows.cli import main; main()"
        arguments = ["run", "--config", str(self.config), "--home", str(self.home)]
        with spent_by_children() as measured:
            done = subprocess.run(
                [sys.executable, "-c", command, *arguments],
                env=os.environ | self.environment,
                cwd=REPOSITORY,
                capture_output=True,
                text=True,
                check=False,
                timeout=1800,
            )
        if done.returncode != 0:
            raise RuntimeError(f"the run failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return measured, done.stdout


@contextmanager
def server(place: Path) -> Iterator[dict[str, str]]:
    """A Prefect server with its database below a folder; the environment its users want."""
    home = Home(place / "server")
    service = services.share(home, "prefect", services.free_port(), services.start_prefect)
    try:
        yield services.prefect_environment(home, service.port) | {"OMP_WAIT_POLICY": "PASSIVE"}
    finally:
        services.leave(home, service)


def write_config(place: Path) -> Path:
    """The experiment, with footage made for it."""
    footage = small_footage(place / "FaceForensics++")
    dataset = {
        "name": "ff", "adapter": "faceforensics", "root": str(footage.root), "identities": str(footage.identities),
    }  # fmt: skip
    config = place / "tiny.yaml"
    config.write_text(yaml.safe_dump(_CONFIG | {"datasets": [dataset]}), encoding="utf-8")
    return config


@contextmanager
def tiny_run() -> Iterator[TinyRun]:
    """A run that has been made once."""
    with tempfile.TemporaryDirectory(prefix="difffake-benchmark-") as folder:
        place = Path(folder)
        config = write_config(place)
        with server(place) as environment:
            made = TinyRun(config, place / "home", environment)
            made.again()
            yield made
