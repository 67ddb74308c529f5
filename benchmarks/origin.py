"""Where a figure comes from: commit, machine, time."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.measure import REPOSITORY


def where() -> dict[str, str | int]:
    """Commit (with a + where files differ from it), machine, cores, Python and time."""
    cpu = next(
        (line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor(),
    )
    return {
        "commit": _git("rev-parse", "--short", "HEAD") + ("+" if _git("status", "--porcelain") else ""),
        "machine": cpu,
        "cores": os.cpu_count() or 1,
        "python": platform.python_version(),
        "at": f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
    }


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(REPOSITORY), *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
