"""Memory of processes that read one video after the other for hours."""

import ctypes
import ctypes.util
import gc
from functools import cache


@cache
def set_aside_what_is_loaded() -> None:
    """Once a process that is to read many videos: modules and networks are no garbage, and not looked at again."""
    gc.collect()
    gc.freeze()


def release_memory() -> None:
    """Give back what the last video's decoder held: its objects wait in reference cycles, its buffers in the allocator.

    Without it a process that has read a few 1080p videos keeps half a gigabyte. Costs milliseconds once
    `set_aside_what_is_loaded` was called, a third of a second before.
    """
    gc.collect()
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@cache
def _malloc_trim() -> "ctypes._NamedFuncPointer | None":
    """glibc's function; other C libraries have none and need none."""
    name = ctypes.util.find_library("c")
    return getattr(ctypes.CDLL(name), "malloc_trim", None) if name else None
