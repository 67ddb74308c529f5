"""Memory of processes that read one video after the other for hours."""

import ctypes
import ctypes.util
import gc
import os
from functools import cache
from pathlib import Path

_WORTH_RELEASING = 96 * 2**20
"""Bytes; a 720p video leaves about half as much."""
_held_after_last_release = -_WORTH_RELEASING


@cache
def set_aside_what_is_loaded() -> None:
    """Once a process that is to read many videos: modules and networks are no garbage, and not looked at again."""
    gc.collect()
    gc.freeze()


def release_memory() -> None:
    """Give back what the last video's decoder held: its objects wait in reference cycles, its buffers in the allocator.

    Without it a process that has read a few 1080p videos keeps half a gigabyte. It costs tens of milliseconds (a third
    of a second where `set_aside_what_is_loaded` was not called), and what is given back has to be asked for again: so
    little is left as it is.
    """
    global _held_after_last_release
    held = _resident_bytes()
    if held - _held_after_last_release < _WORTH_RELEASING:
        _held_after_last_release = min(_held_after_last_release, held)
        return
    give_back_memory()
    _held_after_last_release = _resident_bytes()


def give_back_memory() -> None:
    """Collect garbage, and return what the allocator holds for nobody, however little it is."""
    gc.collect()
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


def _resident_bytes() -> int:
    """Memory this process holds; where no /proc tells, so much more at every call that it is always worth releasing."""
    try:
        pages = int(Path("/proc/self/statm").read_bytes().split()[1])
    except OSError:
        return _held_after_last_release + _WORTH_RELEASING
    return pages * os.sysconf("SC_PAGE_SIZE")


@cache
def _malloc_trim() -> "ctypes._NamedFuncPointer | None":
    """glibc's function; other C libraries have none and need none."""
    name = ctypes.util.find_library("c")
    return getattr(ctypes.CDLL(name), "malloc_trim", None) if name else None
