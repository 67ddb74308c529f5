"""The paper's anomaly model at its size; see benchmarks.density."""

from benchmarks.density import run_paper as run

__all__ = ["run"]
