"""The command line in a process forked from one that has imported it: what a test's call costs is its work.

A fresh process imports for nine seconds of CPU time before it does anything, a hundred times in the flow tests. The
child is otherwise what `difffake` starts: its own environment, arguments, working folder, outputs and exit code. Tests
that kill processes start them in the ordinary way.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from data_catalog import home

_POLL_S = 0.02
_SERVE = "from tests.helpers.preloaded import serve; serve()"


class Preloaded:
    """A process that has imported the program and forks for every call.

    Args:
        environment: of that process; what Prefect reads when it is imported is the same for every call.
        repository: the checkout.
    """

    def __init__(self, environment: Mapping[str, str], repository: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVE],
            env=os.environ | dict(environment),
            cwd=repository,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def call(
        self, arguments: Sequence[str], environment: Mapping[str, str], folder: Path, timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        """Run one command to its end, as `subprocess.run` would.

        Raises:
            subprocess.TimeoutExpired: it took longer, and was killed.
        """
        with tempfile.TemporaryDirectory() as place:
            outputs = Path(place) / "stdout", Path(place) / "stderr"
            request = {
                "arguments": list(arguments),
                "environment": dict(environment),
                "folder": str(folder),
                "outputs": [str(path) for path in outputs],
                "timeout_s": timeout_s,
            }
            code = self._ask(request)
            stdout, stderr = (path.read_text(encoding="utf-8", errors="replace") for path in outputs)
        if code is None:
            raise subprocess.TimeoutExpired(list(arguments), timeout_s, stdout, stderr)
        return subprocess.CompletedProcess(list(arguments), code, stdout, stderr)

    def close(self) -> None:
        """End the process."""
        with suppress(BrokenPipeError):
            self._pipe(self._process.stdin).close()
        self._process.wait(30)

    def _ask(self, request: dict[str, Any]) -> int | None:
        questions, answers = self._pipe(self._process.stdin), self._pipe(self._process.stdout)
        questions.write(json.dumps(request) + "\n")
        questions.flush()
        answer = answers.readline()
        if not answer:
            raise RuntimeError(f"the preloaded program ended with exit code {self._process.wait(30)}")
        code: int | None = json.loads(answer)
        return code

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe


def serve() -> None:
    """Fork a child for each request on standard input, and answer its exit code, or null where it took too long."""
    # Loaded before the first fork.
    for module in ("cli", "ablate", "batch", "end_to_end", "maintain", "refresh"):
        import_module(f"flows.{module}")

    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            answers.close()
            _become(request)
        answers.write(json.dumps(_wait(pid, request["timeout_s"])) + "\n")
        answers.flush()


def _wait(pid: int, timeout_s: float) -> int | None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(_POLL_S)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    return None


def _become(request: dict[str, Any]) -> None:
    """Be a process that was started with these arguments; never returns."""
    code: object = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, path in enumerate(request["outputs"], start=1):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["folder"])
        sys.argv = ["difffake", *request["arguments"]]
        # Read when the module is imported, since MLflow itself overwrites the variable later.
        home._NAMED_MLFLOW_URI = os.environ.get("MLFLOW_TRACKING_URI")
        from flows.cli import main

        main()
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
