"""The servers and the worker of a work folder, kept running: started, watched, brought back, stopped.

One supervisor a work folder. Who takes its lock supervises; the system lets go of the lock however the process ends,
and the next supervisor takes over the servers that it left.
"""

import fcntl
import json
import logging
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

from data_catalog.home import Home
from difffake.errors import ServiceError
from tasks import services
from tasks.services import Service

ORDER = ("prefect", "mlflow", "worker")
_CHECK_EVERY_S = 2.0
# A server under load may miss a health check; one that misses them for so long is hung.
_HUNG_AFTER_S = 90.0
# A service that ends more often than so is not brought back any more.
_MOST_ENDS = 5
_ENDS_WITHIN_S = 600.0
_FIRST_PAUSE_S = 1.0
logger = logging.getLogger("difffake.tasks.supervisor")


@dataclass(frozen=True)
class ServiceStatus:
    """What a service does.

    Attributes:
        name: prefect, mlflow or worker.
        state: healthy, not answering (the process lives), ended, or not started.
        url: where it answers; empty if not started.
        pid: its process, None if none lives.
        restarts: how often the present supervisor brought it back.
        log: what it prints.
    """

    name: str
    state: str
    url: str
    pid: int | None
    restarts: int
    log: Path


@dataclass
class _Watched:
    """A service under supervision, and when it ended."""

    name: str
    port: int
    service: Service | None = None
    restarts: int = 0
    ends: deque[float] = field(default_factory=lambda: deque(maxlen=_MOST_ENDS))
    not_before: float = 0.0
    last_healthy: float = 0.0


def supervise(
    home: Home,
    ports: dict[str, int],
    is_over: Event,
    before_the_worker: Callable[[], None],
    when_up: Callable[[], None],
) -> None:
    """Start what does not run, then watch until `is_over` is set; then stop everything nobody else uses.

    Args:
        home: the work folder.
        ports: by service; another is taken where one is in use.
        is_over: set it to end.
        before_the_worker: called each time before the worker is started, while the Prefect server answers.
        when_up: called once, when all answer for the first time.

    Raises:
        ServiceError: another supervisor has this work folder; a service does not start, or ends again and again.
    """
    watched = [_Watched(name, ports[name]) for name in ORDER]
    with _supervision(home):
        try:
            for one in watched:
                _start(home, one, before_the_worker)
            when_up()
            _remember(home, watched)
            while not is_over.wait(_CHECK_EVERY_S):
                for one in watched:
                    _look_after(home, one, before_the_worker)
                _remember(home, watched)
        finally:
            # The worker first: it ends its runs while the servers still answer.
            for one in reversed(watched):
                if one.service is not None:
                    services.leave(home, one.service)
            _state_path(home).unlink(missing_ok=True)


def is_ready(home: Home) -> bool:
    """Whether the supervisor has started everything, deployments included."""
    return supervisor_of(home) is not None and _state_path(home).is_file()


def supervisor_of(home: Home) -> int | None:
    """The process that supervises the work folder, if one does."""
    path = home.services / "up.lock"
    if not path.is_file():
        return None
    with path.open("r+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            told = file.read().strip()
            return int(told) if told.isdigit() else 0
    return None


def status(home: Home) -> list[ServiceStatus]:
    """The state of every service of the work folder."""
    restarts = _read_restarts(home)
    found = []
    for name in ORDER:
        service = services.known(home, name)
        alive = service is not None and services.is_alive(service)
        if service is None:
            state = "not started"
        elif not alive:
            state = "ended"
        else:
            state = "healthy" if services.is_healthy(service) else "not answering"
        found.append(
            ServiceStatus(
                name,
                state,
                service.url if service is not None and alive else "",
                service.pid if service is not None and alive else None,
                restarts.get(name, 0),
                services.log_path(home, name),
            )
        )
    return found


def take_down(home: Home, patience_s: float = 60.0) -> list[str]:
    """Stop the supervisor and everything it runs; without one, what an earlier one left. Returns what was stopped.

    Raises:
        ServiceError: the supervisor does not end.
    """
    stopped = [one.name for one in status(home) if one.pid is not None]
    pid = supervisor_of(home)
    if pid:
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + patience_s
        while supervisor_of(home) is not None:
            if time.monotonic() > deadline:
                raise ServiceError(f"the supervisor (process {pid}) does not end after {patience_s:.0f} s")
            time.sleep(_CHECK_EVERY_S / 10)
    for name in reversed(ORDER):
        service = services.known(home, name)
        if service is not None:
            services.stop(home, service)
    return stopped


def _start(home: Home, one: _Watched, before_the_worker: Callable[[], None]) -> None:
    if one.name == "worker":
        before_the_worker()
    one.service = services.share(home, one.name, one.port, services.STARTERS[one.name])
    # It keeps its port when it is brought back: browsers, workers and other machines know it.
    one.port = one.service.port
    one.last_healthy = time.monotonic()
    logger.info("%-8s %s, process %d", one.name, one.service.url, one.service.pid)


def _look_after(home: Home, one: _Watched, before_the_worker: Callable[[], None]) -> None:
    """Bring a service back that ended or hangs, sooner the first time than the next."""
    now = time.monotonic()
    if one.service is not None:
        if services.is_alive(one.service):
            if services.is_healthy(one.service):
                one.last_healthy = now
                return
            if now - one.last_healthy < _HUNG_AFTER_S:
                return
            logger.warning("%-8s has not answered for %.0f s: stopped", one.name, now - one.last_healthy)
            services.stop(home, one.service)
        one.service = None
        recent = [end for end in one.ends if now - end < _ENDS_WITHIN_S]
        if len(recent) == _MOST_ENDS:
            raise ServiceError(
                f"{one.name} ended {_MOST_ENDS + 1} times within {_ENDS_WITHIN_S:.0f} s; its log is "
                f"{services.log_path(home, one.name)}, which ends with:\n{services.last_lines(home, one.name)}"
            )
        one.ends.append(now)
        pause = _FIRST_PAUSE_S * 2 ** len(recent)
        one.not_before = now + pause
        logger.warning("%-8s ended by itself; it is started again in %.0f s", one.name, pause)
        return
    if now >= one.not_before:
        one.restarts += 1
        try:
            _start(home, one, before_the_worker)
        except ServiceError as error:
            logger.error("%-8s %s", one.name, error)
            one.ends.append(now)
            one.not_before = now + _FIRST_PAUSE_S * 2 ** len(one.ends)
            if len(one.ends) == _MOST_ENDS:
                raise


@contextmanager
def _supervision(home: Home) -> Iterator[None]:
    home.services.mkdir(parents=True, exist_ok=True)
    with (home.services / "up.lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ServiceError(
                f"{home.root} is supervised already: `difffake status` shows it, `difffake down` stops it"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _state_path(home: Home) -> Path:
    return home.services / "up.json"


def _remember(home: Home, watched: list[_Watched]) -> None:
    content = {
        "pid": os.getpid(),
        "seen_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "restarts": {one.name: one.restarts for one in watched},
    }
    partial = _state_path(home).with_suffix(".tmp")
    partial.write_text(json.dumps(content), encoding="utf-8")
    partial.replace(_state_path(home))


def _read_restarts(home: Home) -> dict[str, int]:
    try:
        return dict(json.loads(_state_path(home).read_text(encoding="utf-8"))["restarts"])
    except (OSError, ValueError, KeyError):
        return {}
