"""Backbone: real faces in, trained network out."""

import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from shutil import copyfile, rmtree
from time import time
from typing import Any

import pyarrow as pa
import torch
from mlflow.entities import Metric

from data_catalog.faces import read_face_set
from data_catalog.fingerprints import DIGEST_HEX_LENGTH, digest_file, fingerprint
from difffake.backbone import embedder
from difffake.backbone.device import resolve_device
from difffake.backbone.training import STAGE_VERSION, check_backbone, store_untrained, train_backbone
from difffake.backbone.training_folder import EpochRecord, diverged_marker
from difffake.evaluation.figures import training_curves_figure
from difffake.evaluation.plot_style import png
from difffake.pseudofakes.recipe import STAGE_VERSION as PSEUDO_FAKES_VERSION
from tasks.cluster import batch_makers
from tasks.experiment import Experiment, StageRecord, digest_faces, made, of_role, progress, reused, stage_task
from tasks.gpu import gpu_slot
from tasks.pseudo_fakes import read_validation_set
from tasks.recompression import recompressed_faces
from tasks.tracking import connect

STAGE = "backbone"
WEIGHTS = "backbone.safetensors"
CURVES = "training_curves.png"

logger = logging.getLogger("difffake.tasks.backbone")


@stage_task(STAGE)
def train(experiment: Experiment, extraction: str, validation_set: StageRecord, run_id: str) -> StageRecord:
    """Train the network on reals and fresh pseudo-fakes; a killed training goes on where its last epoch ended.

    Without pseudo-fakes there is nothing to learn from: the network keeps its initial weights.
    """
    config = experiment.config
    faces = of_role(experiment.usable_faces(extraction), "train")
    if config.data.recompressed:
        faces = pa.concat_tables([faces, recompressed_faces(experiment)])
    weights = config.backbone.weights
    inputs = {
        "train": digest_faces(faces),
        "validation": validation_set.digest,
        "pseudo_fakes": config.pseudo_fakes.effective(),
        "initial_weights": digest_file(weights) if weights is not None else None,
        "seed": config.seed,
    }
    versions = (STAGE_VERSION, embedder.STAGE_VERSION, PSEUDO_FAKES_VERSION)
    name = fingerprint(STAGE, versions, config.backbone, inputs)
    store = experiment.home.artefacts
    work = experiment.home.work / STAGE / name
    found = store.find(STAGE, name)
    if found is not None and STAGE not in experiment.force:
        return reused(STAGE, name, found, _summary(found.facts))
    if STAGE in experiment.force and (found is not None or diverged_marker(work).is_file()):
        # Done once, or gone wrong, and asked for again: from the start, not from the last checkpoint.
        rmtree(work, ignore_errors=True)
    if not config.pseudo_fakes.drawn_masks:
        return _keep_untrained(experiment, name)

    train_faces = read_face_set(experiment.lake, faces)
    logger.info("%-12s training %s on %d faces", STAGE, config.backbone.model, len(train_faces))
    with progress(STAGE, "steps") as on_step, gpu_slot(resolve_device(config.backbone.device)):
        outcome = train_backbone(
            config.backbone,
            config.pseudo_fakes,
            train_faces,
            read_validation_set(experiment, validation_set.fingerprint),
            work,
            config.seed,
            on_epoch=_epoch_logger(experiment, run_id),
            on_step=on_step,
            batch_makers=batch_makers(config.runner),
        )
    history = [asdict(epoch) for epoch in outcome.history]
    facts = {"history": history, "faces": len(train_faces), "threads": torch.get_num_threads()}
    with store.staging(STAGE, name) as folder:
        for rank, kept in enumerate(outcome.kept_weights):
            copyfile(kept, folder / (WEIGHTS if rank == 0 else f"runner_up_{rank}.safetensors"))
        digest = digest_file(folder / WEIGHTS)[:DIGEST_HEX_LENGTH]
        (folder / CURVES).write_bytes(png(training_curves_figure(history)))
        artefact = store.publish(folder, STAGE, name, facts, digest)
    rmtree(work, ignore_errors=True)
    return made(STAGE, name, artefact, _summary(facts))


def check_backbone_here(experiment: Experiment) -> None:
    """Check that the backbone can be built and run on this machine, before faces are extracted for it.

    Raises:
        ConfigError, WeightsError: it cannot.
    """
    check_backbone(experiment.config.backbone)


def _epoch_logger(experiment: Experiment, run_id: str) -> Callable[[EpochRecord], None]:
    """A callback that logs an epoch's figures to the run as soon as it ends."""
    client = connect(experiment)

    def log(epoch: EpochRecord) -> None:
        now_ms = int(time() * 1000)
        values = {
            "train_loss": epoch.train_loss,
            "train_accuracy": epoch.train_accuracy,
            "validation_auc": epoch.validation_auc,
            "learning_rate": epoch.learning_rate,
            "epoch_seconds": epoch.seconds,
        }
        client.log_batch(run_id, metrics=[Metric(key, value, now_ms, epoch.epoch) for key, value in values.items()])

    return log


def _keep_untrained(experiment: Experiment, name: str) -> StageRecord:
    store = experiment.home.artefacts
    with store.staging(STAGE, name) as folder:
        store_untrained(experiment.config.backbone, folder / WEIGHTS, experiment.config.seed)
        digest = digest_file(folder / WEIGHTS)[:DIGEST_HEX_LENGTH]
        artefact = store.publish(folder, STAGE, name, {"history": [], "faces": 0}, digest)
    return made(STAGE, name, artefact, _summary(artefact.facts))


def weights_path(experiment: Experiment, backbone: StageRecord) -> Path:
    """The weights of the best epoch.

    Raises:
        ArtefactError: they are gone.
    """
    return experiment.home.artefacts.require(STAGE, backbone.fingerprint).path(WEIGHTS)


def _summary(facts: dict[str, Any]) -> str:
    if not facts["history"]:
        return "initial weights, not trained: there are no pseudo-fakes"
    best = max(facts["history"], key=lambda epoch: epoch["validation_auc"])
    return (
        f"{facts['faces']} faces, {len(facts['history'])} epochs, best validation AUC "
        f"{best['validation_auc']:.3f} in epoch {best['epoch']}"
    )
