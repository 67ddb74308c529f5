"""Several processes train the network one process would train; none is waited for when it is gone."""

import dataclasses
import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from difffake.backbone.device import resolve_processes
from difffake.backbone.tensor_files import read_tensors
from difffake.backbone.training import TrainingResult, train_backbone
from difffake.errors import ArtefactError, ConfigError, TrainingError
from difffake.faces.records import FaceSet
from tests.helpers.preloaded import Preloaded
from tests.helpers.tiny_training import (
    FAKES,
    SEED,
    assert_same_outcome,
    tiny_config,
    training_faces,
    validation_set,
    without_seconds,
)

# Rounding is not amplified from step to step: a low rate, and a last map of more than one pixel, since batch statistics
# of a few pixels are ill-conditioned. Batches of 3 with gaps: a share often has no pair at all.
CALM = {"learning_rate": 0.005, "epochs": 3, "batch_pairs": 3, "input_size_px": 64}
REPOSITORY = Path(__file__).parents[3]

# One test process has them all: they share a training.
pytestmark = pytest.mark.xdist_group("processes")


def faces_with_gaps() -> FaceSet:
    """Half of the faces allow no mask."""
    faces = training_faces()
    landmarks = faces.landmarks_crop_px.copy()
    landmarks[::2] = 1e4
    return dataclasses.replace(faces, landmarks_crop_px=landmarks)


def train(work_dir: Path, changes: dict[str, object]) -> TrainingResult:
    return train_backbone(tiny_config(**CALM | changes), FAKES, faces_with_gaps(), validation_set(), work_dir, SEED)


@pytest.fixture(scope="module")
def by_two(plain: Preloaded, tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    return plain.run(train, tmp_path_factory.mktemp("two"), {"processes": 2})


def assert_equal_up_to_rounding(left: TrainingResult, right: TrainingResult, tolerance: float) -> None:
    for ours, theirs in zip(without_seconds(left), without_seconds(right), strict=True):
        assert ours.train_loss == pytest.approx(theirs.train_loss, abs=tolerance)
        assert ours.validation_auc == pytest.approx(theirs.validation_auc, abs=1e-9)
        assert (ours.train_accuracy, ours.skipped_pairs) == (theirs.train_accuracy, theirs.skipped_pairs)
        assert ours.learning_rate == theirs.learning_rate
    ours, theirs = read_tensors(left.best_weights)[0], read_tensors(right.best_weights)[0]
    assert list(ours) == list(theirs)
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=10 * tolerance, atol=tolerance, msg=name)


@pytest.mark.slow
def test_two_processes_learn_what_one_learns_batch_statistics_included(by_two: TrainingResult, tmp_path: Path) -> None:
    alone = train(tmp_path, {"processes": 1})
    assert sum(record.skipped_pairs for record in alone.history) > 0
    # Statistics of a batch of two images are what limits it.
    assert_equal_up_to_rounding(by_two, alone, tolerance=1e-4)


@pytest.mark.slow
def test_a_network_without_batch_statistics_too_and_its_batches_come_from_loaders(
    plain: Preloaded, tmp_path: Path
) -> None:
    network: dict[str, object] = {"model": "test_convnext.r160_in1k", "epochs": 2}
    of_two = plain.run(train, tmp_path / "two", network | {"processes": 2, "loader_workers": 1})
    of_one = train(tmp_path / "one", network | {"processes": 1})
    assert_equal_up_to_rounding(of_two, of_one, tolerance=1e-5)
    assert not (tmp_path / "two" / "crops.bin").exists()


def lose_the_second(work_dir: Path) -> None:
    def kill_it(done: int, _steps: int) -> None:
        # 12 faces in batches of 3: the 6th step is in the second of the three epochs.
        if done == 6:
            (second,) = [child for child in multiprocessing.active_children() if child.name == "training-1"]
            os.kill(second.pid or 0, signal.SIGKILL)

    config = tiny_config(**CALM, processes=2)
    try:
        train_backbone(config, FAKES, faces_with_gaps(), validation_set(), work_dir, SEED, on_step=kill_it)
    finally:
        assert multiprocessing.active_children() == []


def go_on(work_dir: Path) -> tuple[TrainingResult, list[int]]:
    """The training that `lose_the_second` began, and the epochs it went through."""
    config = tiny_config(**CALM, processes=2)
    epochs: list[int] = []
    result = train_backbone(
        config,
        FAKES,
        faces_with_gaps(),
        validation_set(),
        work_dir,
        SEED,
        on_epoch=lambda record: epochs.append(record.epoch),
    )
    return result, epochs


@pytest.mark.slow
def test_a_lost_process_ends_the_others_and_the_training_goes_on_to_the_same_bits(
    by_two: TrainingResult, plain: Preloaded, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match=r"process 2 of the 2 that train together was killed by SIGKILL"):
        plain.run(lose_the_second, tmp_path)
    assert (tmp_path / "checkpoint-00001.safetensors").is_file()
    resumed, epochs = plain.run(go_on, tmp_path)
    assert epochs[-1] == 3
    assert 1 not in epochs
    assert_same_outcome(resumed, by_two)


def train_on_a_broken_crop(work_dir: Path) -> None:
    faces = training_faces()
    broken = dataclasses.replace(faces, crops_jpeg=[b"broken", *faces.crops_jpeg[1:]])
    config = tiny_config(**CALM, processes=2, faces_per_video_per_epoch=4)
    train_backbone(config, FAKES, broken, validation_set(), work_dir, SEED)


@pytest.mark.slow
def test_what_is_wrong_in_one_process_is_the_error_of_the_training(plain: Preloaded, tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"face v0/0 .* is not a picture"):
        plain.run(train_on_a_broken_crop, tmp_path)


_TRAIN_UNTIL_KILLED = """
import multiprocessing, os, signal, sys
from pathlib import Path
from difffake.backbone.training import train_backbone
from tests.helpers import tiny_training as here

def die(_done, _steps):
    print(*[child.pid for child in multiprocessing.active_children()], flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

config = here.tiny_config(processes=2, epochs=1000)
train_backbone(
    config, here.FAKES, here.training_faces(), here.validation_set(), Path(sys.argv[1]), here.SEED, on_step=die
)
"""


@pytest.mark.slow
def test_no_process_outlives_the_one_that_asked_for_it(plain: Preloaded, tmp_path: Path) -> None:
    killed = plain.call([str(tmp_path)], os.environ, REPOSITORY, timeout_s=300, code=_TRAIN_UNTIL_KILLED)
    assert killed.returncode == -signal.SIGKILL
    children = [int(pid) for pid in killed.stdout.split()]
    assert len(children) == 2
    deadline = time.monotonic() + 60
    while any(_is_alive(pid) for pid in children):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_more_processes_than_pairs_of_a_batch_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"processes is 4, and a batch has 3 pairs to share: raise"):
        train(tmp_path, {"processes": 4})
    assert list(tmp_path.iterdir()) == []


def test_on_a_cpu_auto_is_one_process() -> None:
    assert resolve_processes(tiny_config(), torch.device("cpu")) == 1
    assert resolve_processes(tiny_config(processes=5), torch.device("cpu")) == 5


def test_shares_of_the_validation_set_make_up_the_whole() -> None:
    whole = validation_set()
    shares = [whole.share(index, 4) for index in range(4)]
    assert [len(share) for share in shares] == [2, 2, 1, 1]
    names = [name for share in shares for name in share.faces.face_ids]
    assert sorted(names) == sorted(whole.faces.face_ids)
    assert shares[1].recipes == (whole.recipes[1], whole.recipes[5])
    np.testing.assert_array_equal(shares[1].faces.landmarks_crop_px[1], whole.faces.landmarks_crop_px[5])
