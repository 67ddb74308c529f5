"""Embeddings: faces in, one vector a face out; each face goes through the network once."""

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from prefect import task
from prefect.cache_policies import NO_CACHE

from data_catalog.faces import read_face_set
from data_catalog.fingerprints import fingerprint
from data_catalog.home import Home
from data_catalog.schemas import TABLES, TableName
from difffake.backbone.checkpoints import load_weights
from difffake.backbone.device import resolve_device, resolve_embed_batch
from difffake.backbone.embed import Embeddings, embed_crops
from difffake.backbone.embedder import STAGE_VERSION, Backbone
from difffake.config import BackboneConfig
from difffake.memory import give_back_memory
from tasks.backbone import weights_path
from tasks.experiment import Experiment, StageRecord, digest_faces, stage_task
from tasks.gpu import gpu_slot

STAGE = "embeddings"
# Committed together: seconds of work, after which progress is seen and Ctrl-C heard. A cluster's worker is one thread.
_MOST_FACES = {"cpu": 256, "cuda": 8192, "cluster": 2048}
_SHARDS_PER_WORKER = 4


@dataclass(frozen=True)
class EmbeddingShard:
    """Faces to be embedded and committed together: their names and the contents (sha256) they were cut from."""

    face_ids: tuple[str, ...]
    contents: tuple[str, ...]


@dataclass(frozen=True)
class EmbeddingNetwork:
    """What embeds.

    Attributes:
        name: fingerprint of the embeddings.
        weights: the network's file.
        threads: of a shard on a CPU; None: as many as torch takes.
    """

    name: str
    weights: Path
    threads: int | None


@dataclass(frozen=True)
class EmbeddingPlan:
    """Which faces are to be embedded, by which network."""

    network: EmbeddingNetwork
    shards: tuple[EmbeddingShard, ...]

    @property
    def faces(self) -> int:
        """How many faces that is."""
        return sum(len(shard.face_ids) for shard in self.shards)


@task(name="plan-embeddings", task_run_name="plan-embeddings", cache_policy=NO_CACHE)
def plan_embeddings(experiment: Experiment, extraction: str, backbone: StageRecord) -> EmbeddingPlan:
    """List the usable faces that have no embedding under this backbone yet."""
    lake, runner = experiment.lake, experiment.config.runner
    name = fingerprint(STAGE, STAGE_VERSION, None, {"backbone": backbone.digest})
    if STAGE in experiment.force:
        lake.delete(TableName.EMBEDDINGS, {"backbone": [name]})
    usable = experiment.usable_faces(extraction)
    pending = lake.query("pending_embeddings", {"backbone": name}, {"usable_faces": usable})
    face_ids, contents = pending["face_id"].to_pylist(), pending["video_sha256"].to_pylist()
    is_shared_out = runner.scheduler_for(STAGE) is not None
    workers = runner.workers or os.cpu_count() or 1
    most = _MOST_FACES["cluster" if is_shared_out else resolve_device(experiment.config.backbone.device).type]
    size = min(most, -(-len(face_ids) // (workers * _SHARDS_PER_WORKER))) if is_shared_out else most
    shards = tuple(
        EmbeddingShard(tuple(face_ids[start : start + size]), tuple(contents[start : start + size]))
        for start in range(0, len(face_ids), size)
    )
    # Of a cluster each worker is one single-threaded process.
    return EmbeddingPlan(
        EmbeddingNetwork(name, weights_path(experiment, backbone), 1 if is_shared_out else None), shards
    )


@task(name="embed", task_run_name="embed-{shard.face_ids[0]}", cache_policy=NO_CACHE)
def embed_shard(home: Home, config: BackboneConfig, network: EmbeddingNetwork, shard: EmbeddingShard) -> int:
    """Embed some faces and commit them together; returns how many."""
    device = resolve_device(config.device)
    if network.threads is not None:
        torch.set_num_threads(network.threads)
    # The network needs no names of videos.
    columns = {"face_id": shard.face_ids, "video_sha256": shard.contents, "video_key": shard.contents}
    faces = read_face_set(home.lake, pa.table({name: pa.array(values) for name, values in columns.items()}))
    with gpu_slot(device):
        batch = resolve_embed_batch(config, device)
        embedded = embed_crops(_loaded(network), faces.crops_jpeg, batch, device)
    home.lake.append_missing(TableName.EMBEDDINGS, _rows(shard, network.name, embedded))
    return len(shard.face_ids)


@stage_task(STAGE)
def conclude_embeddings(experiment: Experiment, extraction: str, plan: EmbeddingPlan) -> StageRecord:
    """Sum up: every usable face has its embedding."""
    # The network is done; what it held is nobody's.
    give_back_memory()
    usable = experiment.usable_faces(extraction)
    faces = len(set(usable["face_id"].to_pylist()))
    return StageRecord(
        stage=STAGE,
        fingerprint=plan.network.name,
        digest=f"{plan.network.name}-{digest_faces(usable)}",
        reused=not plan.shards,
        summary=f"{faces} faces, {plan.faces} embedded now",
        facts={"faces": faces},
    )


@lru_cache(maxsize=1)
def _loaded(network: EmbeddingNetwork) -> Backbone:
    """Once a process, not once a shard; another network, under another name, may come to lie in the same file."""
    return load_weights(network.weights)


def _rows(shard: EmbeddingShard, name: str, embedded: Embeddings) -> pa.Table:
    count, width = embedded.features.shape
    offsets = pa.array(np.arange(0, (count + 1) * width, width, dtype=np.int32))
    columns = {
        "face_id": pa.array(shard.face_ids),
        "video_sha256": pa.array(shard.contents),
        "backbone": pa.array([name] * count),
        "features": pa.ListArray.from_arrays(offsets, pa.array(embedded.features.ravel())),
        "fake_probability": pa.nulls(count) if embedded.fake_probability is None else embedded.fake_probability,
    }
    return pa.table(columns).cast(TABLES[TableName.EMBEDDINGS].schema)
