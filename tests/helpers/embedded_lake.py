"""An experiment whose lake holds embedded faces made by hand: stages after the network run on it in seconds."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from data_catalog.home import Home
from data_catalog.schemas import TableName
from difffake.backbone.checkpoints import save_weights
from difffake.backbone.embedder import build_backbone
from difffake.config import BackboneConfig, DatasetSpec, ExperimentConfig, parse_config
from tasks import backbone as backbone_stage
from tasks.experiment import Experiment, StageRecord
from tests.helpers.lake_rows import EXTRACTION, Row, face, fill, outcome, video

WIDTH = 8
FACES = 6
BACKBONE = "backbone-under-test"
EMBEDDINGS = StageRecord(stage="embeddings", fingerprint=BACKBONE, digest=BACKBONE, reused=False, summary="")
DATASET = DatasetSpec(
    name="d",
    adapter="folder",
    root="/nowhere",
    roles={"train": ("train",), "density": ("train",), "calibration": ("val",), "test": ("test",)},
)
PEOPLE = {"train": 6, "val": 4, "test": 4}
VIDEOS_PER_PERSON = 3


def real_videos(videos_per_person: int = VIDEOS_PER_PERSON) -> list[Row]:
    """Real videos of every split, the same number of every person."""
    return [
        video(f"d/{split}/p{person}v{number}", f"{split}-{person}-{number}", split=split, identity=f"d:{split}{person}")
        for split, people in PEOPLE.items()
        for person in range(people)
        for number in range(videos_per_person)
    ]


def fake_videos() -> list[Row]:
    """One fake of the first video of every test person."""
    return [
        video(
            f"d/fake/p{person}", f"fake-{person}", split="test", label="fake", manipulation="swap",
            identity=f"d:test{person}", original_key=f"d/test/p{person}v0",
        )
        for person in range(PEOPLE["test"])
    ]  # fmt: skip


def experiment_of(folder: Path, videos: list[Row], **sections: dict[str, Any]) -> Experiment:
    """An experiment over these videos; a person's embeddings are alike, those of a fake change in another way."""
    density = {"components": 2, "covariance": "diag", "l2_normalise": False} | sections.pop("density", {})
    content = {"faces": {"detector": "blazeface"}, "evaluation": {"bootstrap_resamples": 20}}
    config: ExperimentConfig = parse_config(content | {"density": density} | sections, "a test")
    experiment = Experiment(config, Home(folder), (DATASET,))
    experiment.home.create()
    lake = experiment.lake
    fill(lake, TableName.VIDEOS, videos)
    contents = {row["sha256"]: row for row in videos}
    fill(lake, TableName.EXTRACTION_LOG, [outcome(sha256, faces_found=FACES) for sha256 in contents])
    fill(lake, TableName.FACES, [face(sha256, number) for sha256 in contents for number in range(FACES)])
    fill(lake, TableName.EMBEDDINGS, [row for video_row in contents.values() for row in _embeddings(video_row)])
    return experiment


def with_settings(experiment: Experiment, **sections: dict[str, Any]) -> Experiment:
    """The same lake under other settings."""
    content = experiment.config.model_dump(mode="json")
    changed = {name: content[name] | changes for name, changes in sections.items()}
    return replace(experiment, config=parse_config(content | changed, "a test"))


def trained_backbone(experiment: Experiment, *, is_trained: bool = False) -> StageRecord:
    """The record of a network with random weights, which nothing in the lake is embedded with."""
    network = build_backbone(BackboneConfig(model="test_efficientnet", pretrained="none", input_size_px=64), seed=0)
    network.is_trained = is_trained
    store = experiment.home.artefacts
    with store.staging(backbone_stage.STAGE, BACKBONE) as folder:
        save_weights(network, folder / backbone_stage.WEIGHTS)
        store.publish(folder, backbone_stage.STAGE, BACKBONE, {}, digest=BACKBONE)
    return StageRecord(stage=backbone_stage.STAGE, fingerprint=BACKBONE, digest=BACKBONE, reused=False, summary="")


def _embeddings(row: Row) -> list[Row]:
    person = np.random.default_rng(sum(row["identity"].encode()))
    rng = np.random.default_rng(sum(row["sha256"].encode()) * 1000)
    spread = np.where(np.arange(WIDTH) < 2, 4.0, 0.5) if row["label"] == "fake" else np.ones(WIDTH)
    centre = person.normal(size=WIDTH) * 3 + rng.normal(size=WIDTH)
    vectors = centre + spread * rng.normal(size=(FACES, WIDTH))
    return [
        {
            "face_id": f"{row['sha256']}-{number}",
            "video_sha256": row["sha256"],
            "backbone": BACKBONE,
            "features": vector.astype(np.float32).tolist(),
            "fake_probability": 0.5,
        }
        for number, vector in enumerate(vectors)
    ]


__all__ = [
    "BACKBONE", "DATASET", "EMBEDDINGS", "EXTRACTION", "FACES", "PEOPLE", "VIDEOS_PER_PERSON", "WIDTH",
    "experiment_of", "fake_videos", "real_videos", "trained_backbone", "with_settings",
]  # fmt: skip
