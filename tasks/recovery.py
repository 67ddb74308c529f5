"""Recovery: runs whose process ended without a word, because it, its worker or the machine was killed.

A run of a deployment notes its process below the work folder when it begins. Whoever starts a worker looks for notes
whose process is no more while the server still takes the run for running, and for runs this machine's worker had taken
and not begun yet.
"""

import json
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed

from data_catalog.home import DEFAULT_HOME, Home
from tasks.services import birth_of, is_alive, known, worker_name

MOST_ATTEMPTS = 3
_ATTEMPT = "attempt-"
_WORKER_LABEL = "prefect.worker.name"
logger = logging.getLogger("difffake.tasks.recovery")


def note_process(_flow: Flow[Any, Any], run: FlowRun, _state: State[Any]) -> None:
    """A hook of flows (`on_running`): remember which process does the run."""
    if run.deployment_id is None:
        return
    folder = _notes(Home(Path(str(run.parameters.get("home") or DEFAULT_HOME))))
    folder.mkdir(parents=True, exist_ok=True)
    content = {"host": socket.gethostname(), "pid": os.getpid(), "birth": birth_of(os.getpid())}
    partial = folder / f"{run.id}.tmp"
    partial.write_text(json.dumps(content), encoding="utf-8")
    partial.replace(folder / f"{run.id}.json")


def take_up_lost_runs(home: Home) -> list[str]:
    """Mark this machine's lost runs as crashed and start them anew, three times at most; returns what was done.

    What a run had done is kept, so the new one goes on where it stopped.
    """
    host = socket.gethostname()
    told = []
    with get_client(sync_client=True) as client:
        for note, run in _lost(client, home):
            text = f"its process on {host} ended without a word (killed, out of memory, machine off)"
            told.append(_start_anew(client, run, text))
            note.unlink(missing_ok=True)
        for run in _never_begun(client, home):
            told.append(_start_anew(client, run, f"the worker on {host} ended before it could begin"))
    return told


def _start_anew(client: SyncPrefectClient, run: FlowRun, text: str) -> str:
    attempt = _attempt_of(run)
    if run.deployment_id is None or attempt >= MOST_ATTEMPTS:
        outcome = f"given up after {attempt} attempts: see its log on the server"
    else:
        again = client.create_flow_run_from_deployment(
            run.deployment_id,
            parameters=run.parameters,
            tags=[*(tag for tag in run.tags if not tag.startswith(_ATTEMPT)), f"{_ATTEMPT}{attempt + 1}"],
            # Cut short, and done again, it makes no second one.
            idempotency_key=f"after-{run.id}",
        )
        outcome = f"started anew as {again.name}"
    # Last: cut short before this, the run is still found, and has no second successor.
    client.set_flow_run_state(run.id, Crashed(message=text), force=True)
    told = f"{run.name}: {text}; {outcome}"
    logger.warning("%-8s %s", "recovery", told)
    return told


def end_waiting(flow_name: str, parameters: dict[str, str]) -> int:
    """Let suspended runs of a flow with these parameters go on to their end; returns how many there were."""
    state = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PAUSED]))
    named = FlowFilter(name=FlowFilterName(any_=[flow_name]))
    with get_client(sync_client=True) as client:
        found = client.read_flow_runs(flow_run_filter=FlowRunFilter(state=state), flow_filter=named)
        waiting = [run for run in found if parameters.items() <= run.parameters.items()]
        for run in waiting:
            client.resume_flow_run(run.id, run_input={})
    return len(waiting)


def _lost(client: SyncPrefectClient, home: Home) -> Iterator[tuple[Path, FlowRun]]:
    """Runs begun by a process of this machine that is no more, and not ended; notes of ended ones are deleted."""
    for note in sorted(_notes(home).glob("*.json")):
        content = json.loads(note.read_text(encoding="utf-8"))
        if content["host"] != socket.gethostname() or birth_of(content["pid"]) == content["birth"]:
            continue
        try:
            run = client.read_flow_run(UUID(note.stem))
        except ObjectNotFound:
            note.unlink(missing_ok=True)
            continue
        if run.state is None or run.state.is_final() or run.state.is_paused() or run.state.is_scheduled():
            note.unlink(missing_ok=True)
            continue
        yield note, run


def _never_begun(client: SyncPrefectClient, home: Home) -> Iterator[FlowRun]:
    """Runs that wait for this work folder's worker, where it is not running now, and for no process of its."""
    worker = known(home, "worker")
    if worker is not None and is_alive(worker):
        return
    state = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PENDING]))
    for run in client.read_flow_runs(flow_run_filter=FlowRunFilter(state=state)):
        # The worker writes its name into the labels, then starts the process, then writes that one's number.
        number = (run.infrastructure_pid or "").rpartition(":")[2]
        is_starting = number.isdigit() and _is_process_of(run, int(number))
        if run.labels.get(_WORKER_LABEL) == worker_name(home) and not is_starting:
            yield run


def _is_process_of(run: FlowRun, pid: int) -> bool:
    """Whether the process was started for the run; after a restart of the machine any other may have its number."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return False
    except PermissionError:
        # The worker's processes belong to the worker's user.
        return False
    return f"PREFECT__FLOW_RUN_ID={run.id}".encode() in environment


def _notes(home: Home) -> Path:
    return home.services / "runs"


def _attempt_of(run: FlowRun) -> int:
    numbers = [tag.removeprefix(_ATTEMPT) for tag in run.tags if tag.startswith(_ATTEMPT)]
    return max((int(number) for number in numbers if number.isdigit()), default=1)
