"""Ingest: which videos there are. Folders in, `videos` table out."""

import os

from prefect import task
from prefect.cache_policies import NO_CACHE

from data_catalog.inventory import Inventory, check_identities, take_inventory
from data_catalog.references import require_references
from tasks.experiment import Experiment, StageRecord, progress, stage_task


@stage_task("ingest")
def ingest(experiment: Experiment, verify: bool = False) -> StageRecord:
    """Scan the datasets' folders and bring the `videos` table up to date."""
    lake = experiment.lake
    workers = experiment.config.runner.workers or os.cpu_count() or 1
    with progress("ingest", "new files read") as report:
        inventories = [take_inventory(lake, spec, workers, report, verify=verify) for spec in experiment.datasets]
    return StageRecord(
        stage="ingest",
        fingerprint="",
        digest="",
        reused=not any(inventory.is_news for inventory in inventories),
        summary="; ".join(_describe(inventory) for inventory in inventories),
        facts={inventory.dataset: _facts(inventory) for inventory in inventories},
    )


@task(name="check-roles", task_run_name="check-roles", cache_policy=NO_CACHE)
def check_roles(experiment: Experiment) -> None:
    """Refuse people and originals that serve more than one of training, validation and test, and pairs of nobody."""
    roles, config = experiment.roles(), experiment.config
    check_identities(experiment.lake, roles)
    if config.density.features == "difference" and config.pairs.is_across_videos:
        require_references(experiment.lake, roles, config.pairs.relation)


def _describe(inventory: Inventory) -> str:
    counts = {
        "new": inventory.added,
        "changed": inventory.changed,
        "renamed": inventory.renamed,
        "relabelled": inventory.relabelled,
        "still being written": inventory.growing,
        "removed": inventory.removed,
    }
    changes = ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "as before"
    text = f"{inventory.dataset}: {inventory.present} videos ({changes})"
    if inventory.without_split:
        text += f", {inventory.without_split} in no split"
    if inventory.unplaced:
        text += f", {len(inventory.unplaced)} files not recognised (first: {': '.join(inventory.unplaced[0])})"
    return text


def _facts(inventory: Inventory) -> dict[str, object]:
    return {
        "present": inventory.present,
        "added": inventory.added,
        "changed": inventory.changed,
        "renamed": inventory.renamed,
        "relabelled": inventory.relabelled,
        "unchanged": inventory.unchanged,
        "growing": inventory.growing,
        "removed": inventory.removed,
        "without_split": inventory.without_split,
        "unplaced": len(inventory.unplaced),
    }
