"""Slots of the server: two runs that want the only one have it one after the other."""

from itertools import pairwise

import pytest

from tests.flows.conftest import Program

pytestmark = [pytest.mark.xdist_group("batch"), pytest.mark.slow]

HOLDER = """
import time
from prefect import flow
from tasks.gpu import hold

@flow
def holder():
    with hold("slots-under-test"):
        begun = time.time()
        time.sleep(1)
        print("held", begun, time.time(), flush=True)

holder()
"""


def test_a_slot_nobody_made_is_one_and_is_held_by_one_run_at_a_time(program: Program) -> None:
    runs = [program.start_code(HOLDER) for _ in range(3)]
    told = [run.communicate(timeout=200)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0]
    lines = [line.split() for text in told for line in text.splitlines() if line.startswith("held")]
    held = sorted((float(begun), float(ended)) for _, begun, ended in lines)
    assert len(held) == 3
    assert all(ended <= begun for (_, ended), (begun, _) in pairwise(held))
