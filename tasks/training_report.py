"""Training report: one page a training, in the report folder and beside the results of its MLflow run."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from data_catalog.fingerprints import fingerprint
from tasks.experiment import Experiment, StageRecord
from tasks.page import Provenance, is_page_of, write_whole
from tasks.report import PAGE, cautions_of, figure_paths
from tasks.tracking import FLOW_URL_TAG, commit, connect, run_url
from tasks.training_facts import scored_videos, worst_errors
from tasks.training_page import render_training

# Bump when the page shows something else for the same results.
STAGE_VERSION = 1

logger = logging.getLogger("difffake.tasks.training_report")


@task(name="training-report", task_run_name="training-report", cache_policy=NO_CACHE)
def publish_training_report(experiment: Experiment, records: Mapping[str, StageRecord], run_id: str) -> Path:
    """Write the page of a training and log it to its MLflow run, unless the page of these results is there."""
    results = {stage: [one.fingerprint, one.digest] for stage, one in records.items() if stage != "ingest"}
    inputs = {"results": results, "config": experiment.config.model_dump(mode="json"), "run": run_id}
    name = fingerprint("training-report", STAGE_VERSION, None, inputs)
    page = experiment.home.reports / experiment.config.name / PAGE
    is_there = is_page_of(page, name)
    if not is_there:
        text = _page(experiment, records, run_id, name)
        connect(experiment).log_text(run_id, text, PAGE)
        # Last: a page that was written but not logged would never be.
        page.parent.mkdir(parents=True, exist_ok=True)
        write_whole({page: text.encode()})
    logger.info("%-12s %s: %s", "report", "reused" if is_there else "done", page)
    return page


def _page(experiment: Experiment, records: Mapping[str, StageRecord], run_id: str, name: str) -> str:
    tags = connect(experiment).get_run(run_id).data.tags
    videos = scored_videos(experiment, records["calibration"])
    return render_training(
        experiment,
        records,
        cautions_of(records),
        figure_paths(experiment, records),
        videos,
        worst_errors(experiment, records["faces"].fingerprint, records["evaluation"], videos),
        Provenance(name, datetime.now(UTC), commit(), run_url(experiment, run_id), tags.get(FLOW_URL_TAG, "")),
    )
