"""A training of seconds: a tiny network on small synthetic faces."""

import dataclasses
from pathlib import Path

import pytest

from difffake.backbone.training import TrainingResult, train_backbone
from difffake.backbone.training_folder import EpochRecord
from difffake.backbone.validation import ValidationSet, draw_validation_set
from difffake.config import BackboneConfig, PseudoFakesConfig
from difffake.faces.records import FaceSet
from tests.helpers.synthetic_faces import synthetic_faces

FAKES = PseudoFakesConfig(colour_strength="strong", blend_ratios=(1.0,))
SEED = 11


def tiny_config(**changes: object) -> BackboneConfig:
    fields: dict[str, object] = {
        "model": "test_efficientnet.r160_in1k",
        "pretrained": "none",
        "input_size_px": 32,
        "epochs": 4,
        "faces_per_video_per_epoch": 3,
        "batch_pairs": 5,
        "learning_rate": 0.05,
        "keep_best": 2,
        "device": "cpu",
    }
    return BackboneConfig.model_validate(fields | changes)


def run(work_dir: Path, **changes: object) -> TrainingResult:
    return train_backbone(tiny_config(**changes), FAKES, training_faces(), validation_set(), work_dir, SEED)


def training_faces() -> FaceSet:
    return synthetic_faces(videos=4, faces_per_video=4, size_px=48)


def validation_set() -> ValidationSet:
    return draw_validation_set(synthetic_faces(3, 3, size_px=48, name="w"), FAKES, 2, SEED)


def without_seconds(result: TrainingResult) -> list[EpochRecord]:
    return [dataclasses.replace(record, seconds=0.0) for record in result.history]


def assert_same_outcome(left: TrainingResult, right: TrainingResult) -> None:
    assert without_seconds(left) == without_seconds(right)
    assert [path.name for path in left.kept_weights] == [path.name for path in right.kept_weights]
    for ours, theirs in zip(left.kept_weights, right.kept_weights, strict=True):
        assert ours.read_bytes() == theirs.read_bytes()


class StoppedError(Exception):
    """Ends a training from its callback."""


def stop_after(epoch: int, work_dir: Path, **changes: object) -> None:
    def stop(record: EpochRecord) -> None:
        if record.epoch == epoch:
            raise StoppedError

    config = tiny_config(**changes)
    with pytest.raises(StoppedError):
        train_backbone(config, FAKES, training_faces(), validation_set(), work_dir, SEED, on_epoch=stop)
