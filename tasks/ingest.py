"""Ingest: which videos there are. Folders in, `videos` table out."""

import os

from data_catalog.datasets import DatasetSpec
from data_catalog.inventory import Inventory, check_identities, take_inventory
from tasks.experiment import Experiment, StageRecord, progress, stage_task


@stage_task("ingest")
def ingest(experiment: Experiment, specs: tuple[DatasetSpec, ...]) -> StageRecord:
    """Scan the datasets' folders and bring the `videos` table up to date; refuse people who cross splits."""
    lake = experiment.lake
    workers = experiment.config.runner.workers or os.cpu_count() or 1
    with progress("ingest", "new files read") as report:
        inventories = [take_inventory(lake, spec, workers, report) for spec in specs]
    check_identities(lake, experiment.datasets)
    opened = sum(inventory.added + inventory.changed for inventory in inventories)
    return StageRecord(
        stage="ingest",
        fingerprint="",
        digest="",
        reused=opened == 0 and not any(inventory.removed for inventory in inventories),
        summary="; ".join(_describe(inventory) for inventory in inventories),
        facts={inventory.dataset: _facts(inventory) for inventory in inventories},
    )


def _describe(inventory: Inventory) -> str:
    changes = f"{inventory.added} new, {inventory.changed} changed, {inventory.removed} removed"
    text = f"{inventory.dataset}: {inventory.present} videos ({changes})"
    if inventory.without_split:
        text += f", {inventory.without_split} in no split"
    if inventory.unrecognised:
        text += f", {len(inventory.unrecognised)} files not recognised (first: {': '.join(inventory.unrecognised[0])})"
    return text


def _facts(inventory: Inventory) -> dict[str, object]:
    return {
        "present": inventory.present,
        "added": inventory.added,
        "changed": inventory.changed,
        "removed": inventory.removed,
        "without_split": inventory.without_split,
        "unrecognised": [list(item) for item in inventory.unrecognised],
    }
