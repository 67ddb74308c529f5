"""What a command costs before it does anything."""

import subprocess
import sys

from benchmarks.measure import Figure, median_of, spent_by_children

_REPEATS = 5


def run() -> list[Figure]:
    """CPU seconds of `difffake --help`, and against Python's own start."""
    _cpu_s(_HELP)
    seconds, spread = median_of(_REPEATS, lambda: _cpu_s(_HELP))
    ratio, _ = median_of(_REPEATS, lambda: _cpu_s(_HELP) / _cpu_s("pass"))
    return [
        Figure("difffake --help", seconds, "CPU s", bar=0.6, note=spread),
        Figure("difffake --help", ratio, "x", note="[floor: python -c pass]"),
    ]


_HELP = "import sys; sys.argv = ['difffake', '--help']; from flows.cli import main; main()"


def _cpu_s(code: str) -> float:
    with spent_by_children() as measured:
        subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=True)
    return measured.cpu_s
