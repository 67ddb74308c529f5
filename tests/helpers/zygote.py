"""Worker processes of a command forked from its copy, not started afresh: importing takes them longer than their work.

A command has threads by the time it starts workers, and what has threads cannot be forked safely. So each command makes
a copy of itself before it begins, which has imported the program and does nothing but fork on request. What comes out
is a child of the command, as `multiprocessing` expects it, with the file descriptors, environment and working folder
of a process started by the method `spawn`; the method's own code then takes it from there.
"""

import atexit
import ctypes
import fcntl
import json
import os
import re
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from multiprocessing import spawn, util
from typing import Any, NoReturn

_PR_SET_CHILD_SUBREAPER = 36
_ANSWER_S = 120
_OUT_OF_THE_WAY = 600
"""Descriptors from here on are nobody's."""
_SPAWNED = re.compile(r"spawn_main\(tracker_fd=(\d+), pipe_handle=(\d+)\)")


def fork_workers_from_a_copy() -> None:
    """From now on this process's workers come from a copy of it as it is now. It must have no threads."""
    assert threading.active_count() == 1
    ours, its = socket.socketpair()
    command = os.getpid()
    # Whose parent ends is this process's child.
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "orphans cannot be adopted")
    if os.fork() == 0:
        ours.close()
        _fork_on_request(its, command)
    its.close()
    # A worker that never says its number is an error, no wait for ever.
    ours.settimeout(_ANSWER_S)
    lock = threading.Lock()
    start_afresh = util.spawnv_passfds

    def start(path: bytes, arguments: Sequence[Any], descriptors: Sequence[int]) -> int:
        spawned = _SPAWNED.search(" ".join(os.fsdecode(argument) for argument in arguments))
        if spawned is None:
            return int(start_afresh(path, arguments, descriptors))
        request = {
            "pipes": [int(number) for number in spawned.groups()],
            "descriptors": list(descriptors),
            "environment": dict(os.environ),
            "folder": os.getcwd(),  # noqa: PTH109
        }
        with lock:
            content = json.dumps(request).encode()
            socket.send_fds(ours, [len(content).to_bytes(8)], list(descriptors))
            ours.sendall(content)
            return int.from_bytes(_receive(ours, 8))

    util.spawnv_passfds = start  # type: ignore[assignment]


def _receive(channel: socket.socket, count: int) -> bytes:
    content = b""
    while len(content) < count:
        part = channel.recv(count - len(content))
        if not part:
            raise EOFError
        content += part
    return content


def _fork_on_request(channel: socket.socket, command: int) -> NoReturn:
    """Fork a worker a request, until the command ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        size, received, _, _ = socket.recv_fds(channel, 8, 64)
        if not size:
            os._exit(0)
        request = json.loads(_receive(channel, int.from_bytes(size)))
        between = os.fork()
        if between == 0:
            if os.fork() == 0:
                _become_worker(channel, command, request, received)
            os._exit(0)
        os.waitpid(between, 0)
        for number in received:
            os.close(number)


def _become_worker(channel: socket.socket, command: int, request: dict[str, Any], received: Sequence[int]) -> NoReturn:
    code: object = 1
    try:
        deadline = time.monotonic() + _ANSWER_S / 2
        while os.getppid() != command:
            if time.monotonic() > deadline:
                os._exit(1)
            time.sleep(0.001)
        channel.sendall(os.getpid().to_bytes(8))
        kept = [fcntl.fcntl(number, fcntl.F_DUPFD, _OUT_OF_THE_WAY) for number in received]
        os.closerange(3, _OUT_OF_THE_WAY)
        for number, wanted in zip(kept, request["descriptors"], strict=True):
            os.dup2(number, wanted)
            os.close(number)
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["folder"])
        signal.signal(signal.SIGINT, signal.default_int_handler)
        # What a fresh process has to do at its end is what it registers itself.
        atexit._clear()
        sys.argv = ["-c", "--multiprocessing-fork"]
        tracker, pipe = request["pipes"]
        spawn.spawn_main(pipe_handle=pipe, tracker_fd=tracker)
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001 - the interpreter would print it and end, too
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))
