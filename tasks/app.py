"""The local page: drop a suspect video and references, watch the progress, see the report."""

import os
import tempfile
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from data_catalog.intake import ServeSettings
from difffake.detector import Detector, Device
from difffake.errors import DiffFakeError
from difffake.judgement import Judgement, VideoExamination
from difffake.media import PHOTO_SUFFIXES, VIDEO_SUFFIXES
from tasks.services import HOST
from tasks.video_report import render_video

_FRAME = '<iframe title="report" sandbox srcdoc="{page}" style="width:100%;height:75vh;border:0"></iframe>'
_UPLOADS_KEPT_S = 3600


def start_app(detector: Detector, model: Path, settings: ServeSettings, port: int, device: Device) -> Any:
    """Serve the page on this machine, and return gradio's running app; `close()` ends it.

    Nothing is shared, nobody is told; uploads are deleted after an hour, and when the app ends.

    Raises:
        OSError: the port is taken.
    """
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    import gradio

    app = _page(gradio, detector, model, settings, device)
    app.queue(default_concurrency_limit=1, max_size=20)
    app.launch(
        server_name=HOST,
        server_port=port,
        share=False,
        quiet=True,
        prevent_thread_lock=True,
        footer_links=[],
        max_file_size=int(settings.max_file_mb * 1e6),
        theme=gradio.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
        enable_monitoring=False,
        ssr_mode=False,
        mcp_server=False,
    )
    return app


def _page(gradio: Any, detector: Detector, model: Path, settings: ServeSettings, device: Device) -> Any:
    videos, photos = sorted(VIDEO_SUFFIXES), sorted(PHOTO_SUFFIXES)
    with gradio.Blocks(
        title="DiffFake", analytics_enabled=False, delete_cache=(_UPLOADS_KEPT_S, _UPLOADS_KEPT_S)
    ) as page:
        gradio.Markdown(
            "# DiffFake\nHow naturally do the faces of this video change? Files stay on this machine. "
            f"Up to {settings.max_file_mb:g} MB and {settings.max_duration_s:g} s."
        )
        with gradio.Row():
            suspect = gradio.File(label="Suspect video", file_types=videos, elem_id="suspect")
            references = gradio.File(
                label="References: trusted footage or photos of the same person (optional)",
                file_count="multiple",
                file_types=videos + photos,
                elem_id="references",
            )
        examine = gradio.Button("Examine", variant="primary", elem_id="examine")
        verdict = gradio.Markdown("Nothing has been examined yet.", elem_id="verdict", min_height=110)
        download = gradio.DownloadButton("Download the report", visible=False, elem_id="download")
        report = gradio.HTML(elem_id="report")

        def work(path: str | None, others: Sequence[str] | None, progress: Any = gradio.Progress()) -> Any:  # noqa: B008
            if path is None:
                raise gradio.Error("Drop a video first.")
            try:
                examined = _examine(detector, Path(path), others or (), settings, device, progress)
                progress(None, desc="Writing the report")
                text = render_video(examined, detector, model, device)
            except DiffFakeError as error:
                raise gradio.Error(str(error)) from error
            return _summary(examined.judgement), _download(gradio, examined.judgement, text), _embedded(text)

        examine.click(
            work,
            [suspect, references],
            [verdict, download, report],
            show_progress_on=[verdict],
            api_visibility="private",
        )
    return page


def _examine(
    detector: Detector, path: Path, references: Sequence[str], settings: ServeSettings, device: Device, progress: Any
) -> VideoExamination:
    progress(0.0, desc="Opening the video")
    examined = detector.examine(
        path,
        device,
        [Path(other) for other in references],
        settings.limits,
        lambda done, total: progress((done, total), desc="Looking for faces", unit="frames"),
    )
    # The folder of the upload is nobody's business.
    return VideoExamination(examined.judgement.renamed(path.name), examined.people)


def _summary(judged: Judgement) -> str:
    """The verdict as Markdown that shows names as they are."""
    return f"## {escape(judged.path)}\n\n{escape(judged.sentence)}"


def _download(gradio: Any, judged: Judgement, text: str) -> Any:
    folder = Path(tempfile.mkdtemp(prefix="difffake-report-", dir=_cache()))
    page = folder / f"{Path(judged.path).stem}.html"
    page.write_text(text, encoding="utf-8")
    return gradio.DownloadButton("Download the report", value=str(page), visible=True)


def _cache() -> str:
    """Where gradio keeps and deletes files; what lies there may be downloaded."""
    from gradio.utils import get_upload_folder

    folder = Path(get_upload_folder())
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder)


def _embedded(text: str) -> str:
    return _FRAME.format(page=escape(text, quote=True))
