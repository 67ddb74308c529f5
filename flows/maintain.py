"""Maintain: merge the lake's small files, delete those no version in use needs."""

from datetime import UTC, datetime
from pathlib import Path

from prefect import flow

from data_catalog.home import DEFAULT_HOME, Home
from data_catalog.upkeep import DEFAULT_RETENTION_H, Upkeep
from flows.hooks import HOOKS
from tasks.upkeep import maintain_tables


def _run_name() -> str:
    return f"maintain-{datetime.now(UTC):%m%d-%H%M%S}"


@flow(
    name="maintain",
    flow_run_name=_run_name,
    **HOOKS,
)
def maintain(
    home: Path = DEFAULT_HOME, lake: str | None = None, retention_h: int = DEFAULT_RETENTION_H
) -> list[Upkeep]:
    """Compact and vacuum every table.

    Args:
        home: the work folder.
        lake: path or URI of the tables, where they are not below the work folder.
        retention_h: hours for which files that only older versions need are kept.
    """
    return maintain_tables(Home(home, lake) if lake else Home(home), retention_h)
