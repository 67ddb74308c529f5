"""Every module can be imported: the type checker sees two of the four rings only."""

import importlib
import pkgutil
import subprocess
import sys

import pytest

RINGS = ("difffake", "data_catalog", "tasks", "flows")


@pytest.mark.parametrize("ring", RINGS)
def test_every_module_of_a_ring_can_be_imported(ring: str) -> None:
    package = importlib.import_module(ring)
    names = [module.name for module in pkgutil.walk_packages(package.__path__, f"{ring}.")]
    assert len(names) > 5
    for name in names:
        importlib.import_module(name)


def test_who_refreshes_deploys_approves_or_promotes_loads_no_network_and_fits_nothing() -> None:
    names = ("flows.refresh", "flows.end_to_end", "flows.batch", "flows.approve", "flows.promote", "flows.maintain")
    code = f"import sys, {', '.join(names)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.split()
    assert set(names) <= set(loaded)
    assert not set(loaded) & {"torch", "sklearn", "scipy.stats", "timm"}
