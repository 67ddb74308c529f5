"""A real S3 API on loopback, in a process of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.error import URLError
from urllib.request import urlopen

import fsspec

from tasks.services import free_port

BUCKET = "difffake-test"


@contextmanager
def s3_server() -> Iterator[dict[str, str]]:
    """The environment under which everything talks to a server that holds one empty bucket."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    environment = {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "difffake-key",
        "AWS_SECRET_ACCESS_KEY": "difffake-secret",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        _wait_for(url, server)
        fsspec.filesystem("s3", skip_instance_cache=True).mkdir(BUCKET)
        fsspec.filesystem("s3").clear_instance_cache()
        yield environment
    finally:
        server.terminate()
        server.wait()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _wait_for(url: str, server: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urlopen(url, timeout=5):  # noqa: S310 - loopback
                return
        except (URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError("the S3 server did not start")
