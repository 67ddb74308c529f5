"""`difffake score` as its users call it, with everything a folder may hold."""

import csv
import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from difffake.video import Frame
from difffake.video_writing import reencode, write_video
from tests.flows.conftest import Program
from tests.helpers.detector import face_clip, saved_detector, small_detector
from tests.helpers.media import astronaut_rgb, with_display_matrix, write_audio

pytestmark = [pytest.mark.xdist_group("batch"), pytest.mark.slow]

FACE = astronaut_rgb()[0:256, 100:356]


def moving(count: int, picture: np.ndarray = FACE) -> list[np.ndarray]:
    return [np.roll(picture, 3 * step, axis=1) for step in range(count)]


def one_frame(path: Path) -> None:
    write_video(path, [FACE], 25, 18)


def huge(path: Path) -> None:
    picture = cv2.resize(astronaut_rgb(), (4320, 4320))
    canvas = np.zeros((4320, 7680, 3), np.uint8)
    canvas[:, 1000:5320] = picture
    write_video(path, [np.roll(canvas, 40 * step, axis=1) for step in range(4)], 25, 40)


def two_hours(path: Path) -> None:
    reencode(path, [Frame(n, n * 1800.0, picture) for n, picture in enumerate(moving(5))], 1 / 1800, 18)


def variable_rate(path: Path) -> None:
    times = [0.0, 0.04, 0.5, 0.52, 2.0, 2.04, 2.5, 6.0]
    reencode(path, [Frame(n, times[n], picture) for n, picture in enumerate(moving(8))], 1.3, 18)


def rotated(path: Path) -> None:
    write_video(path, [np.ascontiguousarray(np.rot90(picture)) for picture in moving(8)], 8, 18)
    with_display_matrix(path, (0, 1, -1, 0))


def greyscale(path: Path) -> None:
    write_video(path, [np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
                       for picture in moving(8)], 8, 18)  # fmt: skip


def twenty_faces(path: Path) -> None:
    crowd = np.tile(cv2.resize(FACE, (160, 160)), (4, 5, 1))
    shifts = [0, 1, 2, 3, 2, 1, 0, 1]
    write_video(path, [np.roll(crowd, shift, axis=1) for shift in shifts], 8, 12)


def still(path: Path) -> None:
    write_video(path, [FACE] * 8, 8, 28)


def cut(path: Path) -> None:
    face_clip(path)
    content = path.read_bytes()
    path.write_bytes(content[: 2 * len(content) // 3])


def cut_behind_its_index(path: Path) -> None:
    """Remuxed with the index in front, then cut: it promises frames that are not there."""
    whole = path.with_name("whole.mp4")
    write_video(whole, [np.random.default_rng(n).integers(0, 256, (96, 96, 3), np.uint8) for n in range(40)], 25, 10)
    with av.open(str(whole)) as source, av.open(str(path), "w", options={"movflags": "faststart"}) as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                copy.mux(packet)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    whole.unlink()


def scrambled(path: Path) -> None:
    write_video(path, moving(60), 25, 10)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20_000] = np.random.default_rng(0).bytes(20_000)
    path.write_bytes(bytes(content))


CASES: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    # name: how it is made, status, part of the reason or of the cautions
    "good.mp4": (face_clip, "scored", ""),
    "text.mp4": (lambda path: path.write_text("no video at all\n" * 99), "failed", "unreadable"),
    "empty.mp4": (lambda path: path.write_bytes(b""), "failed", "unreadable"),
    "sound.mp4": (write_audio, "failed", "no video stream (it holds: audio)"),
    "one_frame.mp4": (one_frame, "abstained", "1 faces on the main track, 4 wanted"),
    "8k.mp4": (huge, "scored", ""),
    "two_hours.mp4": (two_hours, "failed", "refused: a video of"),
    "variable_rate.mp4": (variable_rate, "scored", ""),
    "rotated.mp4": (rotated, "scored", ""),
    "greyscale.mp4": (greyscale, "scored", ""),
    "no_face.mp4": (
        lambda path: write_video(path, [np.full((128, 128, 3), 99, np.uint8)] * 8, 8, 18), "abstained", "no_face",
    ),
    "twenty_faces.mp4": (twenty_faces, "scored", ""),
    "still.mp4": (still, "scored", "hardly moves"),
    "photo.png": (
        lambda path: cv2.imwrite(str(path), cv2.cvtColor(FACE, cv2.COLOR_RGB2BGR)), "abstained", "give no pair",
    ),
    "cut.mp4": (cut, "failed", "unreadable"),
    "cut_behind_its_index.mp4": (cut_behind_its_index, "failed", "truncated: decoded"),
    "missing.mp4": (lambda _path: None, "failed", "there is no such file"),
}  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(saved_detector(small_detector(), tmp_path_factory.mktemp("model")))


def test_every_kind_of_bad_input_is_a_row_with_status_and_reason(program: Program, model: str, tmp_path: Path) -> None:
    for name, (make, _, _) in CASES.items():
        make(tmp_path / name)
    scrambled(tmp_path / "scrambled.mp4")
    places = [str(tmp_path / name) for name in [*CASES, "scrambled.mp4"]]
    out = tmp_path / "result.json"
    run = program.call("score", *places, "--model", model, "--out", str(out), "--device", "cpu")
    assert run.returncode == 2, run.stderr
    assert "Traceback" not in run.stderr

    rows = json.loads(out.read_text())
    by_name: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_name.setdefault(Path(row["path"]).name, []).append(row)
    assert list(by_name) == [*CASES, "scrambled.mp4"]
    for name, (_, status, said) in CASES.items():
        first = by_name[name][0]
        assert first["status"] == status, (name, first)
        assert said in first["reason"] + first["cautions"], (name, first)
        if status == "scored":
            assert 0 < first["p_value"] <= 1
        else:
            assert first["reason"]
    # Rolled over the edge, some faces of the crowd are cut in two.
    assert 15 <= len(by_name["twenty_faces.mp4"]) <= 20
    # What FFmpeg can still decode decides; either way there is one outcome.
    scrambled_row = by_name["scrambled.mp4"][0]
    assert scrambled_row["status"] == "scored" or scrambled_row["reason"]
    unscored = sum(members[0]["status"] != "scored" for members in by_name.values())
    assert f"{len(by_name) - unscored} of {len(by_name)} scored" in run.stderr


def test_formats_exit_codes_reports_and_references(program: Program, model: str, tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    face_clip(clips / "a.mp4")
    references = tmp_path / "references"
    references.mkdir()
    for number in (1, 2):
        face_clip(references / f"{number}.mp4", 20 * number)
    common = (str(clips), "--model", model, "--device", "cpu")

    table = program.call("score", *common, "--report", str(tmp_path / "reports"), "--reference", str(references))
    assert table.returncode == 0, table.stderr
    assert "anomalous" in table.stdout
    assert "p-value: share of real videos that score as high" in table.stdout
    (page,) = (tmp_path / "reports").glob("a.mp4-*.html")
    assert "Against the references" in page.read_text()

    read = {}
    for suffix in ("json", "csv", "parquet"):
        assert program.call("score", *common, "--out", str(tmp_path / f"r.{suffix}")).returncode == 0
    read["json"] = json.loads((tmp_path / "r.json").read_text())[0]["score"]
    read["csv"] = float(next(csv.DictReader((tmp_path / "r.csv").open()))["score"])
    read["parquet"] = pq.read_table(tmp_path / "r.parquet")["score"][0].as_py()
    assert len(set(read.values())) == 1

    stdout = program.call("score", *common, "--format", "json")
    assert json.loads(stdout.stdout)[0]["score"] == read["json"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("a.mp4", "--home", "{tmp}"), 1, "there is no trained model"),
        (("a.mp4", "--model", "{tmp}/nothing"), 1, "is not a detector folder"),
        (("a.mp4", "--model", "{tmp}", "--reference", "{tmp}/none"), 1, "there is no such file or folder"),
        (("a.mp4", "--format", "parquet"), 2, "name a file with --out"),
        ((), 2, "Missing argument"),
    ],
)
def test_what_cannot_be_done_is_one_message_with_what_to_do(
    program: Program, tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    run = program.call("score", *(argument.format(tmp=tmp_path) for argument in arguments))
    assert run.returncode == code
    assert said in " ".join(run.stderr.split())
    assert "Traceback" not in run.stderr


def test_interrupted_it_writes_what_it_has(program: Program, model: str, tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    for number in range(40):
        face_clip(clips / f"{number:02}.mp4", number)
    running = program.start(
        "score", str(clips), "--model", model, "--device", "cpu", "--out", str(tmp_path / "r.json"),
        "--report", str(tmp_path / "reports"),
    )  # fmt: skip
    while running.poll() is None and not list((tmp_path / "reports").glob("*.html")):
        time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    said = running.communicate(timeout=120)[1]
    assert running.returncode == 2, said
    assert "of 40 files; what was scored is in the result" in said
    assert 1 <= len(json.loads((tmp_path / "r.json").read_text())) < 40


def test_results_that_cannot_be_written_are_refused_before_anything_is_scored(
    program: Program, model: str, tmp_path: Path
) -> None:
    run = program.call("score", str(tmp_path), "--model", model, "--out", str(tmp_path))
    assert run.returncode == 2
    assert "name a file in it" in run.stderr
