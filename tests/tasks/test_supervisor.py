"""Supervision of real processes: small servers in the place of Prefect and MLflow, which tests/flows start for real."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from data_catalog.home import Home
from difffake.errors import ServiceError
from tasks import services, supervisor

# Together, and so before what stands alone: they wait most of their half minute, and nobody else should then.
pytestmark = pytest.mark.xdist_group("supervisor")

SERVER = """
import http.server, os, sys, threading, time

class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass

if sys.argv[2] == "dies":
    threading.Timer(0.3, lambda: os._exit(1)).start()
print("serving", flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Healthy).serve_forever()
"""


def starter(name: str, manner: str = "lives") -> Callable[[Home, int], subprocess.Popen[bytes]]:
    def start(home: Home, port: int) -> subprocess.Popen[bytes]:
        return services._spawn(home, name, [sys.executable, "-c", SERVER, str(port), manner], {})

    return start


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    for name in supervisor.ORDER:
        monkeypatch.setitem(services.STARTERS, name, starter(name))
    monkeypatch.setattr(supervisor, "_CHECK_EVERY_S", 0.1)
    monkeypatch.setattr(supervisor, "_FIRST_PAUSE_S", 0.05)
    place = Home(tmp_path, None)
    yield place
    supervisor.take_down(place)


class Supervision(threading.Thread):
    """The supervisor as `up` runs it, here in a thread."""

    def __init__(self, home: Home) -> None:
        super().__init__(daemon=True)
        self.home, self.is_over, self.is_up = home, threading.Event(), threading.Event()
        self.workers_prepared = 0
        self.error: ServiceError | None = None

    def run(self) -> None:
        ports = {name: services.free_port() for name in supervisor.ORDER}
        try:
            supervisor.supervise(self.home, ports, self.is_over, self.prepare, self.is_up.set)
        except ServiceError as error:
            self.error = error

    def prepare(self) -> None:
        self.workers_prepared += 1


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def states(home: Home) -> list[str]:
    return [row.state for row in supervisor.status(home)]


def test_a_service_that_hangs_is_stopped_and_started_at_its_port(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_HUNG_AFTER_S", 1.0)
    supervision = Supervision(home)
    supervision.start()
    assert supervision.is_up.wait(60)
    worker = services.known(home, "worker")
    assert worker is not None
    os.kill(worker.pid, signal.SIGSTOP)
    wait_until(lambda: services.known(home, "worker") not in (worker, None), "the hung worker was left as it was")
    wait_until(lambda: states(home) == ["healthy"] * 3, "not everything came back")
    again = services.known(home, "worker")
    assert again is not None
    assert again.port == worker.port
    assert not services.is_alive(worker)
    # What has to be done before a worker begins is done before each.
    assert supervision.workers_prepared == 2
    supervision.is_over.set()
    supervision.join(60)
    assert supervision.error is None
    assert states(home) == ["not started"] * 3


def test_a_service_that_ends_again_and_again_is_given_up_with_the_end_of_its_log(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(services.STARTERS, "mlflow", starter("mlflow", "dies"))
    supervision = Supervision(home)
    supervision.start()
    supervision.join(60)
    assert not supervision.is_alive()
    assert supervision.error is not None
    assert "mlflow ended 6 times within 600 s" in str(supervision.error)
    assert str(supervision.error).count("serving") >= 5
    # Nothing is left running.
    assert states(home) == ["not started", "ended", "not started"]


def test_one_supervisor_a_work_folder(home: Home) -> None:
    supervision = Supervision(home)
    supervision.start()
    assert supervision.is_up.wait(60)
    second = Supervision(home)
    second.start()
    second.join(60)
    assert second.error is not None
    assert "supervised already" in str(second.error)
    assert states(home) == ["healthy"] * 3
    supervision.is_over.set()
    supervision.join(60)


def test_a_process_that_got_the_number_of_a_dead_one_is_not_taken_for_it(home: Home) -> None:
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    try:
        impostor = services.Service("prefect", services.free_port(), other.pid, "another boot/1")
        home.services.mkdir(parents=True)
        services._remember(home, impostor)
        assert supervisor.status(home)[0].state == "ended"
        assert supervisor.take_down(home) == []
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
