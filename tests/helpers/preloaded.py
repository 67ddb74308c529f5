"""The command line in a process forked from one that has imported it: what a test's call costs is its work.

A fresh process imports for nine seconds of CPU time before it does anything, a hundred times in the flow tests. The
child is otherwise what `difffake` starts: its own environment, arguments, working folder, outputs and exit code, a
process group of its own to be killed by, and Ctrl-C. What the interpreter does at its start and end is left out.
"""

import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import types
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from data_catalog import home
from tests.helpers.zygote import fork_workers_from_a_copy

FRESH_WORKERS = "DIFFFAKE_TEST_FRESH_WORKERS"
"""A variable: where it is set, a command's worker processes are started as they are in use, with nothing loaded."""
_POLL_S = 0.02
_SERVE = "import sys; from tests.helpers.preloaded import serve; serve(sys.argv[1:])"
_LOADED_LATE = ("mlflow.store.tracking.sqlalchemy_store", "mlflow.store.model_registry.sqlalchemy_store", "skops.io")
"""What commands import when they come to it: two seconds of every run."""
PROGRAM_MODULES = (
    "flows.cli", "flows.ablate", "flows.batch", "flows.end_to_end", "flows.maintain", "flows.refresh", *_LOADED_LATE,
)  # fmt: skip
"""The whole program: what of Prefect's settings is read when it is imported is the same for every call."""
PLAIN_MODULES = (
    "flows.cli", "mlflow.pyfunc", "difffake.detector", "data_catalog.lake", "matplotlib.pyplot", *_LOADED_LATE,
)  # fmt: skip
"""All but what imports Prefect: every call has settings of its own."""


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
            self.returncode = self._preloaded.ask({"do": "wait", "pid": self.pid, "timeout_s": 0})
        return self.returncode

    def wait(self, timeout: float = 60) -> int:
        """Its exit code.

        Raises:
            subprocess.TimeoutExpired: it runs for longer.
        """
        if self.returncode is None:
            self.returncode = self._preloaded.ask({"do": "wait", "pid": self.pid, "timeout_s": timeout})
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self._arguments, timeout, *self.written())
        return self.returncode

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
    """A process that has imported the program and forks for every call.

    Args:
        environment: of that process.
        repository: the checkout.
        modules: what it imports, one of `PROGRAM_MODULES` and `PLAIN_MODULES`.
    """

    def __init__(self, environment: Mapping[str, str], repository: Path, modules: Sequence[str]) -> None:
        self._outputs = tempfile.TemporaryDirectory()
        self._calls = 0
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVE, *modules],
            env=os.environ | dict(environment),
            cwd=repository,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(
        self, arguments: Sequence[str], environment: Mapping[str, str], folder: Path, code: str | None = None
    ) -> Started:
        """Start one command, or Python code as by `python -c`."""
        self._calls += 1
        place = Path(self._outputs.name)
        outputs = place / f"{self._calls}.stdout", place / f"{self._calls}.stderr"
        request = {
            "do": "start",
            "arguments": list(arguments),
            "code": code,
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

    def ask(self, request: dict[str, Any]) -> Any:
        """Put a request to the process; see `serve`."""
        questions, answers = self._pipe(self._process.stdin), self._pipe(self._process.stdout)
        questions.write(json.dumps(request) + "\n")
        questions.flush()
        answer = answers.readline()
        if not answer:
            raise RuntimeError(f"the preloaded program ended with exit code {self._process.wait(30)}")
        return json.loads(answer)

    def close(self) -> None:
        """End the process."""
        with suppress(BrokenPipeError):
            self._pipe(self._process.stdin).close()
        self._process.wait(30)
        self._outputs.cleanup()

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe


def serve(modules: Sequence[str]) -> None:
    """Answer requests on standard input: to `start` a child, its pid; to `wait`, its exit code, null while it runs."""
    # Loaded before the first fork, and no garbage of any child's.
    gc.disable()
    for module in modules:
        import_module(module)
    gc.enable()
    gc.freeze()
    assert ("prefect" in sys.modules) == (tuple(modules) == PROGRAM_MODULES)

    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "start":
            answer: int | None = os.fork()
            if answer == 0:
                answers.close()
                _become(request)
        else:
            answer = _wait(request["pid"], request["timeout_s"])
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _wait(pid: int, timeout_s: float) -> int | None:
    deadline = time.monotonic() + timeout_s
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= deadline:
            return None
        time.sleep(_POLL_S)


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
