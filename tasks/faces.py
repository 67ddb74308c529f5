"""Faces: new videos in, `faces` and `extraction_log` out; one outcome a video, whatever happens to the others."""

import atexit
import logging
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import cv2
import pyarrow as pa
from prefect import task
from prefect.cache_policies import NO_CACHE

from data_catalog.faces import extraction_tables
from data_catalog.fingerprints import fingerprint
from data_catalog.home import Home
from data_catalog.inventory import is_unread
from data_catalog.schemas import TableName
from data_catalog.storage import describe_error, fetched, is_local, stat_uri, store_errors
from difffake.config import FacesConfig
from difffake.errors import DataError
from difffake.faces.extraction import STAGE_VERSION, Media, extract_faces
from difffake.faces.finder import FaceFinder, build_face_finder
from difffake.faces.records import Extraction, ExtractionStatus
from difffake.memory import release_memory, set_aside_what_is_loaded
from difffake.perturbations.perturbation import STAGE_VERSION as PERTURBATION_VERSION
from difffake.perturbations.perturbation import Perturbation
from tasks.experiment import ROLES, Experiment, StageRecord, digest_faces, of_role, stage_task
from tasks.services import send_what_waits

Scope = Literal["roles", "test", "all"]
"""Which videos are meant: those an experiment has a use for, those it is judged on, or every one that is present."""

# Where there are few videos: as many as even out, each of which costs Prefect a quarter of a second of CPU time.
_SHARDS_PER_WORKER = 4
_PENDING = "pending"
_MOST_NAMED = 5
_PARENT_CHECK_S = 0.5

logger = logging.getLogger("difffake.tasks.faces")


@dataclass(frozen=True)
class PendingVideo:
    """A video to extract."""

    video_key: str
    sha256: str
    uri: str
    size_bytes: int
    modified_ns: int
    media: Media


@dataclass(frozen=True)
class ExtractionPlan:
    """What is to be extracted, in shards of a few videos; their frames perturbed before faces are looked for, if so."""

    extraction: str
    shards: tuple[tuple[PendingVideo, ...], ...]
    perturbation: Perturbation | None = None

    @property
    def videos(self) -> int:
        """How many videos that is."""
        return sum(len(shard) for shard in self.shards)


@task(name="plan-extraction", task_run_name="plan-extraction", cache_policy=NO_CACHE)
def plan_extraction(
    experiment: Experiment, scope: Scope = "roles", retry: Collection[ExtractionStatus] = ()
) -> ExtractionPlan:
    """List the videos that have no outcome yet under this extraction, or one of a status to be tried again."""
    config = experiment.config
    extraction = extraction_fingerprint(config.faces, build_face_finder(config.faces))
    roles = videos_in(experiment, scope)
    if "faces" in experiment.force:
        forget(experiment, extraction, roles["sha256"].to_pylist())
    elif retry:
        where = {"extraction": [extraction], "status": list(retry), "video_sha256": roles["sha256"].to_pylist()}
        again = experiment.lake.read(TableName.EXTRACTION_LOG, ["video_sha256"], where)
        forget(experiment, extraction, again["video_sha256"].to_pylist())
    return plan_videos(experiment, extraction, roles)


def plan_videos(
    experiment: Experiment, extraction: str, videos: pa.Table, perturbation: Perturbation | None = None
) -> ExtractionPlan:
    """Those of the videos, in the columns of `assign_roles.sql`, that have no outcome under an extraction yet."""
    config = experiment.config
    rows = experiment.lake.query("pending_extractions", {"extraction": extraction}, {"roles": videos}).to_pylist()
    pending = [PendingVideo(**row) for row in rows]
    workers = config.runner.workers or os.cpu_count() or 1
    size = min(config.runner.videos_per_shard, max(1, -(-len(pending) // (workers * _SHARDS_PER_WORKER))))
    shards = tuple(tuple(pending[start : start + size]) for start in range(0, len(pending), size))
    if pending:
        what = "videos" if perturbation is None else f"videos at {perturbation.name} {perturbation.level}"
        logger.info("%-12s %d %s to extract in %d shards", "faces", len(pending), what, len(shards))
    return ExtractionPlan(extraction, shards, perturbation)


@task(name="extract", task_run_name="extract-{shard[0].video_key}", cache_policy=NO_CACHE)
def extract_shard(
    home: Home,
    config: FacesConfig,
    extraction: str,
    shard: tuple[PendingVideo, ...],
    perturbation: Perturbation | None = None,
) -> dict[str, int]:
    """Extract a few videos, one after the other, and commit them together; returns videos by status."""
    # One single-threaded worker per core is faster than threads that wait for each other.
    cv2.setNumThreads(1)
    finder = cached_finder(config)
    statuses: dict[str, int] = {}
    faces, log = [], []
    with _scratch_below(home) if perturbation is not None else nullcontext():
        for video in shard:
            outcome = extract_video(video, extraction, config, finder, perturbation)
            if outcome is None:
                statuses[_PENDING] = statuses.get(_PENDING, 0) + 1
                continue
            of_video = extraction_tables(video.video_key, video.sha256, extraction, outcome)
            faces.append(of_video[0])
            log.append(of_video[1])
            statuses[outcome.status] = statuses.get(outcome.status, 0) + 1
            release_memory()
    # Faces first: an outcome is only on record when its faces are.
    if log:
        home.lake.append_missing(TableName.FACES, pa.concat_tables(faces))
        home.lake.append_missing(TableName.EXTRACTION_LOG, pa.concat_tables(log))
    return statuses


def scratch_folder(home: Home) -> Path:
    """Where workers leave videos they encode anew; whoever started them empties it, as a killed worker cannot."""
    return home.work / "recompressed"


@contextmanager
def _scratch_below(home: Home) -> Iterator[None]:
    before = tempfile.tempdir
    scratch_folder(home).mkdir(parents=True, exist_ok=True)
    tempfile.tempdir = str(scratch_folder(home))
    try:
        yield
    finally:
        tempfile.tempdir = before


@cache
def cached_finder(config: FacesConfig) -> FaceFinder:
    """Once a worker process, not once a shard: networks take longer to load than a short video to read."""
    finder = build_face_finder(config)
    set_aside_what_is_loaded()
    return finder


def extract_video(
    video: PendingVideo,
    extraction: str,
    config: FacesConfig,
    finder: FaceFinder,
    perturbation: Perturbation | None = None,
) -> Extraction | None:
    """The outcome for the content that was scanned; None where the file is no longer that content, or is not there.

    Raises:
        DataError: the store, which had it when it was scanned, does not give it now.
    """
    try:
        if _has_moved_on(video):
            return None
        with fetched(video.uri) as path:
            outcome = extract_faces(path, video.sha256, extraction, config, finder, video.media, perturbation)
        return None if _has_moved_on(video) else outcome
    except store_errors() as error:
        # What could not be read when it was scanned has no content that an outcome could be wrong about.
        if is_unread(video.sha256):
            return Extraction("unreadable", describe_error(error), 0)
        if is_local(video.uri) or isinstance(error, FileNotFoundError):
            return None
        # It would refuse all others too: credentials expire in long runs, and stores have many words for that.
        raise DataError(
            f"the store does not give {video.uri} ({describe_error(error)}): look at the credentials of this process "
            "and at the store"
        ) from error


def _has_moved_on(video: PendingVideo) -> bool:
    return not is_unread(video.sha256) and stat_uri(video.uri) != (video.size_bytes, video.modified_ns)


@stage_task("faces")
def conclude_extraction(experiment: Experiment, plan: ExtractionPlan, scope: Scope = "roles") -> StageRecord:
    """Sum up the outcomes; every video of the scope has exactly one."""
    roles = {"roles": videos_in(experiment, scope)}
    parameters = {"extraction": plan.extraction}
    counts = experiment.lake.query("summarise_extraction", parameters, roles).to_pylist()
    failed = experiment.lake.query("list_failed_extractions", parameters, roles).to_pylist()
    videos = sum(row["videos"] for row in counts)
    faces = sum(row["faces"] for row in counts)
    for row in failed[:_MOST_NAMED]:
        logger.info("%-12s %s: %s (%s)", "faces", row["video_key"], row["status"], row["reason"])
    usable = experiment.usable_faces(plan.extraction)
    if scope == "roles":
        for role in ROLES:
            of_role(usable, role)
    statuses = {row["status"]: row["videos"] for row in counts}
    if statuses.get(_PENDING):
        logger.warning(
            "%-12s %d videos changed or went away while this refresh read them: the next one extracts them",
            "faces",
            statuses[_PENDING],
        )
    outcomes = ", ".join(f"{count} {status}" for status, count in statuses.items())
    return StageRecord(
        stage="faces",
        fingerprint=plan.extraction,
        digest=digest_faces(usable),
        reused=plan.videos == 0,
        summary=f"{faces} faces of {videos} videos ({outcomes}); {plan.videos} videos opened now",
        facts={"videos": videos, "faces": faces, "statuses": statuses, "failed": failed},
    )


def prepare_worker(parent_pid: int) -> None:
    """Once a worker process, at its start: one thread a library, and no life after its parent's.

    Ctrl-C reaches every process of a terminal: the parent answers it and ends its workers. A worker that answered it
    too would leave the pool waiting for ever.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    is_over = threading.Event()
    watcher = threading.Thread(target=_end_with_parent, args=(parent_pid, is_over), daemon=True)
    watcher.start()

    def end() -> None:
        is_over.set()
        watcher.join()
        send_what_waits()
        sys.stdout.flush()
        sys.stderr.flush()
        # Nothing is left to do, and a Prefect thread that outlives the interpreter now and then makes DuckDB's bindings
        # fill the terminal with reports of leaks.
        os._exit(0)

    atexit.register(end)


def _end_with_parent(parent_pid: int, is_over: threading.Event) -> None:
    """A run that was killed must not go on writing beside the one that follows it."""
    while not is_over.wait(_PARENT_CHECK_S):
        if os.getppid() != parent_pid:
            os._exit(1)


def extraction_fingerprint(config: FacesConfig, finder: FaceFinder, perturbation: Perturbation | None = None) -> str:
    """The name of an extraction: its parameters, the networks it uses, and what is done to the frames first."""
    parts = finder.fingerprint_parts()
    if perturbation is None:
        return fingerprint("faces", STAGE_VERSION, config, parts)
    versions = (STAGE_VERSION, PERTURBATION_VERSION)
    return fingerprint("faces", versions, config, {"finder": parts, **perturbation.fingerprint_parts()})


def videos_in(experiment: Experiment, scope: Scope) -> pa.Table:
    """The videos of an experiment by role, or all that are present, in the columns of `assign_roles.sql`."""
    if scope == "roles":
        return experiment.roles()
    if scope == "test":
        roles = experiment.roles()
        return roles.filter(pa.compute.equal(roles["role"], "test"))
    return experiment.lake.query("list_present", {"datasets": experiment.names})


def forget(experiment: Experiment, extraction: str, contents: Iterable[str]) -> None:
    """Drop the outcomes, then the faces, of an extraction of some contents (sha256), so that it is done again."""
    where = {"extraction": [extraction], "video_sha256": sorted(set(contents))}
    experiment.lake.delete(TableName.EXTRACTION_LOG, where)
    experiment.lake.delete(TableName.FACES, where)
