"""Failures: a readable summary of a flow run that failed: what, on what input, what to do."""

import errno
import json
import logging
import traceback
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import PrefectException
from prefect.states import State

from data_catalog.home import DEFAULT_HOME, Home
from difffake.errors import DiffFakeError

_OWN = ("flows", "tasks", "data_catalog", "difffake")
_ADVICE = (
    (("ExpiredToken", "TokenExpired", "RequestExpired", "token has expired", "InvalidAccessKeyId",
      "SignatureDoesNotMatch", "NoCredential", "Unable to locate credentials"),
     "The storage refuses the credentials: renew them in the environment of the worker, then run again."),
    (("AccessDenied", "Forbidden", "PermissionDenied"),
     "The storage knows the credentials and forbids the access: grant it, then run again."),
    (("database is locked",),
     "Another process holds the SQLite database for long. Run again; a team puts both servers on PostgreSQL "
     "(docs/deploy.md)."),
    (("Max retries exceeded", "Connection refused", "ConnectError", "Connection reset", "Name or service not known"),
     "A server does not answer: `difffake status` says which, `difffake up` starts it. Then run again."),
)  # fmt: skip
_AGAIN = "What was done is kept: run it again, and it goes on where it stopped."
logger = logging.getLogger("difffake.tasks.failures")


def tell_failure(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """A hook of flows (`on_failure`, `on_crashed`): write the summary below the work folder and on the run's page."""
    error = _error_of(state)
    text = summary(flow.name, flow_run.name, flow_run.parameters or {}, state, error)
    folder = _home_of(flow_run.parameters or {}).failures
    now = datetime.now(UTC)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{now:%Y%m%d-%H%M%S}-{flow_run.name}.md"
        path.write_text(text, encoding="utf-8")
        logger.error("%-12s summary: %s", flow.name, path)
    except OSError as fault:
        # A full disk is a reason to fail; its summary is on the run's page all the same.
        logger.error("%-12s its summary cannot be written: %s", flow.name, fault)
    try:
        with get_client(sync_client=True) as client:
            client.create_artifact(
                ArtifactCreate(
                    key="failure", type="markdown", description="Why it failed", data=text, flow_run_id=flow_run.id
                )
            )
    except (PrefectException, httpx.HTTPError) as fault:
        logger.error("%-12s its summary cannot be shown on the server: %s", flow.name, fault)


def summary(flow: str, run: str, parameters: dict[str, Any], state: State[Any], error: BaseException | None) -> str:
    """The summary as Markdown."""
    told = str(state.message or "") if error is None else f"{type(error).__name__}: {error}"
    lines = [f"# {flow} failed ({run})", "", f"**What:** {told}", "", f"**What to do:** {advice(error)}", ""]
    places = list(_own_frames(error))
    if places:
        lines += [f"**Where:** {places[-1]}", ""]
    # Parameters hold names of folders and settings; credentials come from the environment and are not among them.
    lines += ["**On what input:**", "```json", json.dumps(parameters, default=str, indent=2), "```"]
    return "\n".join(lines) + "\n"


def advice(error: BaseException | None) -> str:
    """What a person can do about it."""
    chain = list(_chain(error))
    text = " ".join(f"{type(fault).__name__} {fault}" for fault in chain)
    if any(isinstance(fault, OSError) and fault.errno in (errno.ENOSPC, errno.EDQUOT) for fault in chain) or (
        "No space left" in text
    ):
        return f"The disk is full: free some space (`difffake maintain` deletes what is outdated). {_AGAIN}"
    if any(isinstance(fault, BrokenProcessPool | MemoryError) for fault in chain):
        return f"A process was killed, most likely for want of memory: use fewer workers. {_AGAIN}"
    for signs, remedy in _ADVICE:
        if any(sign in text for sign in signs):
            return f"{remedy} {_AGAIN}"
    if any(isinstance(fault, DiffFakeError) for fault in chain):
        return "What is said above, then run it again."
    return f"{_AGAIN} If it fails in the same way, report it with the log of this run."


def _error_of(state: State[Any]) -> BaseException | None:
    found = state.result(raise_on_failure=False)
    return found if isinstance(found, BaseException) else None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _own_frames(error: BaseException | None) -> Iterator[str]:
    """The places in this program an error came through, the innermost last."""
    for frame in traceback.extract_tb(error.__traceback__ if error else None):
        path = Path(frame.filename)
        if any(part in _OWN for part in path.parts) and "site-packages" not in path.parts:
            yield f"{path.parent.name}/{path.name}, line {frame.lineno}, in {frame.name}"


def _home_of(parameters: dict[str, Any]) -> Home:
    return Home(Path(str(parameters.get("home") or DEFAULT_HOME)))
