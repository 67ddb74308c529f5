"""Extraction: its CPU time against decoding the same frames, its scaling over workers, its memory."""

import json
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.measure import Figure, in_fresh_process, median_of, peak_mb, resident_mb, spent
from benchmarks.media import decode, sample_sets, sample_videos, sampled
from difffake.config import FacesConfig
from difffake.faces.extraction import extract_faces
from difffake.faces.finder import FaceFinder, build_face_finder
from difffake.memory import give_back_memory, release_memory, set_aside_what_is_loaded

_CONFIG = FacesConfig(detector="blazeface")
_REPEATS = 3
_MEMORY_VIDEOS = 200
_SOUGHT_VIDEOS = 2
_finder: FaceFinder | None = None


def run() -> list[Figure]:
    """Every figure of extraction."""
    return [*_against_decoding(), *_against_seeking(), _scaling(), *_memory()]


def _against_decoding() -> list[Figure]:
    figures = []
    for name, videos in sample_sets().items():
        decode(videos[0], sampled(videos[0], _CONFIG.frames_per_video))
        _extract(videos[0])
        ratio, spread = median_of(_REPEATS, lambda videos=videos: _ratio(videos))
        cpu_s, _ = median_of(1, lambda videos=videos: _cpu_s(videos))
        note = f"[floor: PyAV decodes the same frames] {len(videos)} videos, {spread}"
        figures += [
            Figure(f"extraction, {name}", ratio, "x", bar=1.4, note=note),
            Figure(f"extraction, {name}", cpu_s / len(videos), "CPU s a video"),
        ]
    return figures


def _against_seeking() -> list[Figure]:
    """Frame by frame, as many scripts do it: seek with OpenCV, find a face, cut it out, write a PNG.

    The detector is dlib's of histograms of oriented gradients (HOG), of the extra `identity`; OpenCV 5 brings none of
    its own. Without it the figure is of seeking and writing alone, and has no bar.
    """
    detect = import_module("dlib").get_frontal_face_detector() if find_spec("dlib") else None
    what, bar = ("HOG detection", 10) if detect else ("no detector: the extra identity has one", None)
    figures = []
    for name, videos in sample_sets().items():
        some = videos[:_SOUGHT_VIDEOS]
        # Networks are loaded once a process, whichever is measured first.
        _extract(some[0])
        ratio = sum(_seek(video, detect) for video in some) / _cpu_s(some)
        note = f"[OpenCV seeking, {what}, PNG] {len(some)} videos"
        figures.append(Figure(f"times faster than frame-by-frame seeking, {name}", ratio, "x", bar, "higher", note))
    return figures


def _seek(video: Path, detect: Callable[[npt.NDArray[np.uint8], int], Sequence[Any]] | None) -> float:
    wanted = sorted(sampled(video, _CONFIG.frames_per_video))
    with spent() as measured:
        capture = cv2.VideoCapture(str(video))
        for index in wanted:
            capture.set(cv2.CAP_PROP_POS_FRAMES, index)
            found, frame = capture.read()
            if not found:
                continue
            # Once enlarged and in grey, as the field's scripts ask it.
            grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
            for box in detect(grey, 1)[:1] if detect else ():
                frame = frame[max(box.top(), 0) : box.bottom(), max(box.left(), 0) : box.right()]
            cv2.imencode(".png", cv2.resize(frame, (_CONFIG.crop_size_px, _CONFIG.crop_size_px)))
        capture.release()
    return measured.cpu_s


def _ratio(videos: list[Path]) -> float:
    floor = whole = 0.0
    for video in videos:
        wanted = sampled(video, _CONFIG.frames_per_video)
        # One after the other, so that both see the same state of the machine.
        with spent() as decoding:
            decode(video, wanted)
        with spent() as extraction:
            _extract(video)
        floor, whole = floor + decoding.cpu_s, whole + extraction.cpu_s
    return whole / floor


def _cpu_s(videos: list[Path]) -> float:
    with spent() as extraction:
        for video in videos:
            _extract(video)
    return extraction.cpu_s


def _scaling() -> Figure:
    videos = sample_videos("FaceForensics++")
    speedup, spread = median_of(_REPEATS, lambda: _wall_s(1, videos) / _wall_s(2, videos))
    return Figure(
        "two workers against one", speedup, "x", bar=1.8, better="higher", note=f"{spread}; wants two idle cores"
    )


def _wall_s(workers: int, videos: list[Path]) -> float:
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        list(pool.map(_extract, videos[:1] * workers * 2))
        with spent() as measured:
            list(pool.map(_extract, sorted(videos, key=lambda video: -video.stat().st_size)))
    return measured.wall_s


def _memory() -> list[Figure]:
    measured = json.loads(in_fresh_process("benchmarks.extraction", ["memory"]))
    growth = measured["after_all_mb"] - measured["after_quarter_mb"]
    note = f"{_MEMORY_VIDEOS} videos in one process, 224 px to 1080p"
    return [
        Figure("memory of a worker", measured["peak_mb"], "MB", bar=700, note=note),
        Figure("its growth over the last 150 videos", growth, "MB", bar=30, note=note),
    ]


def _measure_memory() -> None:
    videos = sample_videos("FaceForensics++", "DFDC", "UADFV", "talking_heads")
    # The largest first, so that the peak of one video is behind when growth is measured.
    videos.sort(key=lambda video: -video.stat().st_size)
    after_quarter = 0.0
    for number in range(_MEMORY_VIDEOS):
        _extract(videos[number % min(len(videos), _MEMORY_VIDEOS // 4)])
        if number + 1 == _MEMORY_VIDEOS // 4:
            after_quarter = _held_mb()
    facts = {"after_quarter_mb": after_quarter, "after_all_mb": _held_mb(), "peak_mb": peak_mb()}
    sys.stdout.write(json.dumps(facts))


def _held_mb() -> float:
    """Without what the next release would give back, which is at times much and at times little."""
    give_back_memory()
    return resident_mb()


def _extract(video: Path) -> None:
    # Once a process, as a worker has it.
    global _finder
    if _finder is None:
        cv2.setNumThreads(1)
        _finder = build_face_finder(_CONFIG)
        set_aside_what_is_loaded()
    extract_faces(video, "content", "extraction", _CONFIG, _finder)
    release_memory()


if __name__ == "__main__":
    _measure_memory()
