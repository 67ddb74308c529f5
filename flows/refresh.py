"""Refresh: scan the datasets, extract the faces of new and changed videos."""

import time

from prefect import flow, unmapped
from prefect.futures import as_completed

from data_catalog.datasets import DatasetSpec
from tasks.experiment import Experiment, StageRecord, progress, result
from tasks.faces import conclude_extraction, extract_shard, plan_extraction
from tasks.ingest import ingest


@flow(name="refresh", validate_parameters=False)
def refresh(experiment: Experiment, specs: tuple[DatasetSpec, ...]) -> dict[str, StageRecord]:
    """Bring `videos`, `faces` and `extraction_log` up to date; cost follows what is new."""
    scanned = result(ingest(experiment, specs, return_state=True))
    started = time.monotonic()
    plan = plan_extraction(experiment)
    shards = extract_shard.map(
        unmapped(experiment.root), unmapped(experiment.config.faces), unmapped(plan.extraction), plan.shards
    )
    done = 0
    with progress("faces", "videos") as report:
        for future in as_completed(shards):
            done += sum(future.result().values())
            report(done, plan.videos)
    concluded = result(conclude_extraction(experiment, plan, return_state=True))
    # The work was done by the shards.
    faces = concluded.model_copy(update={"seconds": round(time.monotonic() - started, 2)})
    return {"ingest": scanned, "faces": faces}
