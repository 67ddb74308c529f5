"""Training: it learns, it repeats to the bit, it survives being killed, it says what is wrong."""

import dataclasses
import logging
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from difffake.backbone.checkpoints import load_weights
from difffake.backbone.training import TrainingResult, train_backbone
from difffake.backbone.training_folder import EpochRecord, best_epochs
from difffake.backbone.validation import ValidationSet, draw_validation_set, render_validation_set
from difffake.errors import ArtefactError, TrainingError
from difffake.faces.crop_jpeg import decode_crop
from difffake.faces.records import FaceSet
from difffake.pseudofakes.generator import apply_recipe
from tests.helpers.preloaded import Preloaded
from tests.helpers.synthetic_faces import synthetic_faces
from tests.helpers.tiny_training import (
    FAKES,
    SEED,
    assert_same_outcome,
    run,
    stop_after,
    tiny_config,
    training_faces,
    validation_set,
)

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    return run(tmp_path_factory.mktemp("uninterrupted"))


def test_training_leaves_history_and_the_best_weights(uninterrupted: TrainingResult) -> None:
    history = uninterrupted.history
    assert [record.epoch for record in history] == [1, 2, 3, 4]
    assert all(0 <= record.validation_auc <= 1 and record.train_loss > 0 for record in history)
    # 12 faces in batches of 4: 3 steps an epoch, 12 in all, the last 3 of which decay to 1/3 of the rate.
    assert [record.learning_rate for record in history] == pytest.approx([0.05, 0.05, 0.05, 0.05 / 3])
    best = sorted(history, key=lambda record: (-record.validation_auc, -record.epoch))[:2]
    assert [path.name for path in uninterrupted.kept_weights] == [
        f"weights-{record.epoch:05d}.safetensors" for record in best
    ]
    assert uninterrupted.best_weights == uninterrupted.kept_weights[0]
    assert len(list(uninterrupted.best_weights.parent.glob("weights-*"))) == 2


def test_the_best_weights_reproduce_their_validation_auc(uninterrupted: TrainingResult) -> None:
    backbone = load_weights(uninterrupted.best_weights)
    images, labels = render_validation_set(validation_set(), 32)
    with torch.no_grad():
        logits = backbone(backbone.preprocessing.normalise(torch.from_numpy(images))).numpy()
    score = logits[:, 1] - logits[:, 0]
    fake, real = score[labels == 1], score[labels == 0]
    by_ranks = np.mean((fake[:, None] > real) + 0.5 * (fake[:, None] == real))
    assert by_ranks == pytest.approx(max(record.validation_auc for record in uninterrupted.history))


def test_training_repeats_to_the_bit_and_leaves_torchs_random_state_alone(
    uninterrupted: TrainingResult, tmp_path: Path
) -> None:
    torch.manual_seed(123)
    state = torch.random.get_rng_state()
    assert_same_outcome(run(tmp_path), uninterrupted)
    assert torch.equal(state, torch.random.get_rng_state())


_TRAIN_AND_DIE = """
import os, signal, sys
from pathlib import Path
import torch
from difffake.backbone.training import train_backbone
from tests.helpers import tiny_training as here

torch.set_num_threads(int(sys.argv[3]))
def die(done, _steps):
    if done == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

faces, validation = here.training_faces(), here.validation_set()
train_backbone(here.tiny_config(), here.FAKES, faces, validation, Path(sys.argv[1]), here.SEED, on_step=die)
"""


def test_a_killed_training_goes_on_to_the_same_bits(
    uninterrupted: TrainingResult, plain: Preloaded, tmp_path: Path
) -> None:
    arguments = [str(tmp_path), "8", str(torch.get_num_threads())]
    killed = plain.call(arguments, os.environ, REPOSITORY, timeout_s=120, code=_TRAIN_AND_DIE)
    assert killed.returncode == -signal.SIGKILL
    assert [path.name for path in sorted(tmp_path.glob("checkpoint-*"))] == [
        "checkpoint-00001.safetensors",
        "checkpoint-00002.safetensors",
    ]
    steps: list[tuple[int, int]] = []
    epochs: list[int] = []
    resumed = train_backbone(
        tiny_config(),
        FAKES,
        training_faces(),
        validation_set(),
        tmp_path,
        SEED,
        on_epoch=lambda record: epochs.append(record.epoch),
        on_step=lambda done, of: steps.append((done, of)),
    )
    assert epochs == [3, 4]
    assert steps == [(done, 12) for done in range(7, 13)]
    assert_same_outcome(resumed, uninterrupted)


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(
    uninterrupted: TrainingResult, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stop_after(3, tmp_path)
    newest = tmp_path / "checkpoint-00003.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1000])
    with caplog.at_level(logging.INFO):
        assert_same_outcome(run(tmp_path), uninterrupted)
    assert "passed over" in caplog.text
    assert "resumes after epoch 2" in caplog.text


def test_with_every_checkpoint_damaged_training_starts_again(
    uninterrupted: TrainingResult, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stop_after(2, tmp_path)
    for path in tmp_path.glob("checkpoint-*"):
        path.write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        assert_same_outcome(run(tmp_path), uninterrupted)
    assert "training starts again at epoch 1" in caplog.text


def test_a_finished_training_is_not_run_again_unless_its_weights_are_gone(
    uninterrupted: TrainingResult, tmp_path: Path
) -> None:
    first = run(tmp_path)
    bytes_before = first.best_weights.read_bytes()
    again = run(tmp_path)
    assert again == first
    first.best_weights.unlink()
    rebuilt = run(tmp_path)
    assert rebuilt.best_weights.read_bytes() == bytes_before
    assert_same_outcome(rebuilt, uninterrupted)


def test_an_average_of_the_weights_is_kept_and_survives_a_kill(tmp_path: Path) -> None:
    averaged = {"average_decay": 0.9}
    whole = run(tmp_path / "whole", **averaged)
    plain = run(tmp_path / "plain")
    # The steps are those of the plain training; what is validated and kept is not.
    assert [record.train_loss for record in whole.history] == [record.train_loss for record in plain.history]
    assert whole.best_weights.read_bytes() != plain.kept_weights[0].read_bytes()
    stop_after(2, tmp_path / "killed", **averaged)
    assert_same_outcome(run(tmp_path / "killed", **averaged), whole)


def test_the_folder_of_another_training_is_refused(tmp_path: Path) -> None:
    run(tmp_path, epochs=1)
    with pytest.raises(ArtefactError, match="other faces, parameters or code"):
        run(tmp_path, epochs=1, learning_rate=0.02)
    # How it is computed is not what is computed.
    run(tmp_path, epochs=1, embed_batch=3)


def test_it_learns_to_tell_pseudo_fakes(tmp_path: Path) -> None:
    fakes = FAKES.model_copy(update={"variant": "sbi"})
    faces = synthetic_faces(videos=8, faces_per_video=4, size_px=64)
    validation = draw_validation_set(synthetic_faces(6, 4, size_px=64, name="w"), fakes, 4, SEED)
    config = tiny_config(input_size_px=64, epochs=12, faces_per_video_per_epoch=4, batch_pairs=8, learning_rate=0.1)
    history = train_backbone(config, fakes, faces, validation, tmp_path, SEED).history
    assert history[-1].train_loss < 0.6 * history[0].train_loss
    assert history[-1].train_accuracy > 0.8
    assert max(record.validation_auc for record in history) > 0.85


def test_equal_aucs_rank_the_later_epoch_first() -> None:
    history = tuple(
        EpochRecord(epoch, 0.5, 0.5, auc, 0.1, 1.0, 0) for epoch, auc in enumerate([0.7, 0.9, 0.7, 0.9, 0.6], start=1)
    )
    assert best_epochs(history, 3) == [4, 2, 3]
    assert best_epochs(history, 9) == [4, 2, 3, 1, 5]


def test_no_faces_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    none = FaceSet((), (), (), np.zeros((0, 68, 2), np.float32))
    with pytest.raises(TrainingError, match=r"no training faces.*extracted"):
        train_backbone(tiny_config(), FAKES, none, validation_set(), tmp_path, SEED)
    with pytest.raises(TrainingError, match=r"no validation faces"):
        train_backbone(tiny_config(), FAKES, training_faces(), ValidationSet(none, ()), tmp_path, SEED)


def test_landmarks_that_allow_no_mask_at_all_are_an_error(tmp_path: Path) -> None:
    faces = training_faces()
    lost = dataclasses.replace(faces, landmarks_crop_px=np.full_like(faces.landmarks_crop_px, -500))
    with pytest.raises(TrainingError, match="no mask could be drawn on any of the 12 faces of epoch 1"):
        train_backbone(tiny_config(), FAKES, lost, validation_set(), tmp_path, SEED)


def test_the_validation_set_is_fixed_and_its_fakes_come_from_its_recipes() -> None:
    validation = validation_set()
    images, labels = render_validation_set(validation, 48)
    assert len(validation) == 6
    assert images.shape == (12, 48, 48, 3)
    assert labels.tolist() == [0] * 6 + [1] * 6
    again, _ = render_validation_set(validation_set(), 48)
    np.testing.assert_array_equal(images, again)
    crop = decode_crop(validation.faces.crops_jpeg[2], "")
    made = apply_recipe(crop, validation.faces.landmarks_crop_px[2], validation.recipes[2])
    np.testing.assert_array_equal(images[2], made.target)
    np.testing.assert_array_equal(images[8], made.fake)


def test_a_validation_set_blends_in_its_own_faces_and_its_shares_find_them() -> None:
    fakes = FAKES.model_copy(update={"families": {"other_face": 1.0}})
    faces = synthetic_faces(4, 3, size_px=48, name="w")
    landmarks = faces.landmarks_crop_px.copy()
    landmarks[0] = 1e4
    validation = draw_validation_set(dataclasses.replace(faces, landmarks_crop_px=landmarks), fakes, 3, SEED)
    donors = {recipe.donor_id for recipe in validation.recipes}
    assert len(validation) == 11
    assert donors <= set(validation.faces.face_ids)
    whole, _ = render_validation_set(validation, 48)
    for index in range(3):
        part, _ = render_validation_set(validation.share(index, 3), 48)
        count = len(part) // 2
        np.testing.assert_array_equal(part[:count], whole[:11][index::3])
        np.testing.assert_array_equal(part[count:], whole[11:][index::3])
    without = ValidationSet(validation.faces.of_rows([0]), validation.recipes[:1])
    with pytest.raises(ArtefactError, match="blend in are gone"):
        render_validation_set(without, 48)


def test_a_validation_set_of_which_nothing_is_left_is_an_error() -> None:
    faces = synthetic_faces(1, 4, size_px=48)
    lost = dataclasses.replace(faces, landmarks_crop_px=np.full_like(faces.landmarks_crop_px, 1e4))
    with pytest.raises(TrainingError, match=r"of any of the 4 validation faces.*extract the faces again"):
        draw_validation_set(lost, FAKES, 4, SEED)


def test_a_validation_set_leaves_out_faces_without_a_mask_and_needs_a_recipe_for_each() -> None:
    faces = synthetic_faces(1, 4, size_px=48)
    landmarks = faces.landmarks_crop_px.copy()
    landmarks[2] = 1e4
    validation = draw_validation_set(dataclasses.replace(faces, landmarks_crop_px=landmarks), FAKES, 4, SEED)
    assert len(validation) == 3
    assert "v0/2" not in validation.faces.face_ids
    with pytest.raises(ValueError, match="3 recipes for 4 faces"):
        ValidationSet(faces, validation.recipes)
