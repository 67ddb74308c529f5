"""The loss that shapes embeddings: its value by hand, its gradient, its batches, and that trainings carry it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from difffake.backbone.contrast import MARGIN, contrast_loss
from difffake.backbone.data import TrainingBatches
from difffake.backbone.epoch_plan import in_twos, plan_epoch
from difffake.config import parse_config
from difffake.errors import ConfigError
from tests.helpers.synthetic_faces import synthetic_faces
from tests.helpers.tiny_training import FAKES, assert_same_outcome, run, stop_after, tiny_config

CONTRAST = {"contrast_weight": 1.0}
X, Y, Z = np.eye(3, dtype=np.float32)


def loss_of(faces: list[np.ndarray], videos: list[int]) -> float:
    return float(contrast_loss(torch.tensor(np.stack(faces)), torch.tensor(videos)))


def test_two_reals_at_one_place_and_fakes_elsewhere_cost_nothing() -> None:
    # Lengths play no part.
    assert loss_of([X, 3 * X, Y, 2 * Z], [0, 0]) == pytest.approx(0, abs=1e-6)


def test_what_a_triplet_costs() -> None:
    # Reals at right angles (squared distance 2), each fake on its own real one: it lies 2 from the other real face,
    # and the fakes lie 2 from each other. Both terms are the margin.
    assert loss_of([X, Y, X, Y], [0, 0]) == pytest.approx(2 * MARGIN)
    # Each fake on the other's real face: nearer by 2, and the fakes are 2 apart.
    assert loss_of([X, Y, Y, X], [0, 0]) == pytest.approx(2 * ((2 + MARGIN) + MARGIN) / 2)
    # The fakes at one place, which is far from both reals.
    assert loss_of([X, Y, Z, Z], [0, 0]) == pytest.approx(2 * (MARGIN + (2 + MARGIN)) / 2)


def test_faces_of_other_videos_are_no_partners() -> None:
    assert loss_of([X, Y, X, Y], [0, 1]) == 0
    # One face of a third video changes nothing.
    pair = loss_of([X, Y, Y, X], [0, 0])
    assert loss_of([X, Y, Z, Y, X, Z], [0, 0, 1]) == pytest.approx(pair)


def test_of_several_partners_the_mean_counts() -> None:
    # Three reals and three fakes of one video, all at one place: every triplet costs the margin.
    assert loss_of([X] * 6, [0, 0, 0]) == pytest.approx(3 * MARGIN)


def test_descending_it_brings_reals_together_and_takes_fakes_away() -> None:
    torch.manual_seed(0)
    embeddings = torch.randn(8, 16, requires_grad=True)
    videos = torch.tensor([0, 0, 1, 1])
    optimiser = torch.optim.Adam([embeddings], lr=0.05)
    for _ in range(300):
        optimiser.zero_grad()
        contrast_loss(embeddings, videos).backward()
        optimiser.step()
    unit = torch.nn.functional.normalize(embeddings.detach(), dim=1)
    between = (unit[:, None] - unit[None, :]).square().sum(dim=2)
    for first, second in ((0, 1), (2, 3)):
        assert between[first, second] + MARGIN <= between[first, second + 4] + 1e-3
        assert between[first, second] + MARGIN <= between[first + 4, second + 4] + 1e-3


def test_equal_embeddings_and_empty_shares_have_finite_gradients() -> None:
    same = torch.ones(4, 3, requires_grad=True)
    contrast_loss(same, torch.tensor([0, 0])).backward()
    assert same.grad is not None
    assert same.grad.isfinite().all()
    none = torch.zeros(0, 3, requires_grad=True)
    contrast_loss(none, torch.zeros(0, dtype=torch.int64)).backward()


def test_rows_come_in_twos() -> None:
    keys = ["a", "b", "c", "a", "b", "a", "a"]
    assert in_twos([0, 1, 2, 3, 4, 5, 6], keys) == [0, 3, 1, 4, 2, 5, 6]
    assert in_twos([6, 2, 1], keys) == [6, 2, 1]


def test_an_epoch_has_the_same_faces_in_twos_where_the_loss_wants_them() -> None:
    faces = synthetic_faces(videos=6, faces_per_video=5, size_px=8)
    plain = plan_epoch(faces, tiny_config(batch_pairs=4, faces_per_video_per_epoch=2), seed=0, epoch=1)
    twos = plan_epoch(faces, tiny_config(batch_pairs=4, faces_per_video_per_epoch=2, **CONTRAST), seed=0, epoch=1)
    assert sorted(sum(plain, ())) == sorted(sum(twos, ()))
    assert all(len({faces.video_keys[row] for row in rows}) == 2 for rows in twos)
    assert any(len({faces.video_keys[row] for row in rows}) > 2 for rows in plain)


@pytest.mark.parametrize("loader_workers", [0, 1])
def test_batches_number_their_videos(loader_workers: int) -> None:
    faces = synthetic_faces(2, 3)
    config = tiny_config(**CONTRAST)
    batches = TrainingBatches(faces, config, FAKES, seed=1, loader_workers=loader_workers).epoch(1)
    for batch, rows in zip(batches, plan_epoch(faces, config, seed=1, epoch=1), strict=True):
        keys = [faces.video_keys[row] for row in rows]
        same = np.equal.outer(batch.videos, batch.videos)
        assert batch.videos.dtype == np.int64
        np.testing.assert_array_equal(same, [[one == other for other in keys] for one in keys])


def test_it_changes_the_training_and_adds_to_its_loss(tmp_path: Path) -> None:
    shaped = run(tmp_path / "shaped", epochs=1, learning_rate=1e-6, **CONTRAST)
    plain = run(tmp_path / "plain", epochs=1, learning_rate=1e-6)
    assert shaped.history[0].train_loss > plain.history[0].train_loss + MARGIN / 5


def test_a_killed_training_goes_on_with_it(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", boundary_weight=0.5, **CONTRAST)
    stop_after(2, tmp_path / "killed", boundary_weight=0.5, **CONTRAST)
    assert_same_outcome(run(tmp_path / "killed", boundary_weight=0.5, **CONTRAST), whole)


def test_compiled_passes_cannot_have_it() -> None:
    with pytest.raises(ConfigError, match="contrast_weight"):
        parse_config({"backbone": {"compile": True, "contrast_weight": 1}}, "")
