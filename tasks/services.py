"""The servers a run may need, and a worker, as child processes on loopback: started, found again, stopped.

Prefect loses task-run history when a flow starts its own temporary server, so a run uses one that outlives the flow:
the one PREFECT_API_URL names, or one this work folder already runs, or one started here. Commands that use a server at
the same time share it, and the last to end stops it; a user that was killed does not count.
"""

import fcntl
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from data_catalog.home import Home
from difffake.errors import ServiceError

HOST = "127.0.0.1"
PREFECT_PORT = 4200
MLFLOW_PORT = 5000
WORKER_PORT = 4201
WORK_POOL = "local-process"
PREFECT = (sys.executable, "-P", "-m", "tasks.prefect_server")
"""Prefect's command line; with -P no package `tasks` of the present folder is taken for ours."""
_START_TIMEOUT_S = 180.0
_STOP_TIMEOUT_S = 10.0
_POLL_S = 0.25
_PORT_LOCKS = Path(tempfile.gettempdir())

QUIET = {
    "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
    # Our own log goes to the run's page; Prefect's housekeeping need not fill the terminal.
    "PREFECT_LOGGING_EXTRA_LOGGERS": "difffake",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    # A logged model names its requirements; the lock file of this checkout names index hosts and stays here.
    "MLFLOW_UV_AUTO_DETECT": "false",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    # A server may be away for a minute or two: 2 + 4 + … + 64 s. MLflow's own retries last as long.
    "PREFECT_CLIENT_MAX_RETRIES": "6",
    "GIT_PYTHON_REFRESH": "quiet",
}


@dataclass(frozen=True)
class Service:
    """A running server.

    Attributes:
        name: prefect, mlflow or worker.
        port: where it answers on loopback.
        pid: its process, which leads a group of its own.
        birth: when that process began, so that another one with its number, after a restart of the machine, is not
            taken for it.
    """

    name: str
    port: int
    pid: int
    birth: str

    @property
    def url(self) -> str:
        """Where a browser finds it."""
        return f"http://{HOST}:{self.port}"


def prefect_environment(home: Home, port: int) -> dict[str, str]:
    """The settings under which flows and the server of a work folder find each other."""
    return QUIET | {
        "PREFECT_HOME": str(home.prefect.resolve()),
        "PREFECT_API_URL": f"http://{HOST}:{port}/api",
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_API_HOST": HOST,
    }


@contextmanager
def prefect_server(home: Home, port: int = PREFECT_PORT) -> Iterator[str]:
    """A Prefect server for the time of the block; yields its API address and sets this process's environment.

    A server named by PREFECT_API_URL is used as it is; one that another command of this work folder runs is shared;
    otherwise one is started. The last command that uses it stops it.

    Raises:
        ServiceError: the named server does not answer, or none can be started.
    """
    os.environ.update({name: value for name, value in QUIET.items() if name not in os.environ})
    named = os.environ.get("PREFECT_API_URL")
    if named:
        if not _answers(f"{named}/health"):
            raise ServiceError(f"PREFECT_API_URL names {named}, which does not answer; start it, or unset the variable")
        try:
            yield named
        finally:
            send_what_waits()
        return
    service = share(home, "prefect", port, start_prefect)
    os.environ.update(prefect_environment(home, service.port))
    try:
        yield os.environ["PREFECT_API_URL"]
    finally:
        send_what_waits()
        os.environ.pop("PREFECT_API_URL")
        leave(home, service)


@contextmanager
def both_servers(home: Home, prefect_port: int, mlflow_port: int) -> Iterator[tuple[Service, Service]]:
    """The Prefect and the MLflow server for the time of the block; the last command that uses one stops it."""
    with ExitStack() as stack:
        services = []
        for name, port, start in (("prefect", prefect_port, start_prefect), ("mlflow", mlflow_port, start_mlflow)):
            service = share(home, name, port, start)
            stack.callback(leave, home, service)
            services.append(service)
        yield services[0], services[1]


def wait_for(*services: Service) -> None:
    """Return when one of the servers has ended.

    Raises:
        ServiceError: always then; servers end only when something is wrong.
    """
    while all(is_alive(service) for service in services):
        time.sleep(1)
    ended = next(service for service in services if not is_alive(service))
    raise ServiceError(f"the {ended.name} server ended by itself; see its log below the work folder")


def send_what_waits() -> None:
    """Deliver the events and log lines that still wait in this process, or the history would lack its end.

    Prefect's loop thread ends with it; one that outlives the interpreter makes DuckDB's bindings report leaks.
    """
    from prefect._internal.concurrency.threads import wait_for_global_loop_exit
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    EventsWorker.drain_all(timeout=_STOP_TIMEOUT_S)
    APILogWorker.drain_all(timeout=_STOP_TIMEOUT_S)
    wait_for_global_loop_exit(timeout=_STOP_TIMEOUT_S)


def share(home: Home, name: str, port: int, start: Callable[[Home, int], subprocess.Popen[bytes]]) -> Service:
    """The running server called `name`, started if need be; this process is now one of its users."""
    users = _users(home, name)
    users.mkdir(parents=True, exist_ok=True)
    (users / str(os.getpid())).touch()
    # One after the other: neither two servers for one work folder, nor two that want one port and take each other for
    # their own.
    with (
        _one_at_a_time(home.services / f"{name}.lock"),
        _one_at_a_time(_PORT_LOCKS / f"difffake-{os.getuid()}-{port}.lock"),
    ):
        found = running(home, name)
        if found is not None:
            return found
        left = known(home, name)
        if left is not None:
            # It lives and does not answer, or its children do: two over one database, or one port, would be worse.
            stop(home, left)
            _wait_until(lambda: _is_free(left.port), _STOP_TIMEOUT_S)
        port = port if _is_free(port) else free_port()
        process = start(home, port)
        service = Service(name, port, process.pid, birth_of(process.pid))
        _remember(home, service)
        _await_health(home, service, process)
        return service


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    """Hold a lock file; the system lets go of it when the process ends."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def leave(home: Home, service: Service) -> None:
    """No longer use the server; the last of its users that is alive stops it."""
    users = _users(home, service.name)
    (users / str(os.getpid())).unlink(missing_ok=True)
    for user in users.iterdir():
        if birth_of(int(user.name)):
            return
        user.unlink(missing_ok=True)
    stop(home, service)


def known(home: Home, name: str) -> Service | None:
    """The server called `name` that was last started in this work folder, whether it still runs or not."""
    try:
        return Service(**json.loads((home.services / f"{name}.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def running(home: Home, name: str) -> Service | None:
    """The server called `name` of this work folder, if it is alive and answers."""
    service = known(home, name)
    return service if service is not None and is_alive(service) and is_healthy(service) else None


def start_prefect(home: Home, port: int) -> subprocess.Popen[bytes]:
    """Start `prefect server` over the work folder's SQLite database."""
    command = [*PREFECT, "server", "start", "--host", HOST, "--port", str(port)]
    return _spawn(home, "prefect", command, prefect_environment(home, port))


def start_mlflow(home: Home, port: int) -> subprocess.Popen[bytes]:
    """Start `mlflow server` over the work folder's tracking database."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", home.mlflow_uri]
    artifacts = os.environ.get("MLFLOW_ARTIFACTS_DESTINATION") or (home.mlflow.resolve() / "artifacts").as_uri()
    command += ["--artifacts-destination", artifacts]
    return _spawn(home, "mlflow", command, QUIET)


def worker_name(home: Home) -> str:
    """What this work folder's worker is called on the server: the machine, and a digest of the folder's path."""
    folder = hashlib.sha256(str(home.root.resolve()).encode()).hexdigest()[:8]
    return f"difffake-{socket.gethostname()}-{folder}"


def start_worker(home: Home, port: int) -> subprocess.Popen[bytes]:
    """Start a Prefect worker that takes the runs of this machine's pool; `port` is of its health page.

    Raises:
        ServiceError: the work folder runs no Prefect server.
    """
    server = running(home, "prefect")
    if server is None:
        raise ServiceError("a worker needs the Prefect server of its work folder, which does not answer")
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", WORK_POOL, "--type", "process"]
    command += ["--name", worker_name(home), "--with-healthcheck"]
    health = {"PREFECT_WORKER_WEBSERVER_HOST": HOST, "PREFECT_WORKER_WEBSERVER_PORT": str(port)}
    # What happens to its runs belongs into its log. One arena: see `difffake.memory.share_one_arena`.
    loud = {
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO",
        "DIFFFAKE_HOME": str(home.root.resolve()),
        "MALLOC_ARENA_MAX": "1",
    }
    return _spawn(
        home, "worker", command, prefect_environment(home, server.port) | _shared_tracking(home) | health | loud
    )


def _shared_tracking(home: Home) -> dict[str, str]:
    """Where a team has named a database, its worker's models go through the server: everybody can fetch them."""
    server = running(home, "mlflow")
    if home.mlflow_uri.startswith("sqlite:") or server is None:
        return {}
    return {"MLFLOW_TRACKING_URI": server.url}


STARTERS: dict[str, Callable[[Home, int], subprocess.Popen[bytes]]] = {
    "prefect": start_prefect,
    "mlflow": start_mlflow,
    "worker": start_worker,
}


def stop(home: Home, service: Service) -> None:
    """Ask the server to end, insist if it does not, and forget it."""
    for sign, patience in ((signal.SIGTERM, _STOP_TIMEOUT_S), (signal.SIGKILL, _STOP_TIMEOUT_S)):
        if is_alive(service):
            os.killpg(service.pid, sign)
            _wait_until(lambda: not is_alive(service), patience)
    _end_what_is_left(service)
    (home.services / f"{service.name}.json").unlink(missing_ok=True)


def _end_what_is_left(service: Service) -> None:
    """Children of a server that was killed go on without it, and keep its port."""
    is_same_boot = service.birth.split("/")[0] == _boot_id()
    if is_same_boot and not birth_of(service.pid):
        # No other group can have its number while one of them is alive.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(service.pid, signal.SIGKILL)


def _spawn(home: Home, name: str, command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    home.logs.mkdir(parents=True, exist_ok=True)
    with log_path(home, name).open("ab") as log:
        return subprocess.Popen(
            command,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _await_health(home: Home, service: Service, process: subprocess.Popen[bytes]) -> None:
    healthy = _wait_until(lambda: process.poll() is not None or is_healthy(service), _START_TIMEOUT_S)
    if process.poll() is None and healthy:
        return
    stop(home, service)
    raise ServiceError(
        f"the {service.name} server did not start on port {service.port}; {log_path(home, service.name)} ends with:\n"
        f"{last_lines(home, service.name)}"
    )


def log_path(home: Home, name: str) -> Path:
    """What a server prints."""
    return home.logs / f"{name}.log"


def last_lines(home: Home, name: str) -> str:
    """The end of what a server printed."""
    try:
        text = log_path(home, name).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "(no log)"
    return "\n".join(text.splitlines()[-5:])


def _remember(home: Home, service: Service) -> None:
    home.services.mkdir(parents=True, exist_ok=True)
    path = home.services / f"{service.name}.json"
    partial = path.with_suffix(".tmp")
    partial.write_text(json.dumps(asdict(service)), encoding="utf-8")
    partial.replace(path)


def _users(home: Home, name: str) -> Path:
    return home.services / f"{name}.users"


def is_healthy(service: Service) -> bool:
    """Whether it answers its health check."""
    return _answers(f"{service.url}/api/health" if service.name == "prefect" else f"{service.url}/health")


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5) as response:  # noqa: S310 - loopback, or what the user named
            return bool(response.status == 200)
    except (URLError, OSError, ValueError):
        return False


def is_alive(service: Service) -> bool:
    """Whether its process runs."""
    return birth_of(service.pid) == service.birth


def birth_of(pid: int) -> str:
    """When a process began; empty if there is none, or one that ended and was not waited for."""
    with suppress(OSError):
        os.waitpid(pid, os.WNOHANG)
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return ""
    # After the name, which may hold anything: the state is field 3, the start in clock ticks since boot field 22.
    fields = stat.rpartition(")")[2].split()
    if fields[0] in ("Z", "X"):
        return ""
    return f"{_boot_id()}/{fields[19]}"


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) != 0


def free_port() -> int:
    """A port of this machine nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(_POLL_S)
    return condition()
