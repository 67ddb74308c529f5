"""What every stage is told, and what every stage tells back."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast, get_args
from uuid import UUID

import pyarrow as pa
from prefect import task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run
from prefect.states import Completed, State
from pydantic import BaseModel, ConfigDict

from data_catalog.artefacts import Artefact
from data_catalog.datasets import get_adapter
from data_catalog.fingerprints import digest_names
from data_catalog.home import Home
from data_catalog.lake import Lake
from difffake.config import DatasetSpec, ExperimentConfig, Role, StageName
from difffake.errors import DataError

ROLES: tuple[Role, ...] = get_args(Role)
PROGRESS_EVERY_S = 10.0
_ROWS_AT_ONCE = 65_536


class StageRecord(BaseModel):
    """The outcome of a stage: small, and JSON.

    `digest` names the content of what the stage made; later stages depend on it. `reused` says that nothing was done.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    stage: str
    fingerprint: str
    digest: str
    reused: bool
    summary: str
    seconds: float = 0.0
    facts: dict[str, Any] = {}


@dataclass(frozen=True)
class Experiment:
    """The frozen facts of one run."""

    config: ExperimentConfig
    home: Home
    datasets: tuple[DatasetSpec, ...]
    force: frozenset[StageName] = field(default=frozenset())

    @property
    def names(self) -> list[str]:
        """The datasets' names."""
        return [dataset.name for dataset in self.datasets]

    @property
    def lake(self) -> Lake:
        """The tables."""
        return self.home.lake

    def roles(self) -> pa.Table:
        """Which video is for what; see `assign_roles.sql`."""
        data = self.config.data
        parameters = {"train_compression": data.train_compression, "test_compressions": list(data.test_compressions)}
        wanted = [
            {"dataset": dataset.name, "role": role, "split": split}
            for dataset in self.datasets
            for role, splits in (dataset.roles or get_adapter(dataset.adapter).roles).items()
            for split in splits
        ]
        schema = pa.schema([(name, pa.string()) for name in ("dataset", "role", "split")])
        return self.lake.query(
            "assign_roles",
            parameters,
            {"dataset_roles": pa.Table.from_pylist(wanted, schema=schema)},
            is_asked_often=True,
        )

    def usable_faces(self, extraction: str) -> pa.Table:
        """Columns role, video_key, video_sha256, track_id, face_id, frame_index; see `usable_faces.sql`."""
        parameters = {
            "extraction": extraction,
            "min_track_share": self.config.pairs.min_track_share,
            "min_faces": self.config.faces.min_faces,
        }
        return self.lake.query("usable_faces", parameters, {"roles": self.roles()}, is_asked_often=True)


def stage_task(stage: str) -> Callable[[Callable[..., StageRecord]], Callable[..., State[StageRecord]]]:
    """A Prefect task that runs one stage and shows in its state's name whether the outcome was reused."""

    def decorate(function: Callable[..., StageRecord]) -> Callable[..., State[StageRecord]]:
        def run(*args: Any, **kwargs: Any) -> State[StageRecord]:
            started = time.monotonic()
            record = function(*args, **kwargs)
            record = record.model_copy(update={"seconds": round(time.monotonic() - started, 2)})
            logger = logging.getLogger(f"difffake.tasks.{stage}")
            logger.info("%-12s %s: %s", stage, "reused" if record.reused else "done", record.summary)
            name = "Reused" if record.reused else "Completed"
            return Completed(name=name, message=record.summary, data=record.model_dump(mode="json"))

        run.__doc__ = function.__doc__
        return task(run, name=stage, task_run_name=stage, cache_policy=NO_CACHE)

    return decorate


def result(state: State[Any]) -> StageRecord:
    """The record in a stage's state; raises what the stage raised."""
    return StageRecord.model_validate(state.result())


def reused(stage: str, fingerprint: str, artefact: Artefact, summary: str) -> StageRecord:
    """The record of an artefact that was already there."""
    return StageRecord(
        stage=stage,
        fingerprint=fingerprint,
        digest=artefact.digest,
        reused=True,
        summary=summary,
        facts=artefact.facts,
    )


def made(stage: str, fingerprint: str, artefact: Artefact, summary: str) -> StageRecord:
    """The record of an artefact that was made now."""
    return reused(stage, fingerprint, artefact, summary).model_copy(update={"reused": False})


def of_role(faces: pa.Table, role: str) -> pa.Table:
    """The rows of one role.

    Raises:
        DataError: there is none; says what to look at.
    """
    rows = faces.filter(pa.compute.equal(faces["role"], role))
    if rows.num_rows == 0:
        raise DataError(
            f"no usable face for the role {role!r}: no video of the splits that serve it, at its compression, gave "
            "enough faces. See the extraction outcomes above, the datasets' roles (`difffake datasets`), and "
            "data.train_compression / data.test_compression."
        )
    return rows


def of_roles(rows: pa.Table, roles: Sequence[str]) -> pa.Table:
    """The rows of some roles, each of which must have one; raises as `of_role` does."""
    return pa.concat_tables([of_role(rows, role) for role in roles])


def values_of(rows: pa.Table, *columns: str) -> Iterator[tuple[Any, ...]]:
    """The values of some columns, row by row; a million rows are not a million dictionaries at once."""
    for batch in rows.select(columns).to_batches(_ROWS_AT_ONCE):
        yield from zip(*(batch.column(number).to_pylist() for number in range(len(columns))), strict=True)


def digest_faces(faces: pa.Table) -> str:
    """The digest of a selection of faces: of what they show, whatever their videos are called."""
    return digest_names(" ".join(names) for names in values_of(faces, "role", "face_id"))


@contextmanager
def progress(stage: str, noun: str) -> Iterator[Callable[[int, int], None]]:
    """A callback (done, total) that logs every few seconds, and at the end of anything that took longer.

    Inside a run the same is a bar on its page.
    """
    logger = logging.getLogger(f"difffake.tasks.{stage}")
    started = last = time.monotonic()
    bar: UUID | None = None

    def report(done: int, total: int) -> None:
        nonlocal last, bar
        now = time.monotonic()
        if now - last < PROGRESS_EVERY_S and not (done == total and now - started > PROGRESS_EVERY_S):
            return
        last = now
        left_s = (now - started) / max(done, 1) * (total - done)
        logger.info("%-12s %d of %d %s, about %.0f s left", stage, done, total, noun, left_s)
        if not flow_run.id:
            return
        percent = 100.0 * done / max(total, 1)
        if bar is None:
            key = f"progress-{stage}".replace("_", "-")
            bar = cast(UUID, create_progress_artifact(percent, key=key, description=f"{stage}: {noun}"))
        else:
            update_progress_artifact(bar, percent)

    yield report
