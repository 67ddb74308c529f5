"""Extraction: faces of the videos that have no outcome yet, in shards over worker processes.

A flow of its own because workers import the module of the flow they work for, and the modules its arguments come from:
these load neither torch nor MLflow, which would cost each of them seconds and most of a gigabyte.
"""

import time
from collections.abc import Collection
from concurrent.futures.process import BrokenProcessPool
from shutil import rmtree

from prefect import flow, unmapped
from prefect.futures import as_completed

from difffake.errors import ServiceError
from difffake.faces.records import ExtractionStatus
from flows.runners import processes_or_cluster
from tasks.experiment import Experiment, StageRecord, progress, result
from tasks.faces import ExtractionPlan, Scope, conclude_extraction, extract_shard, plan_extraction, scratch_folder
from tasks.recompression import plan_recompression


def extract(
    experiment: Experiment,
    scope: Scope,
    retry: Collection[ExtractionStatus] = (),
    check_backbone: bool = False,
) -> StageRecord:
    """Extract what is new over one single-threaded process a core, or as many as the configuration says.

    Args:
        experiment: the run's.
        scope: which videos are meant.
        retry: statuses whose videos are tried again.
        check_backbone: that the backbone can be built here is checked before the first video is read, rather than after
            hours of extraction; and not where nothing is new.

    Raises:
        ConfigError, WeightsError: it cannot.
    """
    runner = processes_or_cluster(experiment.config.runner, "faces")
    record: StageRecord = _extract.with_options(task_runner=runner)(experiment, scope, tuple(retry), check_backbone)
    return record


@flow(name="extract-faces", flow_run_name="extract-faces", validate_parameters=False)
def _extract(
    experiment: Experiment,
    scope: Scope,
    retry: tuple[ExtractionStatus, ...],
    check_backbone: bool,
) -> StageRecord:
    started = time.monotonic()
    plan = plan_extraction(experiment, scope, retry)
    if plan.shards:
        if check_backbone:
            # Imported here: workers import this module.
            from tasks.backbone import check_backbone_here

            check_backbone_here(experiment)
        _extract_shards(experiment, plan)
    concluded = result(conclude_extraction(experiment, plan, scope, return_state=True))
    # The work was done by the shards.
    return concluded.model_copy(update={"seconds": round(time.monotonic() - started, 2)})


def extract_recompressed(experiment: Experiment) -> None:
    """Encode training videos anew in the configuration's ways and extract what is new of them."""
    if experiment.config.data.recompressed:
        _recompress.with_options(task_runner=processes_or_cluster(experiment.config.runner, "faces"))(experiment)


@flow(name="extract-recompressed", flow_run_name="extract-recompressed", validate_parameters=False)
def _recompress(experiment: Experiment) -> None:
    # What a killed run left.
    rmtree(scratch_folder(experiment.home), ignore_errors=True)
    try:
        for how in experiment.config.data.recompressed:
            plan = plan_recompression(experiment, how)
            if plan.shards:
                _extract_shards(experiment, plan)
    finally:
        rmtree(scratch_folder(experiment.home), ignore_errors=True)


def _extract_shards(experiment: Experiment, plan: ExtractionPlan) -> None:
    shards = extract_shard.map(
        unmapped(experiment.home),
        unmapped(experiment.config.faces),
        unmapped(plan.extraction),
        plan.shards,
        unmapped(plan.perturbation),
    )
    done = 0
    try:
        with progress("faces", "videos") as report:
            for future in as_completed(shards):
                done += sum(future.result().values())
                report(done, plan.videos)
    except BrokenProcessPool as error:
        raise ServiceError(
            f"a worker process ended by force (killed, or out of memory) after {done} of {plan.videos} videos; what is "
            "done is kept: run the same command again, with fewer --workers if memory is short"
        ) from error
