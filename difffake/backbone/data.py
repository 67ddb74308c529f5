"""Training batches: real faces and their pseudo-fakes, a function of seed, epoch and face.

Where other faces are blended in, it hangs on all faces of the set, among which they are drawn.
"""

import logging
import shutil
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from difffake.backbone.augmentation import Augmentation, augment, augment_mask, draw_augmentation
from difffake.backbone.boundary import MAP_PX, boundary_target
from difffake.backbone.classes import FAKE_CLASS, REAL_CLASS
from difffake.backbone.donors import EpochDonors, donor_of
from difffake.backbone.epoch_plan import plan_epoch
from difffake.backbone.images import resize_to_input
from difffake.backbone.windows import draw_window
from difffake.config import BackboneConfig, PseudoFakesConfig
from difffake.errors import DegenerateMaskError, TrainingError
from difffake.faces.crop_jpeg import decode_crop
from difffake.faces.records import FaceSet, FloatArray, RgbImage
from difffake.pseudofakes.generator import Donor, PseudoFake, make_pseudo_fake
from difffake.randomness import derive_rng

_logger = logging.getLogger(__name__)
_AHEAD_BYTES = 2**28
"""Of the batches an executor has made, or makes, ahead of their use."""
_READY_BATCHES = 2
"""Which a loader process makes ahead of their use."""
_LOST = "DataLoader worker (pid"
"""How the loader's word of a lost process begins."""
_LOST_IN_THREAD = "Pin memory thread exited"
"""What it says if the thread that fetches batches for a GPU asked the lost process for one."""
_IN_BATCH = "in DataLoader worker process"
"""What it says of an error of a process that lives."""
_SIGNAL_S = 1.0
"""How long the system may take to tell of a process's end."""
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Linux keeps it

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
BatchPlan = tuple[int, tuple[int, ...]]


@dataclass(frozen=True, eq=False)
class Batch:
    """P reals, then the P pseudo-fakes made from them in the same order.

    Attributes:
        images: (2P, S, S, 3) uint8 RGB at the network's input size.
        labels: (2P,) int64, 1 for fakes.
        skipped_pairs: faces of the batch's plan left out because no mask could be drawn on them.
        videos: (P,) int64, a number for each video of the batch.
        boundaries: (2P, MAP_PX, MAP_PX) float32, see `boundary_target`; None: nobody looks for them.
    """

    images: Images
    labels: Labels
    skipped_pairs: int
    videos: Labels
    boundaries: FloatArray | None = None

    def pin_memory(self) -> "Batch":
        """The same batch in page-locked memory, from which a GPU copies beside its work; the loader's thread asks."""
        images, labels = (torch.from_numpy(array).pin_memory().numpy() for array in (self.images, self.labels))
        boundaries = None if self.boundaries is None else torch.from_numpy(self.boundaries).pin_memory().numpy()
        return replace(self, images=images, labels=labels, boundaries=boundaries)


@dataclass(frozen=True, eq=False)
class _SharedBatch:
    """A batch on its way from a loader process: tensors lie in memory that both see, arrays go through a pipe.

    Read from a pipe, pictures are copied three times by a thread of the training process, which keeps that process
    from giving a GPU its next work.
    """

    images: Tensor
    labels: Tensor
    skipped_pairs: int
    videos: Labels
    boundaries: Tensor | None

    def pin_memory(self) -> "_SharedBatch":
        boundaries = None if self.boundaries is None else self.boundaries.pin_memory()
        return replace(self, images=self.images.pin_memory(), labels=self.labels.pin_memory(), boundaries=boundaries)

    def batch(self) -> Batch:
        boundaries = None if self.boundaries is None else self.boundaries.numpy()
        return Batch(self.images.numpy(), self.labels.numpy(), self.skipped_pairs, self.videos, boundaries)


class PairDataset(Dataset[Batch]):
    """Makes the batch of a plan (epoch, rows).

    Args:
        donors: of the faces, should they not be drawn from `faces` themselves: by row; None: it has no donor.
    """

    def __init__(
        self,
        faces: FaceSet,
        config: BackboneConfig,
        pseudo_fakes: PseudoFakesConfig,
        seed: int,
        donors: Mapping[int, Donor] | None = None,
    ) -> None:
        self._faces = faces
        self._config = config
        self._pseudo_fakes = pseudo_fakes
        self._seed = seed
        self._donors = EpochDonors(faces, seed) if pseudo_fakes.needs_donors and donors is None else None
        self._given_donors = donors

    def __getitem__(self, plan: BatchPlan) -> Batch:
        """The batch of one plan; rows whose landmarks allow no mask are left out and counted."""
        epoch, rows = plan
        side_px = self._config.side_in_epoch(epoch)
        is_windowed = side_px < self._config.input_size_px
        pairs: list[tuple[RgbImage, RgbImage]] = []
        of_fakes: list[FloatArray] = []
        video_keys: list[str] = []
        for row in rows:
            try:
                made, drawn = self._pair(epoch, row)
            except DegenerateMaskError:
                continue
            pair = augment(made.target, drawn), augment(made.fake, drawn)
            mask = augment_mask(made.mask, drawn) if self._config.boundary_weight or is_windowed else None
            if is_windowed and mask is not None:
                pair, mask = self._window(pair, mask, epoch, self._faces.face_ids[row])
            pairs.append(pair)
            video_keys.append(self._faces.video_keys[row])
            if self._config.boundary_weight and mask is not None:
                of_fakes.append(boundary_target(mask))
        images, labels = stack_pairs(pairs, side_px)
        boundaries = _boundaries(of_fakes) if self._config.boundary_weight else None
        videos = np.unique(np.array(video_keys, np.str_), return_inverse=True)[1].astype(np.int64)
        return Batch(images, labels, len(rows) - len(pairs), videos, boundaries)

    def _pair(self, epoch: int, row: int) -> tuple[PseudoFake, Augmentation]:
        face_id = self._faces.face_ids[row]
        crop = decode_crop(self._faces.crops_jpeg[row], face_id)
        rng = derive_rng(self._seed, "pseudo_fake", epoch, face_id)
        landmarks = self._faces.landmarks_crop_px[row]
        _, made = make_pseudo_fake(crop, landmarks, self._pseudo_fakes, rng, donor=self._donor(epoch, row))
        drawn_from = derive_rng(self._seed, "augmentation", epoch, face_id)
        return made, draw_augmentation(self._config.augmentation, self._config.augmentation_strength, drawn_from)

    def _window(
        self, pair: tuple[RgbImage, RgbImage], mask: FloatArray, epoch: int, face_id: str
    ) -> tuple[tuple[RgbImage, RgbImage], FloatArray]:
        size_px = self._config.input_size_px
        real, fake = (resize_to_input(image, size_px) for image in pair)
        sized = cv2.resize(mask, (size_px, size_px), interpolation=cv2.INTER_AREA) if len(mask) != size_px else mask
        rng = derive_rng(self._seed, "window", epoch, face_id)
        rows, columns = draw_window(np.asarray(sized, np.float32), self._config.side_in_epoch(epoch), rng)
        return (real[rows, columns], fake[rows, columns]), np.ascontiguousarray(sized[rows, columns])

    def _donor(self, epoch: int, row: int) -> Donor | None:
        if self._given_donors is not None:
            return self._given_donors.get(row)
        return None if self._donors is None else self._donors(epoch, row)

    def donors_of(self, epoch: int, rows: Sequence[int]) -> FaceSet | None:
        """One donor for each of the rows; None: none is wanted, or there is no other video."""
        if self._donors is None:
            return None
        chosen = [self._donors.row_for(epoch, row) for row in rows]
        found = [row for row in chosen if row is not None]
        # There is another video for all of the faces or for none.
        return self._faces.of_rows(found) if len(found) == len(rows) else None


class _SharedDataset(Dataset[_SharedBatch]):
    def __init__(self, batches: PairDataset) -> None:
        self._made = batches

    def __getitem__(self, plan: BatchPlan) -> _SharedBatch:
        batch = self._made[plan]
        boundaries = None if batch.boundaries is None else torch.from_numpy(batch.boundaries)
        images, labels = torch.from_numpy(batch.images), torch.from_numpy(batch.labels)
        return _SharedBatch(images, labels, batch.skipped_pairs, batch.videos, boundaries)


def _boundaries(of_fakes: Sequence[FloatArray]) -> FloatArray:
    """Reals have none."""
    boundaries = np.zeros((2 * len(of_fakes), MAP_PX, MAP_PX), np.float32)
    for row, boundary in enumerate(of_fakes, start=len(of_fakes)):
        boundaries[row] = boundary
    return boundaries


def stack_pairs(pairs: Sequence[tuple[RgbImage, RgbImage]], input_size_px: int) -> tuple[Images, Labels]:
    """Images (2P, S, S, 3) and labels (2P,) of (real, fake) pairs: all reals, then all fakes."""
    ordered = [real for real, _ in pairs] + [fake for _, fake in pairs]
    images = np.zeros((len(ordered), input_size_px, input_size_px, 3), np.uint8)
    for row, image in enumerate(ordered):
        images[row] = resize_to_input(image, input_size_px)
    return images, np.repeat(np.array([REAL_CLASS, FAKE_CLASS], np.int64), len(pairs))


def make_batch(
    faces: FaceSet,
    config: BackboneConfig,
    pseudo_fakes: PseudoFakesConfig,
    seed: int,
    epoch: int,
    donors: FaceSet | None = None,
) -> Batch:
    """The batch of these faces in an epoch: needs nothing beside its arguments, so any process can make it.

    Args:
        donors: one for each of the faces, in their order; None: there are none.
    """
    _use_one_thread()
    given = {} if donors is None else {row: donor_of(donors, row) for row in range(len(faces))}
    return PairDataset(faces, config, pseudo_fakes, seed, given)[epoch, tuple(range(len(faces)))]


class TrainingBatches:
    """The batches of any epoch, made in this process, by loader processes or by an executor, with the same result.

    Args:
        faces: of the training videos; loader processes get a copy of what they hold, see `packed_crops`.
        loader_workers: 0: this process makes the batches.
        share: (index, count): of every batch, the index-th of count parts, whose sizes differ by one at most.
        pin_memory: deliver page-locked memory, for a GPU.
        executor: makes the batches instead of this process or loader processes; is sent each batch's faces.
    """

    def __init__(
        self,
        faces: FaceSet,
        config: BackboneConfig,
        pseudo_fakes: PseudoFakesConfig,
        seed: int,
        loader_workers: int = 0,
        share: tuple[int, int] = (0, 1),
        pin_memory: bool = False,
        executor: Executor | None = None,
    ) -> None:
        self._faces = faces
        self._config = config
        self._pseudo_fakes = pseudo_fakes
        self._seed = seed
        self._pin_memory = pin_memory
        self._executor = executor
        self._share = share
        self._dataset = PairDataset(faces, config, pseudo_fakes, seed)
        self._plans: list[BatchPlan] = []
        self._started: tuple[int, Iterator[Batch]] | None = None
        self.steps_an_epoch = len(plan_epoch(faces, config, seed, epoch=1))
        self._loader = self._start_workers(loader_workers) if loader_workers and executor is None else None

    def start(self, epoch: int) -> None:
        """Let the loader processes begin with an epoch ahead of its use; the epoch before must be used up."""
        self._started = self._begin(epoch)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """The batches of one epoch, in order; one epoch at a time."""
        started = self._started if self._started is not None and self._started[0] == epoch else self._begin(epoch)
        self._started = None
        return started[1]

    def _begin(self, epoch: int) -> tuple[int, Iterator[Batch]]:
        index, count = self._share
        plan = plan_epoch(self._faces, self._config, self._seed, epoch)
        self._plans[:] = [(epoch, _part(rows, index, count)) for rows in plan]
        return epoch, self._batches()

    def _batches(self) -> Iterator[Batch]:
        if self._loader is not None:
            # Begun here, not at the first batch asked for.
            with naming_lost_processes():
                arriving = iter(self._loader)
            return _as_batches(arriving)
        if self._executor is not None:
            return self._made_elsewhere(self._executor)
        return (self._dataset[plan] for plan in tuple(self._plans))

    def _made_elsewhere(self, executor: Executor) -> Iterator[Batch]:
        """The batches in order; as many as may wait are asked for at once, each later one when one is taken."""
        size_px, pairs = self._config.input_size_px, self._config.batch_pairs
        ahead = max(2, _AHEAD_BYTES // (2 * pairs * size_px * size_px * 3))
        asked = (self._ask(executor, plan) for plan in tuple(self._plans))
        waiting: deque[Future[Batch]] = deque(islice(asked, ahead))

        def batches() -> Iterator[Batch]:
            while waiting:
                batch = waiting.popleft().result()
                waiting.extend(islice(asked, 1))
                yield batch.pin_memory() if self._pin_memory else batch

        return batches()

    def _ask(self, executor: Executor, plan: BatchPlan) -> Future[Batch]:
        epoch, rows = plan
        faces = self._faces.of_rows(rows)
        donors = self._dataset.donors_of(epoch, rows)
        return executor.submit(make_batch, faces, self._config, self._pseudo_fakes, self._seed, epoch, donors)

    def _start_workers(self, workers: int) -> DataLoader[Batch | _SharedBatch]:
        size_px, pairs = self._config.input_size_px, self._config.batch_pairs
        # Those made ahead and two in the hands of the training process; other trainings need room as well.
        most_bytes = (workers * _READY_BATCHES + 2) * (2 * pairs * size_px * size_px * 3)
        is_shared = 2 * most_bytes <= _free_shared_bytes()
        if not is_shared:
            _logger.info(
                "%s has too little room for batches of %d pairs: they take the slower way, through pipes. In a "
                "container, more room comes with --shm-size or --ipc=host (%d MB are enough)",
                _SHARED_MEMORY,
                pairs,
                2 * most_bytes // 2**20 + 1,
            )
        return DataLoader(
            _SharedDataset(self._dataset) if is_shared else self._dataset,
            batch_size=None,
            # The loader reads the list anew at the start of each epoch; the processes live on between epochs.
            sampler=self._plans,
            num_workers=workers,
            prefetch_factor=_READY_BATCHES,
            persistent_workers=True,
            pin_memory=self._pin_memory,
            # A forked copy of a process that runs threads (OpenMP, CUDA) can hang.
            multiprocessing_context="spawn",
            worker_init_fn=_use_one_thread,
            # Its own generator: the loader would otherwise draw from torch's global one, unlike the in-process path.
            generator=torch.Generator(),
        )


def _as_batches(arriving: Iterator[Batch | _SharedBatch]) -> Iterator[Batch]:
    with naming_lost_processes():
        for one in _told_of_lost_processes(arriving):
            yield one.batch() if isinstance(one, _SharedBatch) else one


def _free_shared_bytes() -> int:
    try:
        return shutil.disk_usage(_SHARED_MEMORY).free
    except OSError:
        return 0


def _told_of_lost_processes(batches: Iterator[Batch | _SharedBatch]) -> Iterator[Batch | _SharedBatch]:
    """Ends with the loader's own error, also where asking a process for its memory fails before."""
    try:
        yield from batches
    except (RuntimeError, EOFError, ConnectionError, FileNotFoundError) as error:
        told = str(error)
        is_lost = _LOST_IN_THREAD in told if isinstance(error, RuntimeError) else _IN_BATCH not in told
        if not is_lost:
            raise
        # The loader's word comes by a signal, in the middle of whatever this process does next: here, and not later.
        time.sleep(_SIGNAL_S)
        raise RuntimeError(f"{_LOST} unknown) is gone: {error!r}") from error


@contextmanager
def naming_lost_processes() -> Iterator[None]:
    """A loader process that is lost is a `TrainingError`, wherever the loader's signal finds this process.

    Raises:
        TrainingError: one is lost; with what to do.
    """
    try:
        yield
    except RuntimeError as error:
        if _LOST not in str(error):
            raise
        room = f", or of room in {_SHARED_MEMORY} (--shm-size of a container)" if "Bus error" in str(error) else ""
        raise TrainingError(
            f"a process that prepares batches ended by force, perhaps for want of memory{room} ({error!s:.200}). The "
            "checkpoint of the last whole epoch is kept: run the same command again, with backbone.loader_workers "
            "lowered if it recurs"
        ) from error


def _part(rows: tuple[int, ...], index: int, count: int) -> tuple[int, ...]:
    return tuple(int(row) for row in np.array_split(np.array(rows, np.int64), count)[index])


def _use_one_thread(_worker: int = 0) -> None:
    cv2.setNumThreads(1)
