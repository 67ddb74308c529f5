"""The same experiment again, nothing changed: what is left to do, beyond a server that is up."""

import re

from benchmarks.measure import Figure
from benchmarks.tiny_run import tiny_run

_REPEATS = 3
_BAR_S = 20


def run() -> list[Figure]:
    """Wall and CPU time of a run that reuses everything."""
    with tiny_run() as made:

        def again() -> tuple[float, float]:
            cost, said = made.again()
            outcomes = re.findall(r"^│ \w+\s+│ (done|reused)\s+│", said, re.MULTILINE)
            if not outcomes or set(outcomes) != {"reused"} or "0 videos opened now" not in " ".join(said.split()):
                raise RuntimeError(f"something was done again:\n{said}")
            return cost.wall_s, cost.cpu_s

        again()
        costs = sorted(again() for _ in range(_REPEATS))
    wall_s, cpu_s = costs[_REPEATS // 2]
    note = f"every stage reused, no video opened; median of {_REPEATS}, {costs[0][0]:.3g} to {costs[-1][0]:.3g}"
    return [
        Figure("rerun of a whole experiment, nothing changed", wall_s, "s", bar=_BAR_S, note=note),
        Figure("its CPU time", cpu_s, "CPU s", note="imports included"),
    ]
