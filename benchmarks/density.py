"""Anomaly models at the paper's size: seconds of a fit, pairs scored a second."""

import json
import sys
import time

import numpy as np

from benchmarks.measure import Figure, in_fresh_process, median_of, peak_mb
from difffake.config import DensityConfig
from difffake.differential.density import build_density
from difffake.differential.density_base import Vectors

_PAIRS, _DIMENSIONS = 23_000, 1792
_SCORED = 20_000
_REPEATS = 3
_MODELS = {
    "one diagonal Gaussian": DensityConfig(components=1, covariance="diag"),
    "subspace of 64, three Gaussians": DensityConfig(model="subspace_gmm"),
}
_PAPER = "three full Gaussians (the paper's)"
_PAPER_ITERATIONS = 2
_FIT_BAR_S, _SPEED_BAR = 120, 20_000


def run() -> list[Figure]:
    """The models that are meant for so many pairs, against one product of the vectors with a matrix."""
    figures = []
    for name in _MODELS:
        measured = json.loads(in_fresh_process("benchmarks.density", [name], threads=2))
        barred = name.startswith("subspace")
        figures += _figures(name, measured, barred)
    return figures


def _figures(name: str, measured: dict[str, float], barred: bool) -> list[Figure]:
    note = f"{_PAIRS:,} pairs × {_DIMENSIONS}, float64"
    floor = "[floor: one product of the vectors with a square matrix]"
    return [
        Figure(f"fit, {name}", measured["fit_s"], "s", _FIT_BAR_S if barred else None, note=note),
        Figure(f"fit, {name}", measured["fit_s"] / measured["floor_s"], "x", note=floor),
        Figure(
            f"scored, {name}", measured["speed"], "pairs/s", _SPEED_BAR if barred else None, "higher",
            f"{_SCORED:,} pairs, {measured['spread']}",
        ),
        Figure(f"memory, {name}", measured["peak_mb"], "MB", note="vectors included"),
    ]  # fmt: skip


def vectors(count: int, dimensions: int, seed: int) -> Vectors:
    """Like L2-normalised squared differences: not negative, heavy-tailed, spread falling over the directions."""
    rng = np.random.default_rng(seed)
    scale = np.arange(1, dimensions + 1) ** -0.5
    drawn = np.square(rng.standard_t(5, (count, dimensions)) * rng.permutation(scale))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), np.float64)


def measure(config: DensityConfig) -> dict[str, float | str]:
    """Fit and score one model on drawn vectors."""
    training, others = vectors(_PAIRS, _DIMENSIONS, 0), vectors(_SCORED, _DIMENSIONS, 1)
    square = np.ones((_DIMENSIONS, _DIMENSIONS))

    def floor() -> float:
        started = time.perf_counter()
        np.matmul(training, square)
        return time.perf_counter() - started

    floor_s, _ = median_of(_REPEATS, floor)
    started = time.perf_counter()
    model = build_density(config, 0).fit(training)
    fit_s = time.perf_counter() - started

    def speed() -> float:
        started = time.perf_counter()
        model.log_likelihood(others)
        return _SCORED / (time.perf_counter() - started)

    scored, spread = median_of(_REPEATS, speed)
    return {"floor_s": floor_s, "fit_s": fit_s, "speed": scored, "spread": spread, "peak_mb": peak_mb()}


def run_paper() -> list[Figure]:
    """The paper's model, a few steps of it: minutes, and more memory than everything else."""
    measured = json.loads(in_fresh_process("benchmarks.density", [_PAPER], threads=2))
    step = Figure(f"a step, {_PAPER}", measured["fit_s"] / _PAPER_ITERATIONS, "s", note="initialisation included")
    return [*_figures(f"{_PAPER}, {_PAPER_ITERATIONS} steps", measured, barred=False), step]


if __name__ == "__main__":
    _models = _MODELS | {_PAPER: DensityConfig(max_iterations=_PAPER_ITERATIONS)}
    sys.stdout.write(json.dumps(measure(_models[sys.argv[1]])))
