"""Checks: what must hold of the tables after a refresh, in words where it does not."""

import logging

from prefect import task
from prefect.cache_policies import NO_CACHE

from data_catalog.inventory import check_identities
from difffake.errors import DataError
from tasks.experiment import Experiment
from tasks.faces import videos_in

logger = logging.getLogger("difffake.tasks.checks")


@task(name="check-tables", task_run_name="check-tables", cache_policy=NO_CACHE)
def check_tables(experiment: Experiment, extraction: str) -> list[str]:
    """Findings on keys, outcomes and people; an empty list is what is wanted."""
    roles = videos_in(experiment, "all")
    rows = experiment.lake.query("check_tables", {"extraction": extraction}, {"roles": roles}).to_pylist()
    findings = [f"{row['finding']}: {row['rows']} times, first {row['example']}" for row in rows]
    try:
        check_identities(experiment.lake, experiment.roles())
    except DataError as error:
        findings.append(str(error))
    for finding in findings:
        logger.warning("%-12s %s", "check", finding)
    return findings
