"""Faces of perturbed videos, by worker processes, for whoever scores them: looked at once and never stored.

A module of its own because its workers import it: it loads neither torch nor MLflow.
"""

import os
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children, get_context
from tempfile import TemporaryDirectory

import cv2

from difffake.config import FacesConfig
from difffake.errors import DataError, ServiceError
from difffake.faces.records import Extraction
from difffake.memory import release_memory
from difffake.perturbations.perturbation import Perturbation
from tasks.faces import PendingVideo, cached_finder, extract_video, prepare_worker

_WAITING_PER_WORKER = 2


class PerturbedFaces:
    """Extraction under perturbations over a pool of processes.

    Args:
        pool: of processes.
        workers: how many it has.
        config: how faces are found and cut.
        extraction: name of the clean extraction. Faces get the names of their clean selves, so that the same pairs are
            compared under every condition and what differs is the perturbation.
    """

    def __init__(self, pool: ProcessPoolExecutor, workers: int, config: FacesConfig, extraction: str) -> None:
        self._pool = pool
        self._most_waiting = _WAITING_PER_WORKER * workers
        self._config = config
        self._extraction = extraction

    def extract(
        self, videos: Iterable[PendingVideo], perturbation: Perturbation
    ) -> Iterator[tuple[PendingVideo, Extraction]]:
        """Each video with its outcome, in the order given; a few are in work at a time.

        Raises:
            DataError: a video changed or went away since it was scanned.
            ServiceError: a worker was ended by force.
        """
        waiting: deque[tuple[PendingVideo, Future[Extraction | None]]] = deque()
        for video in videos:
            job = self._pool.submit(_extract, video, self._extraction, self._config, perturbation)
            waiting.append((video, job))
            if len(waiting) == self._most_waiting:
                yield _outcome(*waiting.popleft())
        while waiting:
            yield _outcome(*waiting.popleft())


@contextmanager
def perturbed_faces(config: FacesConfig, extraction: str, workers: int) -> Iterator[PerturbedFaces]:
    """Worker processes for the time of the block; they and their temporary files end with it, however it ends."""
    others = set(active_children())
    with TemporaryDirectory(prefix="difffake-") as scratch:
        pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_prepare, initargs=(os.getpid(), scratch))
        try:
            yield PerturbedFaces(pool, workers, config, extraction)
        except BaseException:
            # What is in work is lost anyway, and a long video may be minutes from its end.
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in set(active_children()) - others:
                worker.terminate()
                worker.join()
            raise
        pool.shutdown()


def _prepare(parent_pid: int, scratch: str) -> None:
    prepare_worker(parent_pid)
    tempfile.tempdir = scratch


def _extract(
    video: PendingVideo, extraction: str, config: FacesConfig, perturbation: Perturbation
) -> Extraction | None:
    cv2.setNumThreads(1)
    try:
        return extract_video(video, extraction, config, cached_finder(config), perturbation)
    finally:
        release_memory()


def _outcome(video: PendingVideo, job: Future[Extraction | None]) -> tuple[PendingVideo, Extraction]:
    try:
        outcome = job.result()
    except BrokenProcessPool as error:
        raise ServiceError(
            "a worker process ended by force (killed, or out of memory); conditions that are done are kept: run the "
            "same command again, with fewer --workers if memory is short"
        ) from error
    if outcome is None:
        raise DataError(f"{video.video_key} changed or went away since it was scanned: run again")
    return video, outcome
