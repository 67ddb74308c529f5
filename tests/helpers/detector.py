"""A small detector, whole but untrained: it scores real clips in seconds."""

from pathlib import Path

import numpy as np

from difffake.backbone.checkpoints import save_weights
from difffake.backbone.embedder import build_backbone
from difffake.config import BackboneConfig, FacesConfig, PairsConfig
from difffake.detector import Detector, Settings
from difffake.differential.calibration import fit_calibration
from difffake.differential.combination import differences
from difffake.differential.density import GaussianMixtureDensity
from difffake.differential.fusion import Fusion
from difffake.differential.pairs import draw_pairs
from difffake.faces.finder import build_face_finder
from difffake.video_writing import write_video
from tasks.faces import extraction_fingerprint
from tests.helpers.media import aged, astronaut_rgb

SETTINGS = Settings(
    faces=FacesConfig(detector="blazeface", frames_per_video=6, crop_size_px=64),
    pairs=PairsConfig(),
    combination="squared",
    l2_normalise=True,
    verdict="differential",
    seed=3,
    extraction="test",
    face_models=build_face_finder(FacesConfig(detector="blazeface")).fingerprint_parts(),
)
FUSED = Fusion(centres=(1.0, -2.0), scales=(2.0, 4.0), weights=(3.0, 0.5), reals=12, pseudo_fakes=48)
NAMES = [f"face{number}" for number in range(20)]


def embeddings(seed: int, count: int, width: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


def small_detector() -> Detector:
    """One calibrated on twenty drawn videos."""
    config = BackboneConfig(model="test_efficientnet", pretrained="none", input_size_px=64, device="cpu")
    backbone = build_backbone(config, seed=0)
    backbone.is_trained = True
    width = backbone.embedding_dim
    pairs = draw_pairs(NAMES, SETTINGS.pairs, SETTINGS.seed)
    training = [differences(NAMES, embeddings(seed, 20, width), pairs, "squared", True) for seed in range(20)]
    density = GaussianMixtureDensity(components=2, covariance="diag", covariance_floor=1e-6).fit(np.vstack(training))
    uncalibrated = Detector(SETTINGS, backbone, density)
    scores = []
    for seed in range(100, 120):
        scored = uncalibrated.score_faces(NAMES, embeddings(seed, 20, width), np.full(20, 0.5, np.float32))
        assert scored.score is not None
        scores.append(scored.score)
    calibrations = {"differential": fit_calibration(scores, 0.05), "fusion": fit_calibration([-1.0, 4.0], 0.05)}
    return Detector(SETTINGS, backbone, density, FUSED, calibrations, {"made": "in a test"})


def saved_for_this_installation(place: Path) -> Path:
    """The folder of one that may score what is extracted here."""
    made = small_detector()
    extraction = extraction_fingerprint(SETTINGS.faces, build_face_finder(SETTINGS.faces))
    settings = SETTINGS.model_copy(update={"extraction": extraction})
    detector = Detector(settings, made.backbone, made.density, made.fusion, made.calibrations)
    return saved_detector(detector, place)


def saved_detector(detector: Detector, place: Path) -> Path:
    """The folder the detector was saved in, below a place."""
    folder = place / "detector"
    folder.mkdir()
    save_weights(detector.backbone, place / "weights")
    detector.density.save(place / "density")
    detector.save(folder, place / "weights", place / "density")
    return folder


def face_clip(path: Path, start: int = 0) -> Path:
    """Eight frames of a face that moves; the start is where it is first."""
    face = astronaut_rgb()[0:256, 100:356]
    write_video(path, [np.roll(face, start + 3 * step, axis=1) for step in range(8)], fps=8, crf=18)
    return aged(path)
