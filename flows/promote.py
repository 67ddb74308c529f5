"""Promotion: the champion scores the test videos it has not seen, then both detectors are compared on the same ones."""

from dataclasses import replace

from prefect import flow

from difffake.errors import ArtefactError
from flows.batch import score_missing
from flows.extraction import extract
from tasks.batch import batch_experiment
from tasks.experiment import Experiment, StageRecord
from tasks.models import find_detector
from tasks.promotion import Rival, find_rival, promote
from tasks.registry_names import MODEL


@flow(name="promote", flow_run_name="promote", validate_parameters=False)
def decide_promotion(experiment: Experiment, extraction: str, registered: StageRecord) -> str:
    """Compare the registered challenger with the champion and act on it; says what was decided.

    Args:
        experiment: the run's.
        extraction: of the test videos.
        registered: the record of the challenger's registration.
    """
    reason = None
    try:
        rival = find_rival(experiment, extraction, registered)
        if rival is not None and rival.unscored:
            _score_test_videos(experiment, rival)
    except ArtefactError as error:
        # The training is done and registered; the champion stays, and the decision says why.
        reason = str(error)
    return promote(experiment, extraction, registered, reason)


def _score_test_videos(experiment: Experiment, rival: Rival) -> None:
    """Let the champion score the experiment's test videos.

    Raises:
        ArtefactError: it cannot.
    """
    folder = find_detector(f"models:/{MODEL}/{rival.version}", experiment.home)
    config = experiment.config
    other, model = batch_experiment(
        folder, list(experiment.datasets), experiment.home, config.runner, config.faces.detector_weights
    )
    # The same test videos at the same qualities, with the champion's own way to cut faces.
    other = replace(other, config=other.config.model_copy(update={"data": config.data}))
    faces = extract(other, "test")
    score_missing(other, replace(model, digest=rival.detector), faces.fingerprint, "test")
