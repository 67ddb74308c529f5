"""Memory of processes that read one video after the other for hours, and of networks on a CPU."""

import ctypes
import ctypes.util
import gc
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

_WORTH_RELEASING = 96 * 2**20
"""Bytes; a 720p video leaves about half as much."""
_held_after_last_release = -_WORTH_RELEASING

# Parameters of glibc's mallopt (malloc.h), as they are while a network works, and afterwards: what glibc's own
# adjustment ends at, which stops at the first call.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -2, -3, -4, -8
_KEEPING = {_MMAP_MAX: 0, _TRIM_THRESHOLD: 2**31 - 1, _TOP_PAD: 64 * 2**20}
_AFTERWARDS = {
    _MMAP_MAX: 65_536,
    _MMAP_THRESHOLD: 32 * 2**20,
    _TRIM_THRESHOLD: 64 * 2**20,
    _TOP_PAD: 128 * 2**10,
}
_keeping = threading.Lock()
_keepers = 0


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
    trim = _glibc_function("malloc_trim")
    if trim is not None:
        trim(0)


def share_one_arena() -> None:
    """Threads that start after this allocate where the main thread does, so that `keeping_freed_memory` reaches them.

    For the start of a program: a thread keeps the arena of its first allocation.
    """
    _set_allocator({_ARENA_MAX: 1})


@contextmanager
def keeping_freed_memory() -> Iterator[None]:
    """Inside the block freed memory stays with the process, which gets it again without the kernel.

    A network on a CPU frees and allocates some hundred megabytes at every step, each in blocks that glibc would map
    anew: the kernel clears every page, which takes a fifth of a training at 160 px and two fifths at 224 px. It has no
    effect in threads with an arena of their own (see `share_one_arena`), nor with other C libraries.
    """
    global _keepers
    with _keeping:
        _keepers += 1
        if _keepers == 1:
            _set_allocator(_KEEPING)
    try:
        yield
    finally:
        with _keeping:
            _keepers -= 1
            if _keepers == 0:
                _set_allocator(_AFTERWARDS)


def _set_allocator(parameters: dict[int, int]) -> None:
    change = _glibc_function("mallopt")
    if change is not None:
        for parameter, value in parameters.items():
            change(parameter, value)


def _resident_bytes() -> int:
    """Memory this process holds; where no /proc tells, so much more at every call that it is always worth releasing."""
    try:
        pages = int(Path("/proc/self/statm").read_bytes().split()[1])
    except OSError:
        return _held_after_last_release + _WORTH_RELEASING
    return pages * os.sysconf("SC_PAGE_SIZE")


@cache
def _glibc_function(function: str) -> "ctypes._NamedFuncPointer | None":
    """One of glibc's functions; other C libraries have none of these and need none."""
    name = ctypes.util.find_library("c")
    return getattr(ctypes.CDLL(name), function, None) if name else None
