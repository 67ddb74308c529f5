"""Embeddings: faces in, one vector a face out; each face goes through the network once."""

import numpy as np
import pyarrow as pa

from data_catalog.faces import read_face_set
from data_catalog.fingerprints import fingerprint
from data_catalog.schemas import TABLES, TableName
from difffake.backbone.checkpoints import load_weights
from difffake.backbone.device import resolve_device
from difffake.backbone.embed import Embeddings, embed_crops
from difffake.backbone.embedder import STAGE_VERSION
from tasks.backbone import weights_path
from tasks.experiment import Experiment, StageRecord, digest_faces, progress, stage_task
from tasks.gpu import gpu_slot

STAGE = "embeddings"
_FACES_PER_COMMIT = 2048


@stage_task(STAGE)
def embed(experiment: Experiment, extraction: str, backbone: StageRecord) -> StageRecord:
    """Embed the usable faces that have no embedding under this backbone yet."""
    lake = experiment.lake
    name = fingerprint(STAGE, STAGE_VERSION, None, {"backbone": backbone.digest})
    usable = experiment.usable_faces(extraction)
    if STAGE in experiment.force:
        lake.delete(TableName.EMBEDDINGS, {"backbone": [name]})
    pending = lake.query("pending_embeddings", {"backbone": name}, {"usable_faces": usable})
    if pending.num_rows:
        _embed_pending(experiment, backbone, name, pending)
    faces = len(set(usable["face_id"].to_pylist()))
    return StageRecord(
        stage=STAGE,
        fingerprint=name,
        digest=f"{name}-{digest_faces(usable)}",
        reused=pending.num_rows == 0,
        summary=f"{faces} faces, {pending.num_rows} embedded now",
        facts={"faces": faces},
    )


def _embed_pending(experiment: Experiment, backbone: StageRecord, name: str, pending: pa.Table) -> None:
    config = experiment.config.backbone
    network = load_weights(weights_path(experiment, backbone))
    device = resolve_device(config.device)
    with progress(STAGE, "faces") as report, gpu_slot(device):
        for start in range(0, pending.num_rows, _FACES_PER_COMMIT):
            part = pending.slice(start, _FACES_PER_COMMIT)
            # The network needs no names of videos.
            faces = read_face_set(experiment.lake, part.append_column("video_key", part["video_sha256"]))
            embedded = embed_crops(
                network,
                faces.crops_jpeg,
                config.embed_batch,
                device,
                lambda done, _, start=start: report(start + done, pending.num_rows),
            )
            experiment.lake.append_missing(TableName.EMBEDDINGS, _rows(part, name, embedded))


def _rows(part: pa.Table, name: str, embedded: Embeddings) -> pa.Table:
    count, width = embedded.features.shape
    offsets = pa.array(np.arange(0, (count + 1) * width, width, dtype=np.int32))
    columns = {
        "face_id": part["face_id"],
        "video_sha256": part["video_sha256"],
        "backbone": pa.array([name] * count),
        "features": pa.ListArray.from_arrays(offsets, pa.array(embedded.features.ravel())),
        "fake_probability": pa.nulls(count) if embedded.fake_probability is None else embedded.fake_probability,
    }
    return pa.table(columns).cast(TABLES[TableName.EMBEDDINGS].schema)
