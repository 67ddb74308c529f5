"""Weights files: usable without the configuration, and refused when damaged."""

from pathlib import Path

import pytest
import torch

from difffake.backbone.checkpoints import load_weights, save_weights
from difffake.backbone.embedder import build_backbone
from difffake.backbone.tensor_files import read_tensors, write_tensors
from difffake.config import BackboneConfig
from difffake.errors import ArtefactError

CONFIG = BackboneConfig(
    model="test_efficientnet.r160_in1k", pretrained="none", input_size_px=48, normalisation="pretrained"
)


def test_loaded_weights_answer_alike_to_the_bit(tmp_path: Path) -> None:
    backbone = build_backbone(CONFIG, seed=4).eval()
    save_weights(backbone, tmp_path / "w.safetensors")
    loaded = load_weights(tmp_path / "w.safetensors")
    images = torch.randn(2, 3, 48, 48)
    assert torch.equal(loaded(images), backbone(images))
    assert loaded.preprocessing == backbone.preprocessing
    assert loaded.model_name == backbone.model_name
    assert loaded.embedding_dim == backbone.embedding_dim
    assert not loaded.training


def test_saved_weights_serve_as_initial_weights(tmp_path: Path) -> None:
    backbone = build_backbone(CONFIG, seed=4)
    save_weights(backbone, tmp_path / "w.safetensors")
    started = build_backbone(CONFIG.model_copy(update={"weights": tmp_path / "w.safetensors"}), seed=5)
    assert torch.equal(started.network.classifier.weight, backbone.network.classifier.weight)


def test_whether_the_network_was_trained_is_kept(tmp_path: Path) -> None:
    backbone = build_backbone(CONFIG, seed=4)
    save_weights(backbone, tmp_path / "w.safetensors")
    assert not load_weights(tmp_path / "w.safetensors").is_trained
    backbone.is_trained = True
    save_weights(backbone, tmp_path / "w.safetensors")
    assert load_weights(tmp_path / "w.safetensors").is_trained


def test_files_of_version_1_hold_trained_networks(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(build_backbone(CONFIG, seed=4), path)
    tensors, header = read_tensors(path)
    del header["is_trained"]
    write_tensors(path, tensors, header | {"version": 1})
    assert load_weights(path).is_trained


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(build_backbone(CONFIG, seed=4), path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ArtefactError, match="incomplete"):
        load_weights(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 99}, r"version 99, expected 'backbone_weights' version 2"),
        ({"kind": "backbone_training"}, r"holds 'backbone_training'"),
        ({"model": "gone_net"}, r"knows no model 'gone_net'"),
        ({"model": "test_resnet.r160_in1k"}, r"does not hold a network that the installed timm can build"),
    ],
)
def test_files_of_another_kind_are_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(build_backbone(CONFIG, seed=4), path)
    tensors, header = read_tensors(path)
    write_tensors(path, tensors, header | changes)
    with pytest.raises(ArtefactError, match=message):
        load_weights(path)
