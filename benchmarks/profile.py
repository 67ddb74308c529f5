"""Where the time of an end-to-end run goes: seconds of each stage, and of this program's own functions.

On the demo's footage with its experiment where `difffake demo` was run, on a small one otherwise. What worker processes
do is in the stage that waits for them, and not among the functions.
"""

import cProfile
import json
import os
import pstats
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from benchmarks.measure import REPOSITORY, Figure
from benchmarks.media import FOOTAGE
from benchmarks.tiny_run import server, write_config

_MOST = 15
_OWN = ("difffake", "data_catalog")


def run() -> list[Figure]:
    """Each stage's share of the whole, then the functions that take longest by themselves and what they call."""
    with tempfile.TemporaryDirectory(prefix="difffake-benchmark-") as folder:
        place = Path(folder)
        config = _demo(place) or write_config(place)
        with server(place) as environment:
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.profile", str(config), str(place / "home")],
                env=os.environ | environment,
                cwd=REPOSITORY,
                stdout=subprocess.PIPE,
                text=True,
                check=True,
                timeout=3600,
            )
    measured = json.loads(done.stdout.splitlines()[-1])
    whole = measured["whole_s"]
    stages = [
        Figure(f"stage {name}", seconds, "s", note=f"{seconds / whole:.0%} of {whole:.0f} s")
        for name, seconds in measured["stages"].items()
    ]
    functions = [
        Figure(name, cumulative, "s", note=f"{own:.2f} s in itself, {calls} calls")
        for name, cumulative, own, calls in measured["functions"]
    ]
    return [Figure("imports", measured["imports_s"], "s"), *stages, *functions]


def _demo(place: Path) -> Path | None:
    """The demo's experiment on its footage, if that is there."""
    for root in (REPOSITORY / FOOTAGE, Path.cwd() / FOOTAGE):
        if root.is_dir():
            dataset = {
                "name": "demo", "adapter": "faceforensics", "root": str(root),
                "identities": str(root / "identities.csv"),
            }  # fmt: skip
            config = place / "demo.yaml"
            content = {"extends": str(REPOSITORY / "configs" / "demo.yaml"), "datasets": [dataset]}
            config.write_text(yaml.safe_dump(content), encoding="utf-8")
            return config
    return None


def _measure(config: Path, home: Path) -> dict[str, Any]:
    started = time.perf_counter()
    from flows.end_to_end import end_to_end

    imports_s = time.perf_counter() - started
    started = time.perf_counter()
    profile = cProfile.Profile()
    outcome = profile.runcall(end_to_end, config, home=home)
    whole_s = time.perf_counter() - started
    stages = {name: record.seconds for name, record in outcome.records.items()}
    stages["everything else"] = whole_s - sum(stages.values())
    return {"imports_s": imports_s, "whole_s": whole_s, "stages": stages, "functions": _functions(profile)}


def _functions(profile: cProfile.Profile) -> list[tuple[str, float, float, int]]:
    """Name, cumulative seconds, seconds in itself and calls of own functions below the stages, longest first."""
    found = []
    stats: dict[tuple[str, int, str], tuple[int, int, float, float, Any]] = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    for (file, _, name), (_, calls, own, cumulative, _) in stats.items():
        path = Path(file)
        is_own = path.is_relative_to(REPOSITORY) and path.relative_to(REPOSITORY).parts[0] in _OWN
        if is_own and not name.startswith("<"):
            found.append((f"{path.relative_to(REPOSITORY).with_suffix('')}:{name}", cumulative, own, calls))
    return sorted(found, key=lambda row: -row[1])[:_MOST]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_measure(Path(sys.argv[1]), Path(sys.argv[2]))))
