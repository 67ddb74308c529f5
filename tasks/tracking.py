"""Tracking: the MLflow store of a work folder, and what its runs have in common."""

import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import mlflow
from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, Metric, Param, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode
from mlflow.utils.validation import MAX_METRICS_PER_BATCH, MAX_PARAMS_TAGS_PER_BATCH
from prefect.runtime import flow_run

from data_catalog.home import Home
from difffake.errors import ArtefactError, ServiceError
from difffake.evaluation.rows import ALL_VIDEOS, AT_THRESHOLD, METRICS, ROW_KEY
from tasks.experiment import Experiment
from tasks.services import HOST, MLFLOW_PORT, PREFECT_PORT, QUIET

ARTIFACTS_VARIABLE = "MLFLOW_ARTIFACTS_DESTINATION"
COMMIT_TAG = "mlflow.source.git.commit"
FLOW_URL_TAG = "prefect.flow_run_url"
FINISHED = RunStatus.to_string(RunStatus.FINISHED)
_ROW_METRICS = (
    *METRICS, *(f"{name}{ALL_VIDEOS}" for name in METRICS), AT_THRESHOLD, f"{AT_THRESHOLD}{ALL_VIDEOS}",
    "false_positive_rate_at_threshold", "true_positive_rate_at_threshold", "coverage_real", "coverage_fake",
    "n_real", "n_fake", "auc_low", "auc_high",
)  # fmt: skip
_NOT_IN_A_METRIC_NAME = re.compile(r"[^\w :-]")
# What SQLite and PostgreSQL say where a row is there already.
_SIGNS_OF_A_RACE = ("IntegrityError", "UniqueViolation")


class _Client(MlflowClient):
    """A client that may write what another process writes in the same moment, to the same run or model.

    MLflow's store looks whether a row is there and inserts it if not; where two do so at once, one is refused. Its
    second try finds the row.
    """

    def set_tag(self, *args: Any, **kwargs: Any) -> Any:
        return _write(super().set_tag, *args, **kwargs)

    def log_batch(self, *args: Any, **kwargs: Any) -> Any:
        return _write(super().log_batch, *args, **kwargs)

    def log_inputs(self, *args: Any, **kwargs: Any) -> Any:
        return _write(super().log_inputs, *args, **kwargs)

    def set_model_version_tag(self, *args: Any, **kwargs: Any) -> Any:
        return _write(super().set_model_version_tag, *args, **kwargs)

    def set_registered_model_tag(self, *args: Any, **kwargs: Any) -> Any:
        return _write(super().set_registered_model_tag, *args, **kwargs)

    def set_registered_model_alias(self, *args: Any, **kwargs: Any) -> Any:
        return _write(super().set_registered_model_alias, *args, **kwargs)


def _write(write: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Write, and once more where another process was quicker: for what may be written twice."""
    try:
        return write(*args, **kwargs)
    except MlflowException as error:
        if not any(sign in str(error) for sign in _SIGNS_OF_A_RACE):
            raise
        return write(*args, **kwargs)


def is_there_already(error: MlflowException) -> bool:
    """Whether what was to be made is there: another process may have made it since one looked."""
    return str(error.error_code) == ErrorCode.Name(RESOURCE_ALREADY_EXISTS)


def connect(experiment: Experiment) -> MlflowClient:
    """A client of the work folder's tracking store, which is made if need be."""
    use_store(experiment.home.mlflow_uri)
    return _Client()


def client_of(home: Home) -> MlflowClient:
    """A client of a work folder's tracking store and registry.

    Raises:
        ArtefactError: there is none yet.
    """
    if not has_registry(home):
        raise ArtefactError(f"there is no registry in {home.root} yet: `difffake run` or `difffake demo` makes one")
    use_store(home.mlflow_uri)
    return _Client()


def has_registry(home: Home) -> bool:
    """Whether there may be models: a local store that is not there holds none."""
    path = home.mlflow_uri.removeprefix("sqlite:///")
    return path == home.mlflow_uri or Path(path).is_file()


def use_store(uri: str) -> None:
    """Make a tracking store, and the registry in it, the one MLflow talks to."""
    os.environ.update({name: value for name, value in QUIET.items() if name not in os.environ})
    mlflow.set_tracking_uri(uri)


def run_url(experiment: Experiment, run_id: str) -> str:
    """Where `difffake ui` shows the run."""
    info = connect(experiment).get_run(run_id).info
    return f"http://{HOST}:{MLFLOW_PORT}/#/experiments/{info.experiment_id}/runs/{run_id}"


def ensure_experiment(client: MlflowClient, experiment: Experiment, name: str) -> str:
    """The id of the MLflow experiment called `name`, made or brought back if need be.

    Raises:
        ServiceError: the store cannot be used.
    """
    try:
        found = client.get_experiment_by_name(name)
    except MlflowException as error:
        raise ServiceError(
            f"the MLflow store {experiment.home.mlflow_uri} cannot be used: {error}. Start its server, or unset "
            "MLFLOW_TRACKING_URI to use the work folder's own."
        ) from error
    if found is None:
        try:
            return str(client.create_experiment(name, _artifacts_of(experiment.home)))
        except MlflowException as error:
            if not is_there_already(error):
                raise
            return ensure_experiment(client, experiment, name)
    if found.lifecycle_stage == LifecycleStage.DELETED:
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def _artifacts_of(home: Home) -> str | None:
    """Where artefacts go when this program writes to a database itself; a tracking server says so on its own."""
    if urlsplit(home.mlflow_uri).scheme in ("http", "https"):
        return None
    return os.environ.get(ARTIFACTS_VARIABLE) or (home.mlflow.resolve() / "artifacts").as_uri()


def take_up_run(
    experiment: Experiment, name: str, identity: Mapping[str, str], run_name: str, params: Mapping[str, Any]
) -> str:
    """The id of the run with these tags: the one begun earlier, going on unless it is finished, or a new one.

    Args:
        experiment: whose tracking store.
        name: the MLflow experiment.
        identity: tags that make the run what it is.
        run_name: shown for a new run.
        params: of a new run.

    Raises:
        ServiceError: the store cannot be used.
    """
    client = connect(experiment)
    experiment_id = ensure_experiment(client, experiment, name)
    condition = " AND ".join(f"tags.`{tag}` = '{value}'" for tag, value in identity.items())
    begun = client.search_runs([experiment_id], condition, max_results=1)
    if begun:
        run_id = str(begun[0].info.run_id)
        if begun[0].info.status == FINISHED:
            return run_id
        client.update_run(run_id, RunStatus.to_string(RunStatus.RUNNING))
        # What it makes from now on is this code's.
        client.set_tag(run_id, COMMIT_TAG, commit())
    else:
        tags = {**identity, "mlflow.source.name": "difffake", COMMIT_TAG: commit()}
        run_id = str(client.create_run(experiment_id, run_name=run_name, tags=tags).info.run_id)
        log_in_batches(client, run_id, params=[Param(key, str(value)) for key, value in params.items()])
    for tag, value in flow_tags().items():
        client.set_tag(run_id, tag, value)
    return run_id


def log_in_batches(
    client: MlflowClient, run_id: str, metrics: Sequence[Metric] = (), params: Sequence[Param] = ()
) -> None:
    """Log any number of metrics and params: MLflow refuses more than so many at once."""
    for start in range(0, len(metrics), MAX_METRICS_PER_BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + MAX_METRICS_PER_BATCH])
    for start in range(0, len(params), MAX_PARAMS_TAGS_PER_BATCH):
        client.log_batch(run_id, params=params[start : start + MAX_PARAMS_TAGS_PER_BATCH])


def flatten(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections as dotted names."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


@contextmanager
def failing_run(experiment: Experiment, run_id: str) -> Iterator[None]:
    """Mark the MLflow run failed when the block raises, so that no run seems to go on for ever."""
    try:
        yield
    except BaseException:
        client = connect(experiment)
        if client.get_run(run_id).info.status == RunStatus.to_string(RunStatus.RUNNING):
            client.set_terminated(run_id, RunStatus.to_string(RunStatus.FAILED))
        raise


def flow_tags() -> dict[str, str]:
    """Tags that lead from an MLflow run to the Prefect flow run that made it; none outside a flow."""
    if not flow_run.id:
        return {}
    flow_run_id = str(flow_run.root_flow_run_id)
    # A server started for one run had a port for one run; `difffake ui` shows the run on the usual one.
    is_local = urlsplit(os.environ.get("PREFECT_API_URL", "")).hostname == HOST
    url = f"http://{HOST}:{PREFECT_PORT}/runs/flow-run/{flow_run_id}" if is_local else str(flow_run.ui_url)
    return {"prefect.flow_run_id": flow_run_id, FLOW_URL_TAG: url}


def evaluation_metrics(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """A table as metrics of an MLflow run: domain/group/level/score/figure, and the headline as overall.figure too."""
    metrics = {}
    for row in rows:
        name = "/".join(_NOT_IN_A_METRIC_NAME.sub("_", str(row[column])) for column in ROW_KEY)
        metrics |= {f"{name}/{figure}": row[figure] for figure in _ROW_METRICS if row[figure] is not None}
    headline = {f"overall.{figure}": rows[0][figure] for figure in _ROW_METRICS if rows[0][figure] is not None}
    return headline | metrics


def commit() -> str:
    """The commit of the code that runs, if it runs from a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "not from a checkout"
