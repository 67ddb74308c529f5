"""The server's garbage is collected by a thread that may wait."""

import subprocess
import sys
from pathlib import Path

from tasks import services
from tests.flows.conftest import REPOSITORY

_CYCLES = """
import gc, threading, time
from tasks import prefect_server

collected_by = []

class Cursor:
    def __init__(self):
        self.itself = self

    def __del__(self):
        collected_by.append(threading.current_thread().name)

prefect_server._OLD_EVERY = 5
prefect_server.collect_beside(pause_s=0.01)
long_lived = Cursor()
for _ in range(10_000):
    Cursor()

def wait_for(count):
    deadline = time.monotonic() + 30
    while len(collected_by) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(collected_by) == count, len(collected_by)

wait_for(10_000)
# It has outlived looks at what is new.
del long_lived
wait_for(10_001)
assert set(collected_by) == {"garbage"}, set(collected_by)
assert threading.active_count() == 2
"""


def test_garbage_is_collected_beside_what_makes_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _CYCLES], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_it_is_prefects_own_command_line_in_a_folder_that_has_tasks_too(tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "__init__.py").touch()

    def told(*program: str) -> str:
        command = [*program, "server", "start", "--help"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True).stdout

    assert told(*services.PREFECT) == told(sys.executable, "-m", "prefect")
