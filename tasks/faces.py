"""Faces: new videos in, `faces` and `extraction_log` out; one outcome a video, whatever happens to the others."""

import atexit
import logging
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
from prefect import task
from prefect.cache_policies import NO_CACHE

from data_catalog.faces import extraction_tables
from data_catalog.fingerprints import fingerprint
from data_catalog.home import Home
from data_catalog.schemas import TableName
from data_catalog.uris import local_path
from difffake.config import FacesConfig
from difffake.faces.extraction import STAGE_VERSION, extract_faces
from difffake.faces.finder import FaceFinder, build_face_finder
from tasks.experiment import ROLES, Experiment, StageRecord, digest_faces, of_role, stage_task
from tasks.services import send_what_waits

_SHARDS_PER_WORKER = 8
_MOST_NAMED = 5
_PARENT_CHECK_S = 0.5

logger = logging.getLogger("difffake.tasks.faces")


@dataclass(frozen=True)
class PendingVideo:
    """A video to extract."""

    video_key: str
    sha256: str
    uri: str


@dataclass(frozen=True)
class ExtractionPlan:
    """What is to be extracted, in shards of a few videos."""

    extraction: str
    shards: tuple[tuple[PendingVideo, ...], ...]

    @property
    def videos(self) -> int:
        """How many videos that is."""
        return sum(len(shard) for shard in self.shards)


@task(name="plan-extraction", task_run_name="plan-extraction", cache_policy=NO_CACHE)
def plan_extraction(experiment: Experiment) -> ExtractionPlan:
    """List the videos that have no outcome yet under this extraction."""
    config = experiment.config
    extraction = extraction_fingerprint(config.faces, build_face_finder(config.faces))
    roles = experiment.roles()
    if "faces" in experiment.force:
        forget(experiment, extraction, roles["video_key"].to_pylist())
    rows = experiment.lake.query("pending_extractions", {"extraction": extraction}, {"roles": roles}).to_pylist()
    pending = [PendingVideo(**row) for row in rows]
    workers = config.runner.workers or os.cpu_count() or 1
    size = min(config.runner.videos_per_shard, max(1, -(-len(pending) // (workers * _SHARDS_PER_WORKER))))
    shards = tuple(tuple(pending[start : start + size]) for start in range(0, len(pending), size))
    if pending:
        logger.info("%-12s %d videos to extract in %d shards", "faces", len(pending), len(shards))
    return ExtractionPlan(extraction, shards)


@task(name="extract", task_run_name="extract-{shard[0].video_key}", cache_policy=NO_CACHE)
def extract_shard(root: Path, config: FacesConfig, extraction: str, shard: tuple[PendingVideo, ...]) -> dict[str, int]:
    """Extract a few videos, one after the other, each committed before the next; returns videos by status."""
    _prepare_worker(os.getppid())
    # One single-threaded worker per core is faster than threads that wait for each other.
    cv2.setNumThreads(1)
    lake = Home(root).lake
    finder = build_face_finder(config)
    statuses: dict[str, int] = {}
    for video in shard:
        outcome = extract_faces(local_path(video.uri), video.sha256, extraction, config, finder)
        faces, log = extraction_tables(video.video_key, video.sha256, extraction, outcome)
        # Faces first: an outcome is only on record when its faces are.
        lake.append_missing(TableName.FACES, faces)
        lake.append_missing(TableName.EXTRACTION_LOG, log)
        statuses[outcome.status] = statuses.get(outcome.status, 0) + 1
    return statuses


@stage_task("faces")
def conclude_extraction(experiment: Experiment, plan: ExtractionPlan) -> StageRecord:
    """Sum up the outcomes; every video of the experiment has exactly one."""
    roles = {"roles": experiment.roles()}
    parameters = {"extraction": plan.extraction}
    counts = experiment.lake.query("summarise_extraction", parameters, roles).to_pylist()
    failed = experiment.lake.query("list_failed_extractions", parameters, roles).to_pylist()
    videos = sum(row["videos"] for row in counts)
    faces = sum(row["faces"] for row in counts)
    for row in failed[:_MOST_NAMED]:
        logger.info("%-12s %s: %s (%s)", "faces", row["video_key"], row["status"], row["reason"])
    usable = experiment.usable_faces(plan.extraction)
    for role in ROLES:
        of_role(usable, role)
    statuses = {row["status"]: row["videos"] for row in counts}
    outcomes = ", ".join(f"{count} {status}" for status, count in statuses.items())
    return StageRecord(
        stage="faces",
        fingerprint=plan.extraction,
        digest=digest_faces(usable),
        reused=plan.videos == 0,
        summary=f"{faces} faces of {videos} videos ({outcomes}); {plan.videos} videos opened now",
        facts={"videos": videos, "faces": faces, "statuses": statuses, "failed": failed},
    )


@cache
def _prepare_worker(parent_pid: int) -> None:
    """Once a worker process: one thread for torch, its last events delivered, and no life after its parent's."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    is_over = threading.Event()
    watcher = threading.Thread(target=_end_with_parent, args=(parent_pid, is_over), daemon=True)
    watcher.start()

    def end() -> None:
        is_over.set()
        watcher.join()
        send_what_waits()

    atexit.register(end)


def _end_with_parent(parent_pid: int, is_over: threading.Event) -> None:
    """A run that was killed must not go on writing beside the one that follows it."""
    while not is_over.wait(_PARENT_CHECK_S):
        if os.getppid() != parent_pid:
            os._exit(1)


def extraction_fingerprint(config: FacesConfig, finder: FaceFinder) -> str:
    """The name of an extraction: its parameters and the networks it uses."""
    return fingerprint("faces", STAGE_VERSION, config, finder.fingerprint_parts())


def forget(experiment: Experiment, extraction: str, video_keys: Iterable[str]) -> None:
    """Drop the outcomes, then the faces, of an extraction, so that it is done again."""
    where = {"extraction": [extraction], "video_key": sorted(set(video_keys))}
    experiment.lake.delete(TableName.EXTRACTION_LOG, where)
    experiment.lake.delete(TableName.FACES, where)
