"""The command line in a process forked from one that has imported it: what a test's call costs is its work.

A fresh process imports for nine seconds of CPU time before it does anything, a hundred times in the flow tests. The
child is otherwise what `difffake` starts: its own environment, arguments, working folder, outputs and exit code, a
process group of its own to be killed by, and Ctrl-C. What the interpreter does at its start and end is left out.
"""

import fcntl
import gc
import itertools
import json
import os
import pickle
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import types
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar, cast

from data_catalog import home
from tests.helpers.zygote import fork_workers_from_a_copy

FRESH_WORKERS = "DIFFFAKE_TEST_FRESH_WORKERS"
"""A variable: where it is set, a command's worker processes are started as they are in use, with nothing loaded."""
_POLL_S = 0.02
_START_S = 300.0
_SERVE = "import sys; from tests.helpers.preloaded import serve; serve(*sys.argv[1:])"
_CALL = """
import pickle, sys
from pathlib import Path
place = Path(sys.argv[1])
function, arguments = pickle.loads(place.read_bytes())
try:
    outcome = function(*arguments), None
except Exception as error:
    outcome = None, error
place.write_bytes(pickle.dumps(outcome))
"""
_LOADED_LATE = (
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store",
    "skops.io",
    "timm",
)
"""What commands import when they come to it: four seconds of every training run."""
PROGRAM_MODULES = (
    "flows.cli", "flows.ablate", "flows.batch", "flows.end_to_end", "flows.experiment_run", "flows.maintain",
    "flows.refresh", *_LOADED_LATE,
)  # fmt: skip
"""The whole program: what of Prefect's settings is read when it is imported is the same for every call."""
PLAIN_MODULES = (
    "flows.cli", "mlflow.pyfunc", "difffake.backbone.training", "difffake.detector", "data_catalog.lake",
    "matplotlib.pyplot", "accelerate", *_LOADED_LATE,
)  # fmt: skip
"""All but what imports Prefect: every call has settings of its own."""
Result = TypeVar("Result")


class Started:
    """A command that runs; used like `subprocess.Popen`.

    Attributes:
        pid: of the process, which leads a group of its own.
        returncode: None until it has been waited for.
    """

    def __init__(self, preloaded: "Preloaded", pid: int, arguments: Sequence[str], outputs: tuple[Path, Path]) -> None:
        self._preloaded, self._arguments, self._outputs = preloaded, list(arguments), outputs
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit code, or None while it runs."""
        if self.returncode is None:
            self.returncode = self._preloaded.ask({"do": "poll", "pid": self.pid})
        return self.returncode

    def wait(self, timeout: float = 60) -> int:
        """Its exit code.

        Raises:
            subprocess.TimeoutExpired: it runs for longer.
        """
        deadline = time.monotonic() + timeout
        while (exit_code := self.poll()) is None:
            if time.monotonic() >= deadline:
                raise subprocess.TimeoutExpired(self._arguments, timeout, *self.written())
            time.sleep(_POLL_S)
        return exit_code

    def communicate(self, timeout: float = 60) -> tuple[str, str]:
        """What it has written to standard output and error when it ends.

        Raises:
            subprocess.TimeoutExpired: it runs for longer.
        """
        self.wait(timeout)
        return self.written()

    def written(self) -> tuple[str, str]:
        """What it has written to standard output and error so far."""
        output, errors = (path.read_text(encoding="utf-8", errors="replace") for path in self._outputs)
        return output, errors

    def send_signal(self, number: int) -> None:
        """Send a signal to it alone."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it alone; its children are not told."""
        self.send_signal(signal.SIGKILL)


class Preloaded:
    """A process that has imported the program and forks for every call; all that name one socket share one process.

    The first to want it starts it; it ends when nobody is connected any more.

    Args:
        address: of its socket.
        environment: of that process.
        repository: the checkout.
        modules: what it imports, one of `PROGRAM_MODULES` and `PLAIN_MODULES`.
        base: it is forked from this one, and imports only what that has not.
    """

    def __init__(
        self,
        address: Path,
        environment: Mapping[str, str],
        repository: Path,
        modules: Sequence[str],
        base: "Preloaded | None" = None,
    ) -> None:
        self._outputs = tempfile.TemporaryDirectory()
        self._calls = itertools.count(1)
        self._lock = threading.Lock()
        self._channel = socket.socket(socket.AF_UNIX)
        with address.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self._is_connected_to(address):
                address.unlink(missing_ok=True)
                settings = os.environ | dict(environment)
                started: subprocess.Popen[bytes] | Started
                if base is None:
                    started = subprocess.Popen(
                        [sys.executable, "-c", _SERVE, str(address), *modules],
                        env=settings,
                        cwd=repository,
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                        start_new_session=True,
                    )
                else:
                    started = base._branch(address, settings, repository, modules)
                deadline = time.monotonic() + _START_S
                while not self._is_connected_to(address):
                    if started.poll() is not None:
                        told = started.written()[1] if isinstance(started, Started) else ""
                        raise RuntimeError(f"the preloaded program ended with exit code {started.returncode}\n{told}")
                    assert time.monotonic() < deadline
                    time.sleep(_POLL_S)
        self._lines = self._channel.makefile("rw", encoding="utf-8")

    def _is_connected_to(self, address: Path) -> bool:
        try:
            self._channel.connect(str(address))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True

    def start(
        self, arguments: Sequence[str], environment: Mapping[str, str], folder: Path, code: str | None = None
    ) -> Started:
        """Start one command, or Python code as by `python -c`."""
        return self._fork({"arguments": list(arguments), "code": code}, arguments, environment, folder)

    def _branch(self, address: Path, environment: Mapping[str, str], folder: Path, modules: Sequence[str]) -> Started:
        return self._fork({"serve": [str(address), *modules]}, modules, environment, folder)

    def _fork(
        self, what: dict[str, Any], arguments: Sequence[str], environment: Mapping[str, str], folder: Path
    ) -> Started:
        place, number = Path(self._outputs.name), next(self._calls)
        outputs = place / f"{number}.stdout", place / f"{number}.stderr"
        request = what | {
            "do": "start",
            "environment": dict(environment),
            "folder": str(folder),
            "outputs": [str(path) for path in outputs],
        }
        for path in outputs:
            path.touch()
        return Started(self, int(self.ask(request)), arguments, outputs)

    def call(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        timeout_s: float,
        code: str | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run one command, or Python code, to its end, as `subprocess.run` would.

        Raises:
            subprocess.TimeoutExpired: it took longer, and was killed with all it had started in its group.
        """
        started = self.start(arguments, environment, folder, code)
        try:
            exit_code = started.wait(timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()
            raise
        return subprocess.CompletedProcess(list(arguments), exit_code, *started.written())

    def run(self, function: Callable[..., Result], *arguments: object) -> Result:
        """What a function of a module answers in a process of its own; what it raises is raised here.

        Its worker processes start with everything imported. Arguments and result are pickled.

        Raises:
            AssertionError: the process ended otherwise.
        """
        place = Path(self._outputs.name) / f"{next(self._calls)}.pickle"
        place.write_bytes(pickle.dumps((function, arguments)))
        done = self.call([str(place)], os.environ, Path.cwd(), timeout_s=300, code=_CALL)
        assert done.returncode == 0, done.stderr
        result, error = pickle.loads(place.read_bytes())  # noqa: S301 - our own bytes
        if error is not None:
            raise error
        found: Result = result
        return found

    def ask(self, request: dict[str, Any]) -> Any:
        """Put a request to the process; see `serve`."""
        with self._lock:
            self._lines.write(json.dumps(request) + "\n")
            self._lines.flush()
            answer = self._lines.readline()
        if not answer:
            raise RuntimeError("the preloaded program has ended")
        return json.loads(answer)

    def close(self) -> None:
        """Let go of the process."""
        self._lines.close()
        self._channel.close()
        self._outputs.cleanup()


def serve(address: str, *modules: str) -> None:
    """Answer requests on a socket: to `start` a child, its pid; to `poll` it, its exit code, null while it runs."""
    # Loaded before the first fork, and no garbage of any child's.
    gc.disable()
    for module in modules:
        import_module(module)
    gc.enable()
    gc.freeze()
    assert ("prefect" in sys.modules) == (modules == PROGRAM_MODULES)

    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    has_served = False
    while not has_served or len(selector.get_map()) > 1:
        events = selector.select(None if has_served else _START_S)
        if not events:
            # Whoever started it is gone.
            break
        for key, _ in events:
            if key.fileobj is listener:
                client = listener.accept()[0]
                selector.register(client, selectors.EVENT_READ, client.makefile("rw", encoding="utf-8"))
                has_served = True
                continue
            # A client asks one thing at a time.
            line = key.data.readline()
            if not line:
                selector.unregister(key.fileobj)
                key.data.close()
                cast(socket.socket, key.fileobj).close()
                continue
            request = json.loads(line)
            answer = _poll(request["pid"]) if request["do"] == "poll" else os.fork()
            if answer == 0 and request["do"] == "start":
                for number in list(selector.get_map()):
                    os.close(number)
                selector.close()
                _become(request)
            key.data.write(json.dumps(answer) + "\n")
            key.data.flush()
    # Taking all of it down would take seconds.
    os._exit(0)


def _poll(pid: int) -> int | None:
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def _run(code: str | None, arguments: Sequence[str]) -> None:
    if code is None:
        from flows.cli import main

        sys.argv = ["difffake", *arguments]
        main()
        return
    sys.argv = ["-c", *arguments]
    sys.modules["__main__"] = types.ModuleType("__main__")
    exec(compile(code, "<string>", "exec"), vars(sys.modules["__main__"]))  # noqa: S102 - a test's own


def _become(request: dict[str, Any]) -> None:
    """Be a process that was started with these arguments; never returns."""
    code: object = 1
    try:
        os.setsid()
        # A shell without job control starts what ends in & deaf to Ctrl-C, and so would be all that tests start.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, path in enumerate(request["outputs"], start=1):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["folder"])
        if "serve" in request:
            serve(*request["serve"])
        # Read when the module is imported, since MLflow itself overwrites the variable later.
        home._NAMED_MLFLOW_URI = os.environ.get("MLFLOW_TRACKING_URI")
        if FRESH_WORKERS not in os.environ:
            fork_workers_from_a_copy()
        _run(request["code"], request["arguments"])
        code = 0
    except SystemExit as end:
        code = end.code
        if isinstance(code, str):
            sys.stderr.write(f"{code}\n")
    except BaseException:  # noqa: BLE001 - the interpreter would print it and end, too
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))
