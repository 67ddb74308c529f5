"""Batch: scan datasets, extract what is new, score what the detector has not scored yet."""

import os
import time
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from prefect import flow, unmapped
from prefect.futures import as_completed

from data_catalog.home import DEFAULT_HOME, Home
from difffake.config import DatasetSpec, RunnerConfig
from difffake.errors import ServiceError
from flows.extraction import extract
from flows.hooks import HOOKS
from flows.runners import processes_or_cluster
from tasks.batch import (
    ScorePlan,
    ScoringModel,
    batch_experiment,
    conclude_scores,
    plan_scores,
    score_shard,
)
from tasks.cluster import check_cluster
from tasks.experiment import Experiment, StageRecord, progress, result
from tasks.faces import Scope
from tasks.ingest import ingest
from tasks.models import find_detector


@dataclass(frozen=True)
class BatchOutcome:
    """What a batch did, and what reads its scores."""

    records: dict[str, StageRecord]
    experiment: Experiment
    model: ScoringModel


def _run_name() -> str:
    return f"score-batch-{datetime.now(UTC):%m%d-%H%M%S}"


@flow(
    name="score-batch",
    flow_run_name=_run_name,
    **HOOKS,
)
def score_batch(
    datasets: list[DatasetSpec],
    model: str | None = None,
    home: Path = DEFAULT_HOME,
    lake: str | None = None,
    workers: int | None = None,
    weights: Path | None = None,
    dask_scheduler: str | None = None,
) -> BatchOutcome:
    """Score every video of some datasets with one detector; a second run scores only what is new or changed.

    Args:
        datasets: which folders to read; the adapter `suspects` takes any folder of videos.
        model: detector folder or models:/ URI; default: the work folder's champion.
        home: the work folder.
        lake: path or URI of the tables, where they are not below the work folder.
        workers: single-threaded processes; default one a core.
        weights: RetinaFace weights file, for a detector made with RetinaFace.
        dask_scheduler: address of a Dask scheduler whose workers do this instead.
    """
    place = Home(home, lake) if lake else Home(home)
    runner = RunnerConfig(workers=workers, dask_scheduler=dask_scheduler)
    check_cluster(runner)
    experiment, detector = batch_experiment(find_detector(model, place), datasets, place, runner, weights)
    with place.lock():
        place.create()
        records = {"ingest": result(ingest(experiment, return_state=True))}
        records["faces"] = extract(experiment, "all")
        records["scores"] = score_missing(experiment, detector, records["faces"].fingerprint)
    return BatchOutcome(records, experiment, detector)


def score_missing(experiment: Experiment, model: ScoringModel, extraction: str, scope: Scope = "all") -> StageRecord:
    """Score what the detector has not scored yet over one single-threaded process a core, or as many as configured."""
    workers = experiment.config.runner.workers or os.cpu_count() or 1
    runner = processes_or_cluster(experiment.config.runner, "scores")
    record: StageRecord = _score_shards.with_options(task_runner=runner)(experiment, model, extraction, workers, scope)
    return record


@flow(name="score-videos", flow_run_name="score-videos", validate_parameters=False)
def _score_shards(
    experiment: Experiment, model: ScoringModel, extraction: str, workers: int, scope: Scope
) -> StageRecord:
    started = time.monotonic()
    plan: ScorePlan = plan_scores(experiment, model, extraction, workers, scope)
    if plan.shards:
        shards = score_shard.map(unmapped(experiment.home), unmapped(model), plan.shards)
        done = 0
        try:
            with progress("scores", "videos") as report:
                for future in as_completed(shards):
                    done += future.result()
                    report(done, plan.videos)
        except BrokenProcessPool as error:
            raise ServiceError(
                f"a worker process ended by force (killed, or out of memory) after {done} of {plan.videos} videos; "
                "what is scored is kept: run the same command again, with fewer --workers if memory is short"
            ) from error
    concluded = result(conclude_scores(experiment, model, plan, return_state=True))
    # The work was done by the shards.
    return concluded.model_copy(update={"seconds": round(time.monotonic() - started, 2)})
