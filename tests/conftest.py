"""Settings every test worker needs before torch is imported."""

import os

# Test workers fill the cores already; threads that spin for each other make each test many times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("MPLBACKEND", "agg")
