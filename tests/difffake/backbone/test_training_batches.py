"""Which faces an epoch shows, and what is done to them."""

import dataclasses
import multiprocessing
import os
import pickle
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from difffake.backbone import data
from difffake.backbone.crop_file import packed_crops
from difffake.backbone.data import Batch, TrainingBatches, stack_pairs
from difffake.backbone.epoch_plan import choose_faces, plan_epoch
from difffake.backbone.images import resize_to_input
from difffake.config import BackboneConfig, PseudoFakesConfig
from difffake.errors import ArtefactError, TrainingError
from difffake.faces.crop_jpeg import decode_crop
from difffake.faces.records import FaceSet
from difffake.pseudofakes.generator import make_pseudo_fake
from difffake.randomness import derive_rng
from tests.helpers.landmarks import textured_face
from tests.helpers.preloaded import Preloaded
from tests.helpers.synthetic_faces import synthetic_faces

FAKES = PseudoFakesConfig()


def backbone_config(**changes: object) -> BackboneConfig:
    return BackboneConfig.model_validate(
        {"input_size_px": 64, "batch_pairs": 4, "faces_per_video_per_epoch": 3} | changes
    )


def reordered(faces: FaceSet, order: list[int]) -> FaceSet:
    return FaceSet(
        face_ids=tuple(faces.face_ids[row] for row in order),
        video_keys=tuple(faces.video_keys[row] for row in order),
        crops_jpeg=tuple(faces.crops_jpeg[row] for row in order),
        landmarks_crop_px=faces.landmarks_crop_px[order],
    )


def assert_equal(left: list[Batch], right: list[Batch]) -> None:
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        np.testing.assert_array_equal(a.images, b.images)
        np.testing.assert_array_equal(a.labels, b.labels)
        assert a.skipped_pairs == b.skipped_pairs


def test_an_epoch_shows_faces_of_every_video_without_replacement() -> None:
    faces = synthetic_faces(videos=5, faces_per_video=7)
    rows = choose_faces(faces, 3, 0, "epoch", 1)
    assert len(set(rows)) == len(rows) == 15
    assert all(sum(faces.video_keys[row] == f"v{video}" for row in rows) == 3 for video in range(5))


def test_a_video_with_fewer_faces_shows_all_of_them() -> None:
    few, many = synthetic_faces(1, 2, name="few"), synthetic_faces(1, 9, name="many")
    faces = FaceSet(
        few.face_ids + many.face_ids,
        few.video_keys + many.video_keys,
        few.crops_jpeg + many.crops_jpeg,
        np.concatenate([few.landmarks_crop_px, many.landmarks_crop_px]),
    )
    rows = choose_faces(faces, 5, 0, "epoch", 1)
    assert {0, 1} <= set(rows)
    assert len(rows) == 7


def test_all_faces_have_their_turn_and_the_order_mixes_videos() -> None:
    faces = synthetic_faces(videos=4, faces_per_video=8)
    epochs = [choose_faces(faces, 2, 0, "epoch", epoch) for epoch in range(40)]
    assert {row for rows in epochs for row in rows} == set(range(32))
    first_video = [faces.video_keys[rows[0]] for rows in epochs]
    assert set(first_video) == {"v0", "v1", "v2", "v3"}
    assert choose_faces(faces, 2, 1, "epoch", 0) != epochs[0]


@given(order=st.permutations(list(range(12))))
@settings(max_examples=20, deadline=None)
def test_the_choice_does_not_depend_on_the_order_of_the_set(order: list[int]) -> None:
    faces = synthetic_faces(videos=3, faces_per_video=4)
    shuffled = reordered(faces, order)
    assert [faces.face_ids[row] for row in choose_faces(faces, 2, 0, "epoch", 3)] == [
        shuffled.face_ids[row] for row in choose_faces(shuffled, 2, 0, "epoch", 3)
    ]


@given(videos=st.integers(1, 9), per_video=st.integers(1, 4), batch_pairs=st.integers(1, 8))
@settings(max_examples=40, deadline=None)
def test_batches_are_full_or_nearly_so(videos: int, per_video: int, batch_pairs: int) -> None:
    faces = synthetic_faces(videos, per_video, size_px=8)
    config = backbone_config(batch_pairs=batch_pairs, faces_per_video_per_epoch=per_video)
    sizes = [len(rows) for rows in plan_epoch(faces, config, seed=0, epoch=1)]
    assert sum(sizes) == videos * per_video
    assert max(sizes) <= batch_pairs
    assert max(sizes) - min(sizes) <= 1
    assert len(sizes) == -(-sum(sizes) // batch_pairs)


def test_a_batch_is_the_targets_then_their_fakes() -> None:
    faces = synthetic_faces(videos=2, faces_per_video=3)
    config = backbone_config(batch_pairs=6)
    (batch,) = TrainingBatches(faces, config, FAKES, seed=5).epoch(2)
    (rows,) = plan_epoch(faces, config, seed=5, epoch=2)

    assert batch.images.shape == (12, 64, 64, 3)
    assert batch.labels.tolist() == [0] * 6 + [1] * 6
    for position, row in enumerate(rows):
        crop = decode_crop(faces.crops_jpeg[row], "")
        rng = derive_rng(5, "pseudo_fake", 2, faces.face_ids[row])
        _, made = make_pseudo_fake(crop, faces.landmarks_crop_px[row], FAKES, rng)
        np.testing.assert_array_equal(batch.images[position], made.target)
        np.testing.assert_array_equal(batch.images[position + 6], made.fake)


def test_batches_repeat_for_an_epoch_and_differ_between_epochs() -> None:
    batches = TrainingBatches(synthetic_faces(2, 4), backbone_config(), FAKES, seed=0)
    first = list(batches.epoch(1))
    assert_equal(first, list(batches.epoch(1)))
    assert not np.array_equal(first[0].images, next(iter(batches.epoch(2))).images)
    assert len(first) == batches.steps_an_epoch


@pytest.mark.parametrize("is_shared", [True, False], ids=["shared memory", "pipe"])
def test_batches_do_not_depend_on_the_number_of_workers(plain: Preloaded, is_shared: bool) -> None:
    plain.run(compare_one_with_two_workers, is_shared)


def compare_one_with_two_workers(is_shared: bool) -> None:
    if not is_shared:
        data._SHARED_MEMORY = Path("/nowhere")
    faces = synthetic_faces(videos=3, faces_per_video=4)
    alone = TrainingBatches(faces, backbone_config(augmentation="flip_jpeg"), FAKES, seed=1)
    helped = TrainingBatches(faces, backbone_config(augmentation="flip_jpeg"), FAKES, seed=1, loader_workers=2)
    random_state = torch.random.get_rng_state()
    for epoch in (1, 2):
        assert_equal(list(alone.epoch(epoch)), list(helped.epoch(epoch)))
    # A loader that drew from torch's global state would change dropout with the number of workers.
    assert torch.equal(torch.random.get_rng_state(), random_state)
    held = next(helped.epoch(3))
    assert ("shm/torch_" in Path("/proc/self/maps").read_text()) == is_shared
    del held


def test_batches_made_by_an_executor_are_the_same_and_asked_for_ahead(plain: Preloaded) -> None:
    plain.run(compare_with_an_executor)


def compare_with_an_executor() -> None:
    faces = synthetic_faces(videos=3, faces_per_video=4)
    config = backbone_config(augmentation="flip_jpeg", batch_pairs=2, faces_per_video_per_epoch=4)
    # In this process, which ends.
    data._AHEAD_BYTES = 3 * 2 * 2 * config.input_size_px**2 * 3
    asked: list[tuple[str, ...]] = []

    class Recording(ProcessPoolExecutor):
        def submit(self, function: Any, faces: FaceSet, /, *arguments: Any) -> Any:
            asked.append(faces.face_ids)
            return super().submit(function, faces, *arguments)

    alone = TrainingBatches(faces, config, FAKES, seed=1)
    with Recording(1, mp_context=get_context("spawn")) as executor:
        elsewhere = TrainingBatches(faces, config, FAKES, seed=1, executor=executor)
        assert_equal(list(alone.epoch(1)), list(elsewhere.epoch(1)))
        asked.clear()
        elsewhere.start(2)
        # Three may wait: a memory's worth, of six.
        assert len(asked) == 3
        assert_equal(list(alone.epoch(2)), list(elsewhere.epoch(2)))
        # Each is sent once, with the faces of its own plan alone.
        assert sorted(name for names in asked for name in names) == sorted(faces.face_ids)


def test_the_shares_of_a_batch_make_up_the_batch() -> None:
    faces = synthetic_faces(videos=3, faces_per_video=3)
    config = backbone_config(batch_pairs=5)
    whole = list(TrainingBatches(faces, config, FAKES, seed=1).epoch(1))
    shares = [list(TrainingBatches(faces, config, FAKES, seed=1, share=(index, 3)).epoch(1)) for index in range(3)]
    # 9 faces are batches of 5 and 4 pairs.
    assert [[len(batch.labels) for batch in share] for share in shares] == [[4, 4], [4, 2], [2, 2]]
    for number, batch in enumerate(whole):
        parts = [share[number] for share in shares]
        reals = np.concatenate([part.images[part.labels == 0] for part in parts])
        fakes = np.concatenate([part.images[part.labels == 1] for part in parts])
        np.testing.assert_array_equal(np.concatenate([reals, fakes]), batch.images)


@pytest.mark.parametrize("loader_workers", [0, 1])
def test_an_epoch_started_ahead_is_the_same_epoch(plain: Preloaded, loader_workers: int, tmp_path: Path) -> None:
    plain.run(compare_with_epochs_started_ahead, loader_workers, tmp_path)


def compare_with_epochs_started_ahead(loader_workers: int, place: Path) -> None:
    faces = synthetic_faces(videos=2, faces_per_video=4)
    plain = TrainingBatches(faces, backbone_config(), FAKES, seed=1)
    with packed_crops(faces.crops_jpeg, place / "crops") as crops:
        packed = dataclasses.replace(faces, crops_jpeg=crops)
        ahead = TrainingBatches(packed, backbone_config(), FAKES, seed=1, loader_workers=loader_workers)
        assert_equal(list(ahead.epoch(1)), list(plain.epoch(1)))
        ahead.start(2)
        assert_equal(list(ahead.epoch(2)), list(plain.epoch(2)))
        ahead.start(3)
        # Asked for another one after all, as a training that ends early does.
        if loader_workers == 0:
            assert_equal(list(ahead.epoch(5)), list(plain.epoch(5)))


@pytest.mark.parametrize("is_shared", [True, False], ids=["shared memory", "pipe"])
def test_a_loader_process_that_is_killed_is_an_error_with_a_remedy(plain: Preloaded, is_shared: bool) -> None:
    with pytest.raises(TrainingError, match=r"ended by force.*lowered if it recurs"):
        plain.run(kill_a_loader, is_shared)


def kill_a_loader(is_shared: bool) -> None:
    if not is_shared:
        data._SHARED_MEMORY = Path("/nowhere")
    faces = synthetic_faces(videos=4, faces_per_video=16)
    config = backbone_config(batch_pairs=1, faces_per_video_per_epoch=16)
    before = multiprocessing.active_children()
    batches = TrainingBatches(faces, config, FAKES, seed=1, loader_workers=1).epoch(1)
    next(batches)
    (loader,) = [child for child in multiprocessing.active_children() if child not in before]
    os.kill(loader.pid or 0, signal.SIGKILL)
    list(batches)


@pytest.mark.parametrize(
    "sign",
    [
        EOFError(),
        ConnectionRefusedError(111, "Connection refused"),
        FileNotFoundError(2, "No such file or directory"),
        RuntimeError("Pin memory thread exited unexpectedly"),
        RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."),
    ],
    ids=repr,
)
def test_every_sign_of_a_lost_process_is_the_same_error(sign: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def arriving() -> Iterator[Batch]:
        yield Batch(np.zeros((0, 8, 8, 3), np.uint8), np.zeros(0, np.int64), 1, np.zeros(0, np.int64))
        raise sign

    monkeypatch.setattr(data, "_SIGNAL_S", 0.0)
    batches = data._as_batches(arriving())
    assert next(batches).skipped_pairs == 1
    with pytest.raises(TrainingError, match=r"ended by force.*lowered if it recurs"):
        next(batches)


def test_a_full_shared_memory_is_named() -> None:
    with (
        pytest.raises(TrainingError, match="room in /dev/shm"),
        data.naming_lost_processes(),
    ):
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that …")


@pytest.mark.parametrize("kind", [RuntimeError, FileNotFoundError])
def test_an_error_while_a_batch_is_made_is_no_lost_process(plain: Preloaded, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="in DataLoader worker process 0"):
        plain.run(fail_in_a_loader, kind)


def fail_in_a_loader(kind: type[Exception]) -> None:
    batches = TrainingBatches(synthetic_faces(2, 4), backbone_config(), FAKES, seed=1, loader_workers=1)
    batches._loader.dataset._made = FailingDataset(kind)
    list(batches.epoch(1))


class FailingDataset:
    def __init__(self, kind: type[Exception]) -> None:
        self._kind = kind

    def __getitem__(self, plan: object) -> Batch:
        raise self._kind("of its own")


@pytest.mark.parametrize("crops", [(b"a",), (b"", b"abc", b"", b"de"), ()])
def test_packed_crops_are_the_crops(crops: tuple[bytes, ...], tmp_path: Path) -> None:
    with packed_crops(crops, tmp_path / "crops") as packed:
        elsewhere = pickle.loads(pickle.dumps(packed))  # noqa: S301 - our own bytes
        assert list(packed) == list(elsewhere) == list(crops)
        assert packed[1:3] == list(crops[1:3])
        if crops:
            assert packed[-1] == crops[-1]
        with pytest.raises(IndexError):
            packed[len(crops)]
    assert not (tmp_path / "crops").exists()


def test_faces_without_a_usable_mask_are_skipped_and_counted() -> None:
    good = synthetic_faces(videos=2, faces_per_video=3)
    landmarks = good.landmarks_crop_px.copy()
    landmarks[[1, 4]] = 1e4
    faces = FaceSet(good.face_ids, good.video_keys, good.crops_jpeg, landmarks)
    (batch,) = TrainingBatches(faces, backbone_config(batch_pairs=6), FAKES, seed=0).epoch(1)
    assert batch.skipped_pairs == 2
    assert batch.images.shape == (8, 64, 64, 3)
    assert batch.labels.tolist() == [0] * 4 + [1] * 4


def test_crops_of_another_size_are_resized_after_the_fake_is_made() -> None:
    faces = synthetic_faces(videos=1, faces_per_video=2, size_px=96)
    config = backbone_config(input_size_px=48)
    (batch,) = TrainingBatches(faces, config, FAKES, seed=0).epoch(1)
    (rows,) = plan_epoch(faces, config, seed=0, epoch=1)
    rng = derive_rng(0, "pseudo_fake", 1, faces.face_ids[rows[0]])
    crop = decode_crop(faces.crops_jpeg[rows[0]], "")
    _, made = make_pseudo_fake(crop, faces.landmarks_crop_px[rows[0]], FAKES, rng)
    # 96 → 48 by area is the mean of 2 × 2 blocks.
    blocks = made.fake.reshape(48, 2, 48, 2, 3).mean(axis=(1, 3))
    assert np.abs(batch.images[2] - blocks).max() <= 0.51


def test_every_augmentation_is_applied_to_the_batch() -> None:
    faces = synthetic_faces(videos=2, faces_per_video=2)
    plain, flipped, robust = (
        next(iter(TrainingBatches(faces, backbone_config(augmentation=name), FAKES, seed=1).epoch(1)))
        for name in ("none", "flip_jpeg", "robust")
    )
    assert not np.array_equal(plain.images, flipped.images)
    assert not np.array_equal(flipped.images, robust.images)
    stronger = backbone_config(augmentation="robust", augmentation_strength=1.0)
    (batch,) = TrainingBatches(faces, stronger, FAKES, seed=1).epoch(1)
    assert not np.array_equal(robust.images, batch.images)


def test_a_real_and_its_fake_get_the_same_draw() -> None:
    faces = synthetic_faces(videos=3, faces_per_video=2)
    config = backbone_config(augmentation="robust", augmentation_strength=1.0, batch_pairs=6)
    # A mask of a fiftieth of the ratio changes a grey level here and there: all else is the augmentation's.
    hardly = PseudoFakesConfig(mask_weights={"mouth": 1}, blend_ratios=(0.02,))
    (batch,) = TrainingBatches(faces, config, hardly, seed=1).epoch(1)
    count = len(batch.labels) // 2
    apart = np.abs(batch.images[:count].astype(int) - batch.images[count:]).mean(axis=(1, 2, 3))
    assert apart.max() < 2
    assert np.abs(batch.images[:1].astype(int) - batch.images[1:2]).mean() > 5


def test_batches_with_other_faces_are_the_same_wherever_they_are_made() -> None:
    faces = synthetic_faces(videos=5, faces_per_video=2)
    fakes = PseudoFakesConfig(families={"other_face": 1})
    config = backbone_config(augmentation="robust", faces_per_video_per_epoch=2)
    here = list(TrainingBatches(faces, config, fakes, seed=1).epoch(1))
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        elsewhere = list(TrainingBatches(faces, config, fakes, seed=1, executor=executor).epoch(1))
    assert_equal(here, elsewhere)
    itself = list(TrainingBatches(faces, config, FAKES, seed=1).epoch(1))
    assert not np.array_equal(here[0].images, itself[0].images)


def test_a_video_alone_has_no_donor_and_other_families_are_made() -> None:
    faces = synthetic_faces(videos=1, faces_per_video=4)
    diverse = PseudoFakesConfig(variant="diverse")
    (batch,) = TrainingBatches(faces, backbone_config(faces_per_video_per_epoch=4), diverse, seed=1).epoch(1)
    assert len(batch.labels) == 8


def test_no_pairs_stack_to_an_empty_batch() -> None:
    images, labels = stack_pairs([], 32)
    assert images.shape == (0, 32, 32, 3)
    assert labels.shape == (0,)


def test_resizing_keeps_what_fits_and_a_flat_picture_flat() -> None:
    image = textured_face(64)
    assert resize_to_input(image, 64) is image
    flat = np.full((64, 64, 3), 77, np.uint8)
    assert set(resize_to_input(flat, 48).ravel()) == {77}
    assert resize_to_input(flat, 100).shape == (100, 100, 3)


@pytest.mark.parametrize("jpeg", [b"", b"not a picture"])
def test_a_crop_that_is_no_picture_is_named(jpeg: bytes) -> None:
    with pytest.raises(ArtefactError, match=r"face abc .* is not a picture"):
        decode_crop(jpeg, "abc")


def test_decoding_gives_rgb() -> None:
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 2] = 255
    rgb = decode_crop(cv2.imencode(".png", red)[1].tobytes(), "")
    assert rgb[0, 0].tolist() == [255, 0, 0]
