"""Memory in a process of its own, as a worker has it."""

import subprocess
import sys

READER = """
import gc
from difffake.memory import _resident_bytes, release_memory

release_memory()
before = _resident_bytes()
held = [bytearray(1 << 20) for _ in range({megabytes})]
held.append(held)
del held
kept = _resident_bytes() - before
release_memory()
print(kept >> 20, (_resident_bytes() - before) >> 20)
"""


def left_after(megabytes: int) -> tuple[int, int]:
    """MB that garbage in a cycle holds before and after memory is released."""
    program = "import gc; gc.disable()" + READER.format(megabytes=megabytes)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    before, after = done.stdout.split()
    return int(before), int(after)


def test_much_garbage_is_given_back() -> None:
    before, after = left_after(300)
    assert before >= 290
    assert after < 30


def test_a_little_is_left_where_it_is() -> None:
    before, after = left_after(20)
    assert before >= 15
    assert after >= 15


def test_a_little_each_time_does_not_add_up() -> None:
    program = """
import gc
gc.disable()
from difffake.memory import _resident_bytes, release_memory
release_memory()
before = most = _resident_bytes()
for _ in range(40):
    held = [bytearray(1 << 20) for _ in range(20)]
    held.append(held)
    del held
    release_memory()
    most = max(most, _resident_bytes())
print((most - before) >> 20)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 150
