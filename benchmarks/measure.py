"""What a figure is, and how processes are measured."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Figure:
    """One measured number.

    Attributes:
        what: what was measured.
        value: the number.
        unit: its unit; `x` for a ratio to the floor named in `note`.
        bar: the value it must not pass; None when it only informs.
        better: on which side of the bar it must lie.
        note: floor, sample, spread.
    """

    what: str
    value: float
    unit: str
    bar: float | None = None
    better: Literal["lower", "higher"] = "lower"
    note: str = ""

    @property
    def is_met(self) -> bool | None:
        """Whether the bar is met; None without one."""
        if self.bar is None:
            return None
        return self.value <= self.bar if self.better == "lower" else self.value >= self.bar


@dataclass
class Spent:
    """CPU and wall time of a block, in seconds."""

    cpu_s: float = 0.0
    wall_s: float = 0.0


@contextmanager
def spent() -> Iterator[Spent]:
    """Measure this process's CPU and wall time over a block."""
    measured = Spent()
    cpu, wall = time.process_time(), time.perf_counter()
    yield measured
    measured.cpu_s, measured.wall_s = time.process_time() - cpu, time.perf_counter() - wall


@contextmanager
def spent_by_children() -> Iterator[Spent]:
    """Measure the wall time of a block, and the CPU time of the processes that end in it, theirs included."""
    measured = Spent()
    before, wall = os.times(), time.perf_counter()
    yield measured
    after, measured.wall_s = os.times(), time.perf_counter() - wall
    measured.cpu_s = after.children_user + after.children_system - before.children_user - before.children_system


def median_of(repeats: int, work: Callable[[], float]) -> tuple[float, str]:
    """The median of several measurements, and their spread in words."""
    values = sorted(work() for _ in range(repeats))
    return statistics.median(values), f"median of {repeats}, {values[0]:.3g} to {values[-1]:.3g}"


def resident_mb() -> float:
    """Memory this process holds now, in MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def peak_mb() -> float:
    """The most memory this process has held, in MB; `ru_maxrss` would begin with its parent's."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024 / 1e6


def in_fresh_process(module: str, arguments: Sequence[str], timeout_s: float = 1800, threads: int = 1) -> str:
    """Run a module of this package alone, with so many threads a library; its standard output."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env=environment,
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=timeout_s,
    )
    return done.stdout
