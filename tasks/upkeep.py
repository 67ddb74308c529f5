"""Upkeep: compaction and vacuum of the lake as one task that shows what it did."""

import logging

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE

from data_catalog.home import Home
from data_catalog.upkeep import Upkeep, maintain

logger = logging.getLogger("difffake.tasks.upkeep")


@task(name="maintain-tables", task_run_name="maintain-tables", cache_policy=NO_CACHE)
def maintain_tables(home: Home, retention_h: int) -> list[Upkeep]:
    """Compact and vacuum every table; see `data_catalog.upkeep.maintain`."""
    done = maintain(home.lake, retention_h, _log)
    create_table_artifact(
        key="maintenance",
        table=[
            {"table": upkeep.name.value, "files before": upkeep.files_before, "files after": upkeep.files_after,
             "files deleted": upkeep.files_deleted}
            for upkeep in done
        ],
        description="Small files merged and old ones deleted",
    )  # fmt: skip
    return done


def _log(upkeep: Upkeep) -> None:
    logger.info(
        "%-12s %s: %d files → %d, %d deleted",
        "maintain",
        upkeep.name.value,
        upkeep.files_before,
        upkeep.files_after,
        upkeep.files_deleted,
    )
