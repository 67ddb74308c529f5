"""Memory in a process of its own, as a worker has it."""

import platform
import subprocess
import sys

import pytest

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


FAULTS = """
import ctypes, resource, threading
from difffake.memory import keeping_freed_memory, share_one_arena

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]

def faults(rounds):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        block = libc.malloc(ctypes.c_size_t(48 << 20))
        libc.memset(block, 1, 48 << 20)
        libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def measure():
    faults(1)
    outside = faults(4)
    with keeping_freed_memory():
        faults(1)
        with keeping_freed_memory():
            inside = faults(4)
        still = faults(4)
    faults(1)
    print(outside, inside, still, faults(4))

share_one_arena()
thread = threading.Thread(target=measure)
thread.start()
thread.join()
"""
PAGES_OF_48_MB = 48 * 2**20 // 4096


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are not told")
def test_freed_memory_is_used_again_in_threads_too_and_given_back_afterwards() -> None:
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    outside, inside, still, afterwards = (int(part) for part in done.stdout.split())
    assert outside > 3 * PAGES_OF_48_MB
    assert inside < 0.1 * PAGES_OF_48_MB
    assert still < 0.1 * PAGES_OF_48_MB
    assert afterwards > 3 * PAGES_OF_48_MB
