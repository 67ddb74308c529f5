"""Extraction of what a store held when it was scanned, and does not give any more."""

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from data_catalog.storage import stat_uri
from difffake.config import FacesConfig
from difffake.errors import DataError
from difffake.faces.finder import build_face_finder
from tasks.faces import PendingVideo, extract_video
from tests.helpers.detector import face_clip
from tests.helpers.s3 import BUCKET, s3_server

URI = f"s3://{BUCKET}/videos/ann.mp4"
CONFIG = FacesConfig(detector="blazeface", frames_per_video=4)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PendingVideo]:
    clip = tmp_path_factory.mktemp("clip") / "ann.mp4"
    face_clip(clip, 0)
    with s3_server():
        fsspec.filesystem("s3").put(str(clip), URI)
        size, modified = stat_uri(URI)
        yield PendingVideo("own/ann", "0" * 64, URI, size, modified, "video")
        fsspec.filesystem("s3").clear_instance_cache()


def test_a_video_is_read_from_the_store(video: PendingVideo) -> None:
    outcome = extract_video(video, "e", CONFIG, build_face_finder(CONFIG))
    assert outcome is not None
    assert outcome.status == "ok"


def test_what_is_gone_or_another_content_now_waits_for_the_next_scan(video: PendingVideo) -> None:
    gone = PendingVideo("own/bob", "1" * 64, f"s3://{BUCKET}/videos/bob.mp4", 1, 1, "video")
    other = PendingVideo(video.video_key, video.sha256, URI, video.size_bytes + 1, video.modified_ns, "video")
    finder = build_face_finder(CONFIG)
    assert extract_video(gone, "e", CONFIG, finder) is None
    assert extract_video(other, "e", CONFIG, finder) is None


def test_credentials_that_are_no_more_end_the_extraction_with_a_clear_error(
    video: PendingVideo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    fsspec.filesystem("s3").clear_instance_cache()
    with pytest.raises(DataError, match=r"the store does not give .*ann\.mp4 .*credentials"):
        extract_video(video, "e", CONFIG, build_face_finder(CONFIG))
    fsspec.filesystem("s3").clear_instance_cache()
