"""Every module can be imported: the type checker sees two of the four rings only."""

import importlib
import pkgutil

import pytest

RINGS = ("difffake", "data_catalog", "tasks", "flows")


@pytest.mark.parametrize("ring", RINGS)
def test_every_module_of_a_ring_can_be_imported(ring: str) -> None:
    package = importlib.import_module(ring)
    names = [module.name for module in pkgutil.walk_packages(package.__path__, f"{ring}.")]
    assert len(names) > 5
    for name in names:
        importlib.import_module(name)
