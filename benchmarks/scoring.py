"""Scoring: its CPU time against decoding and one forward pass a face, the time to load a model, and its memory."""

import json
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import torch

from benchmarks.measure import Figure, in_fresh_process, median_of, peak_mb, resident_mb, spent
from benchmarks.media import decode, sample_sets, sample_videos, sampled
from difffake.backbone.checkpoints import save_weights
from difffake.backbone.device import crops_at_once
from difffake.backbone.embed import embed_images
from difffake.backbone.embedder import build_backbone
from difffake.config import BackboneConfig, DensityConfig, FacesConfig, PairsConfig
from difffake.detector import Detector, Settings
from difffake.differential.calibration import fit_calibration
from difffake.differential.density import fit_density
from difffake.faces.finder import build_face_finder
from difffake.limits import InputLimits
from difffake.memory import release_memory, set_aside_what_is_loaded

_REPEATS = 3
_MEMORY_VIDEOS = 200
_FACES = FacesConfig(detector="blazeface")
_SIZE_PX = 160


def run() -> list[Figure]:
    """Every figure of scoring."""
    return [*_against_floor(), *_in_fresh_process()]


def _detector() -> Detector:
    """The laptop experiment's network and density (`configs/cpu.yaml`), untrained: what they cost is the same."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    config = BackboneConfig(
        model="tf_efficientnet_lite0",
        pretrained="wheel",
        normalisation="pretrained",
        input_size_px=_SIZE_PX,
        device="cpu",
    )
    backbone = build_backbone(config, seed=0)
    backbone.is_trained = True
    drawn = np.square(np.random.default_rng(0).normal(size=(2, 2000, backbone.embedding_dim)))
    drawn /= np.linalg.norm(drawn, axis=2, keepdims=True)
    density = fit_density(DensityConfig(model="ledoit_wolf", against="pseudo_fakes"), 0, *drawn)
    settings = Settings(
        faces=_FACES, pairs=PairsConfig(draw="spread"), combination="squared", l2_normalise=True, seed=0,
        extraction="benchmark", face_models=build_face_finder(_FACES).fingerprint_parts(),
    )  # fmt: skip
    return Detector(settings, backbone, density, None, {"differential": fit_calibration([0.0], 0.05)})


def _against_floor() -> list[Figure]:
    detector = _detector()
    figures = []
    for name, videos in sample_sets().items():
        detector.score(videos[0], "cpu")
        ratio, spread = median_of(_REPEATS, lambda videos=videos: _ratio(detector, videos))
        note = f"[floor: decode the same frames and one forward pass a face] {len(videos)} videos, {spread}"
        figures.append(Figure(f"scoring, {name}", ratio, "x", bar=1.5, note=note))
    return figures


def _ratio(detector: Detector, videos: list[Path]) -> float:
    floor = whole = 0.0
    at_once = crops_at_once(detector.backbone.device, _SIZE_PX)
    for video in videos:
        with spent() as scoring:
            judged = detector.score(video, "cpu")
        faces = sum(person.score.faces_used for person in judged.people if person.score.status == "scored")
        images = np.random.default_rng(0).integers(0, 256, (faces, _SIZE_PX, _SIZE_PX, 3), dtype=np.uint8)
        wanted = sampled(video, _FACES.frames_per_video)
        with spent() as least:
            decode(video, wanted)
            for start in range(0, faces, at_once):
                embed_images(detector.backbone, images[start : start + at_once])
        floor, whole = floor + least.cpu_s, whole + scoring.cpu_s
    return whole / floor


def _in_fresh_process() -> list[Figure]:
    measured = json.loads(in_fresh_process("benchmarks.scoring", []))
    note = f"{_MEMORY_VIDEOS} videos in one process, 224 px to 1080p"
    return [
        Figure("loading a detector, after imports", measured["load_s"], "s", bar=3, note="folder, weights, density"),
        Figure("memory of scoring", measured["peak_mb"], "MB", note=note),
        Figure("its growth over the last 150 videos", measured["growth_mb"], "MB", bar=30, note=note),
    ]


def _measure() -> None:
    made = _detector()
    with TemporaryDirectory() as place:
        folder = Path(place) / "detector"
        folder.mkdir()
        save_weights(made.backbone, Path(place) / "weights")
        made.density.save(Path(place) / "density")
        made.save(folder, Path(place) / "weights", Path(place) / "density")
        started = time.perf_counter()
        detector = Detector.load(folder)
        load_s = time.perf_counter() - started
    del made
    set_aside_what_is_loaded()
    videos = sample_videos("FaceForensics++", "DFDC", "UADFV", "talking_heads")
    videos.sort(key=lambda video: -video.stat().st_size)
    after_quarter = 0.0
    for number in range(_MEMORY_VIDEOS):
        detector.score(videos[number % min(len(videos), _MEMORY_VIDEOS // 4)], "cpu", limits=InputLimits.none())
        release_memory()
        if number + 1 == _MEMORY_VIDEOS // 4:
            after_quarter = resident_mb()
    facts = {"load_s": load_s, "peak_mb": peak_mb(), "growth_mb": resident_mb() - after_quarter}
    sys.stdout.write(json.dumps(facts))


if __name__ == "__main__":
    _measure()
