"""Training that ends early or goes wrong, other precisions, and what is found before time is spent."""

import os
import re
import shutil
from functools import partialmethod
from pathlib import Path

import pytest
import torch
import torch._dynamo.utils

from difffake.backbone.checkpoints import load_weights, save_weights
from difffake.backbone.embedder import build_backbone
from difffake.backbone.schedule import epochs_to_run
from difffake.backbone.tensor_files import read_tensors, write_tensors
from difffake.backbone.training import check_backbone, store_untrained, train_backbone
from difffake.backbone.training_folder import EpochRecord, diverged_marker
from difffake.errors import ArtefactError, ConfigError, DivergedError, WeightsError
from tests.helpers.preloaded import Preloaded
from tests.helpers.tiny_training import (
    FAKES,
    SEED,
    StoppedError,
    assert_same_outcome,
    run,
    stop_after,
    tiny_config,
    training_faces,
    validation_set,
)

REPOSITORY = Path(__file__).parents[3]
# Weight decay alone multiplies the weights by 1 − 3 in every step: they overflow after some epochs.
DIVERGING = {"learning_rate": 3.0, "sam_rho": 0.0, "momentum": 0.0, "weight_decay": 1.0, "epochs": 60}


def test_what_a_diverged_training_leaves_can_be_used_and_a_rerun_says_so_at_once(tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match=r"not finite|the loss is") as first:
        run(tmp_path, **DIVERGING)
    named = re.search(r"checkpoint of epoch (\d+) is kept.* of epoch (\d+) with .*: (\S+)\. Another", str(first.value))
    assert named is not None
    assert Path(named[3]) == tmp_path / f"weights-{int(named[2]):05d}.safetensors"
    assert load_weights(Path(named[3])).is_trained
    assert (tmp_path / f"checkpoint-{int(named[1]):05d}.safetensors").is_file()
    # Its best weights start another training.
    run(tmp_path / "next", weights=Path(named[3]), epochs=1)

    kept = sorted(path.name for path in tmp_path.glob("*.safetensors"))
    steps: list[int] = []
    with pytest.raises(DivergedError, match=r"diverged before.*learning_rate.*--force backbone") as again:
        train_backbone(
            tiny_config(**DIVERGING),
            FAKES,
            training_faces(),
            validation_set(),
            tmp_path,
            SEED,
            on_step=lambda done, _: steps.append(done),
        )
    assert steps == []
    assert str(first.value) in str(again.value)
    assert sorted(path.name for path in tmp_path.glob("*.safetensors")) == kept
    # Without the note it goes on from the checkpoint, to the same end.
    diverged_marker(tmp_path).unlink()
    with pytest.raises(DivergedError, match=re.escape(str(first.value))):
        run(tmp_path, **DIVERGING)


def test_a_training_that_diverges_in_its_first_epoch_says_that_nothing_was_kept(tmp_path: Path) -> None:
    weights = build_backbone(tiny_config(), seed=0)
    with torch.no_grad():
        weights.network.conv_stem.weight.fill_(float("nan"))
    save_weights(weights, tmp_path / "nan.safetensors")
    with pytest.raises(DivergedError, match=r"the loss is nan in epoch 1, step 1 of 12.*No epoch was finished"):
        run(tmp_path / "work", weights=tmp_path / "nan.safetensors")


def test_early_stopping_ends_with_a_falling_rate_and_resumes_to_the_same_bits(tmp_path: Path) -> None:
    changes = {"epochs": 30, "early_stop_epochs": 2}
    whole = run(tmp_path / "whole", **changes)
    aucs = [record.validation_auc for record in whole.history]
    assert len(aucs) == epochs_to_run(aucs, 30, 0.25, 2) < 30
    rates = [record.learning_rate for record in whole.history]
    assert rates[0] == 0.05
    # 3 steps an epoch; the last step is one before the end of the decay over a quarter of them.
    assert rates[-1] == pytest.approx(0.05 / (0.25 * 3 * len(aucs)))
    seen: list[int] = []

    def stop(record: EpochRecord) -> None:
        seen.append(record.epoch)
        if record.epoch == len(aucs) - 1:
            raise StoppedError

    for on_epoch in (stop, None):
        arguments = tiny_config(**changes), FAKES, training_faces(), validation_set(), tmp_path / "cut", SEED
        if on_epoch is not None:
            with pytest.raises(StoppedError):
                train_backbone(*arguments, on_epoch=on_epoch)
        else:
            assert_same_outcome(train_backbone(*arguments), whole)


def test_bfloat16_learns_nearly_the_same_and_weights_stay_in_single_precision(
    tmp_path: Path,
) -> None:
    halved, whole = run(tmp_path / "bf16", precision="bf16"), run(tmp_path / "auto")
    losses = [[record.train_loss for record in result.history] for result in (halved, whole)]
    assert losses[0] != losses[1]
    # Eight bits round otherwise on every kind of processor, and an epoch here is a few steps: 0.064 was seen on one.
    assert losses[0][0] == pytest.approx(losses[1][0], abs=0.15)
    tensors, _ = read_tensors(halved.best_weights)
    assert {tensor.dtype for tensor in tensors.values() if tensor.is_floating_point()} == {torch.float32}
    assert_same_outcome(run(tmp_path / "fp32", precision="fp32"), whole)


_NO_COMPILER = """
import sys
from pathlib import Path
from torch._inductor import config
from tests.helpers import tiny_training as here
from difffake.errors import ConfigError
# Read from CXX when it was imported.
config.cpp.cxx = (sys.argv[2],)
try:
    here.run(Path(sys.argv[1]), compile=True)
except ConfigError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_compiled_training_has_the_same_names_and_nearly_the_same_losses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        pytest.skip("torch.compile needs a C++ compiler on a CPU")
    # torch traces both passes and their gradients; that it writes C++ too is tried on a small function: for a network
    # it takes two minutes.
    monkeypatch.setattr(torch.nn.Module, "compile", partialmethod(torch.nn.Module.compile, backend="aot_eager"))
    # One batch: a second size would be compiled again.
    changes = {
        "model": "test_resnet.r160_in1k", "epochs": 1, "learning_rate": 0.005, "batch_pairs": 12, "input_size_px": 64
    }  # fmt: skip
    torch._dynamo.utils.counters.clear()
    compiled = run(tmp_path, compile=True, **changes)
    # The small function, and the network with batch statistics that are recorded and that are not.
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 3
    plain = run(tmp_path / "plain", **changes)
    assert compiled.history[0].train_loss == pytest.approx(plain.history[0].train_loss, abs=1e-4)
    ours, theirs = read_tensors(compiled.best_weights)[0], read_tensors(plain.best_weights)[0]
    assert list(ours) == list(theirs)
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.slow
def test_without_a_compiler_compile_is_a_clear_error(plain: Preloaded, tmp_path: Path) -> None:
    settings = os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    arguments = [str(tmp_path / "work"), str(tmp_path / "none")]
    told = plain.call(arguments, settings, REPOSITORY, timeout_s=300, code=_NO_COMPILER)
    assert told.returncode == 0, told.stderr
    assert "torch.compile does not work here" in told.stdout
    assert "install a C++ compiler" in told.stdout


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "efficientnet_b9"}, "efficientnet_b8"),
        ({"processes": 9}, "a batch has 5 pairs"),
        ({"pretrained": "wheel"}, "tf_efficientnet_lite0, tf_efficientnet_lite1, tf_efficientnet_lite2 only"),
        ({"model": "vit_tiny_patch16_224"}, "does not take pictures of 32 × 32 px"),
        (
            {"model": "vit_tiny_patch16_224", "input_size_px": 224, "window_px": 64},
            "does not take pictures of 64 × 64 px",
        ),
    ],
)
def test_a_backbone_that_cannot_be_had_is_found_before_anything_is_done(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        check_backbone(tiny_config(**changes))


def test_initial_weights_of_another_network_are_found_before_anything_is_done(tmp_path: Path) -> None:
    save_weights(build_backbone(tiny_config(), seed=0), tmp_path / "w.safetensors")
    assert check_backbone(tiny_config(weights=tmp_path / "w.safetensors")) == torch.device("cpu")
    with pytest.raises(WeightsError, match=r"Check that backbone\.model names the network"):
        check_backbone(tiny_config(model="test_resnet.r160_in1k", weights=tmp_path / "w.safetensors"))


def test_a_checkpoint_that_does_not_fit_the_network_is_an_error(tmp_path: Path) -> None:
    stop_after(1, tmp_path)
    path = tmp_path / "checkpoint-00001.safetensors"
    tensors, header = read_tensors(path)
    write_tensors(path, {name: tensor for name, tensor in tensors.items() if "conv_stem" not in name}, header)
    with pytest.raises(ArtefactError, match=r"(?s)does not fit the network .*conv_stem.*timm version"):
        run(tmp_path)


def test_an_untrained_network_is_stored_as_such_and_is_what_a_training_starts_from(tmp_path: Path) -> None:
    store_untrained(tiny_config(), tmp_path / "w.safetensors", SEED)
    untrained = load_weights(tmp_path / "w.safetensors")
    assert not untrained.is_trained
    barely = run(tmp_path / "work", epochs=1, learning_rate=1e-9)
    head = load_weights(barely.best_weights).network.classifier.weight
    torch.testing.assert_close(head, untrained.network.classifier.weight, atol=1e-7, rtol=0)
