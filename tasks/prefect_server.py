"""Prefect's server with its garbage collected beside the event loop: `python -P -m tasks.prefect_server server start`.

Each of the server's connections to SQLite has a thread of its own. Python's collector runs in whatever thread makes
the next object, mostly the event loop. If it throws away a cursor of a connection whose thread waits for the database,
the loop waits for that thread, and whoever holds the database needs the loop to let go of it: until SQLite's patience
ends after a minute, the server answers nobody (Prefect 3.9.1, aiosqlite 0.22.1; seen in its stack, with three commands
at work). A thread that does nothing else may wait.
"""

import gc
import itertools
import runpy
import threading
import time

_PAUSE_S = 1.0
_OLD_EVERY = 60
"""After so many pauses, what has outlived earlier looks is looked at again."""


def collect_beside(pause_s: float = _PAUSE_S) -> None:
    """From now on this process's garbage is collected by a thread of its own; another has to ask for it."""
    gc.disable()
    threading.Thread(target=_collect, args=(pause_s,), name="garbage", daemon=True).start()


def _collect(pause_s: float) -> None:
    for pauses in itertools.count(1):
        time.sleep(pause_s)
        gc.collect(2 if pauses % _OLD_EVERY == 0 else 1)


if __name__ == "__main__":
    collect_beside()
    runpy.run_module("prefect", run_name="__main__", alter_sys=True)
