import html
import re
from pathlib import Path

import pytest

from difffake.detector import Detector
from difffake.differential.conditions import Conditions
from tasks.video_report import render_video, write_video_report
from tests.helpers.detector import face_clip, saved_detector, small_detector


@pytest.fixture(scope="module")
def detector() -> Detector:
    return small_detector()


def words(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_the_page_tells_verdict_evidence_calibration_and_model(detector: Detector, tmp_path: Path) -> None:
    stored = saved_detector(detector, tmp_path)
    clip = face_clip(tmp_path / "suspect & co.mp4")
    detector.conditions = Conditions.of([{"frame_height_px": 1080.0}])
    examined = detector.examine(clip, "cpu")
    detector.conditions = None
    page = write_video_report(tmp_path / "reports", examined, detector, stored, "cpu")
    text = page.read_text()
    told = words(text)

    outcome = examined.judgement.outcome
    assert outcome.is_anomalous is not None
    heading = "changes in an unnatural way" if outcome.is_anomalous else "No unnatural change found"
    assert heading in told
    assert f"{outcome.p_value:.3f} p-value" in told
    assert "frames 256 px high, where the 1 calibration videos have" in told
    assert examined.judgement.sha256 in told
    assert "Fully synthetic and text-to-video content is out of scope" in told
    assert "256 × 256, h264" in told
    # A film strip and a calibration plot; as many pair pictures as there are pairs, three natural, and evidence.
    assert text.count("data:image/png") == 2
    assert len(re.findall(r'alt="two faces of', text)) == outcome.pairs_used + 3
    assert "suspect &amp; co.mp4" in text
    # Nothing is loaded from elsewhere, and nothing runs.
    assert not re.search(r'(src|href)="(?!data:)', text)
    assert "<script" not in text
    assert write_video_report(tmp_path / "reports", examined, detector, stored, "cpu") == page


def test_the_page_of_a_file_that_was_not_judged_says_why(detector: Detector, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("<script>alert(1)</script>")
    examined = detector.examine(tmp_path / "text.mp4", "cpu")
    page = render_video(examined, detector, "models:/difffake@champion", "cpu")
    assert "Not judged" in page
    assert "unreadable" in page
    assert "models:/difffake@champion" in page


def test_references_are_told_with_what_they_can_give(detector: Detector, tmp_path: Path) -> None:
    clip = face_clip(tmp_path / "a.mp4")
    references = [face_clip(tmp_path / f"r{number}.mp4", 20 * number) for number in (1, 2)]
    told = words(render_video(detector.examine(clip, "cpu", references), detector, "m", "cpu"))
    assert "compared with 2 trusted files" in told
    assert "2 references cannot give less than 0.333" in told


def test_two_files_of_one_name_have_two_pages(detector: Detector, tmp_path: Path) -> None:
    pages = set()
    for place in ("x", "y"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "same.mp4").write_text("no video")
        examined = detector.examine(tmp_path / place / "same.mp4", "cpu")
        pages.add(write_video_report(tmp_path / "reports", examined, detector, "m", "cpu"))
    assert len(pages) == 2


@pytest.mark.parametrize("name", ["A$AP_$x$.mp4", "漢" * 83 + ".mp4", "a [b] :fire: <i>.mp4"])
def test_any_name_a_file_may_have_gives_a_page(detector: Detector, tmp_path: Path, name: str) -> None:
    clip = face_clip(tmp_path / "clip.mp4")
    clip.rename(tmp_path / name)
    page = write_video_report(tmp_path / "reports", detector.examine(tmp_path / name, "cpu"), detector, "m", "cpu")
    assert html.escape(name, quote=False) in page.read_text()
