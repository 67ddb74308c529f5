"""Approval: a flow run that waits, without a process, until a person decides about a better detector."""

import logging
from pathlib import Path

from prefect import flow
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from pydantic import Field

from data_catalog.home import DEFAULT_HOME, Home
from flows.hooks import HOOKS
from tasks.promotion import decide_by_hand, is_waiting

WAITS_S = 14 * 24 * 3600
logger = logging.getLogger("difffake.flows.approve")


class Decision(RunInput):
    """What the person says when resuming the run."""

    approve: bool = Field(False, description="Make this version champion?")
    note: str = Field("", description="Who decides, and why.")


def _run_name() -> str:
    from prefect.runtime import flow_run

    return f"approve-version-{flow_run.parameters.get('version')}"


@flow(
    name="ask-for-approval",
    flow_run_name=_run_name,
    persist_result=True,
    **HOOKS,
)
def ask_for_approval(version: str, home: Path = DEFAULT_HOME, lake: str | None = None) -> str:
    """Wait for a person, two weeks at most; resuming the run in the UI, or `difffake promote`, decides.

    Args:
        version: of the registered model, which awaits approval.
        home: the work folder.
        lake: path or URI of the tables, where they are not below the work folder.
    """
    logging.getLogger("difffake").setLevel(logging.INFO)
    place = Home(home, lake) if lake else Home(home)
    if not is_waiting(place, version):
        return f"version {version} does not wait any more"
    decision = suspend_flow_run(wait_for_input=Decision, timeout=WAITS_S, key=f"version-{version}")
    if not is_waiting(place, version):
        return f"version {version} was decided meanwhile"
    told = decide_by_hand(place, version, approve=decision.approve, note=decision.note)
    logger.info("%-12s %s", "promote", told)
    return told
