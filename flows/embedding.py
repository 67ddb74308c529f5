"""Embedding: the faces that have no embedding yet, in shards, on this machine or over a cluster's workers."""

import time

from prefect import flow, unmapped
from prefect.futures import as_completed

from flows.runners import here_or_cluster
from tasks.embeddings import STAGE, EmbeddingPlan, conclude_embeddings, embed_shard, plan_embeddings
from tasks.experiment import Experiment, StageRecord, progress, result


def embed(experiment: Experiment, extraction: str, backbone: StageRecord) -> StageRecord:
    """Embed what is new: in this process, which uses every core or the GPU, or where the configuration says."""
    runner = here_or_cluster(experiment.config.runner, STAGE)
    record: StageRecord = _embed.with_options(task_runner=runner)(experiment, extraction, backbone)
    return record


@flow(name="embed-faces", flow_run_name="embed-faces", validate_parameters=False)
def _embed(experiment: Experiment, extraction: str, backbone: StageRecord) -> StageRecord:
    started = time.monotonic()
    plan: EmbeddingPlan = plan_embeddings(experiment, extraction, backbone)
    if plan.shards:
        settings = experiment.config.backbone
        shards = embed_shard.map(unmapped(experiment.home), unmapped(settings), unmapped(plan.network), plan.shards)
        done = 0
        with progress(STAGE, "faces") as report:
            for future in as_completed(shards):
                done += future.result()
                report(done, plan.faces)
    concluded = result(conclude_embeddings(experiment, extraction, plan, return_state=True))
    # The work was done by the shards.
    return concluded.model_copy(update={"seconds": round(time.monotonic() - started, 2)})
