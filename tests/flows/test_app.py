"""The page as its users see it: a real browser, a real clip."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.flows.conftest import PROGRAM, REPOSITORY
from tests.helpers.detector import face_clip, saved_detector, small_detector

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium: install the package chromium"),
    pytest.mark.skipif(find_spec("gradio") is None, reason="no gradio: uv run --extra app pytest"),
]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("app")
    model = saved_detector(small_detector(), folder)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = (folder / "app.log").open("wb")
    settings = {"DIFFFAKE_SERVE_MAX_DURATION_S": "5", "GRADIO_TEMP_DIR": str(folder / "uploads")}
    command = [*PROGRAM, "app", "--model", str(model), "--port", str(port), "--device", "cpu"]
    # What a shell without job control starts is deaf to Ctrl-C, and so would be all that these tests start.
    hear = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    app = subprocess.Popen(
        command, cwd=REPOSITORY, env=os.environ | settings, stdout=log, stderr=log, preexec_fn=hear
    )  # fmt: skip
    place = f"http://127.0.0.1:{port}/"
    try:
        for _ in range(240):
            try:
                urlopen(place, timeout=1).close()
                break
            except OSError:
                assert app.poll() is None, (folder / "app.log").read_text()
                time.sleep(0.5)
        yield place
    finally:
        app.send_signal(signal.SIGINT)
        assert app.wait(timeout=30) in (0, 130)
        log.close()


def test_a_video_and_references_are_dropped_and_the_report_is_shown(url: str, tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    suspect = face_clip(tmp_path / "suspect <b>.mp4")
    references = [str(face_clip(tmp_path / f"reference{number}.mp4", 20 * number)) for number in (1, 2)]
    (tmp_path / "notes.mp4").write_text("no video")
    references.append(str(tmp_path / "notes.mp4"))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(url)

        page.click("#examine")
        page.get_by_text("Drop a video first.").wait_for(timeout=30_000)

        page.set_input_files("#suspect input[type=file]", str(suspect))
        page.set_input_files("#references input[type=file]", references)
        page.locator("#references").get_by_text("reference2").first.wait_for(timeout=30_000)
        page.click("#examine")
        page.wait_for_selector("#report iframe", timeout=120_000)
        assert "of real videos" in page.inner_text("#verdict")
        report = page.frame_locator("#report iframe")
        assert report.get_by_text("Against the references").is_visible()
        assert report.locator("h1").inner_text().startswith("suspect")
        with page.expect_download() as download:
            page.click("#download")
        text = Path(download.value.path()).read_text()
        assert "Video report" in text
        assert "notes.mp4 is no reference" in text
        assert "uploads" not in text
        # Neither fonts nor counters: nothing outside this machine is asked.
        assert {address.split("/")[2] for address in asked if address.startswith("http")} == {url.split("/")[2]}
        browser.close()


def test_what_cannot_be_judged_says_why(url: str, tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    (tmp_path / "text.mp4").write_text("no video")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(url)
        page.set_input_files("#suspect input[type=file]", str(tmp_path / "text.mp4"))
        page.locator("#suspect").get_by_text("text").first.wait_for(timeout=30_000)
        page.click("#examine")
        page.wait_for_selector("#report iframe", timeout=60_000)
        assert "not judged: unreadable" in page.inner_text("#verdict")
        browser.close()
