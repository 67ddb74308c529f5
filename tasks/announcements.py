"""Announcements: an event on the Prefect server when a refresh brought faces that no training has been told of.

Automations answer it: see the deployment `train-on-new-faces` of prefect.yaml.
"""

import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.events import emit_event

from data_catalog.home import Home
from tasks.experiment import Experiment

NEW_FACES = "difffake.faces.added"
AWAITS_APPROVAL = "difffake.promotion.awaits-approval"
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
logger = logging.getLogger("difffake.tasks.announcements")


@dataclass(frozen=True)
class NewFaces:
    """Videos with faces nobody was told of: how many, with how many faces, and when the last was extracted, if any."""

    videos: int
    faces: int
    last: datetime | None


@task(name="announce-new-faces", task_run_name="announce-new-faces", cache_policy=NO_CACHE)
def announce_new_faces(experiment: Experiment, extraction: str) -> int:
    """Announce the videos with faces since the last announcement, also those of a refresh that was killed.

    Returns how many videos there are; nothing is announced where there is none.
    """
    found = new_faces(experiment, extraction)
    if found.last is None:
        return 0
    payload = {"videos": found.videos, "faces": found.faces, "datasets": experiment.names}
    emit_event(NEW_FACES, resource=resource_of(experiment.home), payload=payload)
    # Afterwards: told twice is harmless, a training that has seen everything ends at once.
    remember(experiment, extraction, found.last)
    logger.info("%-12s %d videos with new faces", "announce", found.videos)
    return found.videos


def new_faces(experiment: Experiment, extraction: str) -> NewFaces:
    """What was extracted since the last announcement of these datasets; everything if there was none."""
    parameters = {
        "extraction": extraction,
        "datasets": experiment.names,
        "since": _read(_marker(experiment, extraction)),
    }
    (row,) = experiment.lake.query("count_new_faces", parameters).to_pylist()
    return NewFaces(**row)


def remember(experiment: Experiment, extraction: str, last: datetime) -> None:
    """Everything up to this time is announced."""
    marker = _marker(experiment, extraction)
    marker.parent.mkdir(parents=True, exist_ok=True)
    partial = marker.with_suffix(".tmp")
    partial.write_text(json.dumps({"last": last.isoformat()}), encoding="utf-8")
    partial.replace(marker)


def resource_of(home: Home) -> dict[str, str]:
    """The tables of a work folder as events name them, so that two on one server do not answer for each other."""
    place = str(home.lake.folder.uri)
    return {"prefect.resource.id": resource_id(home), "prefect.resource.name": place}


def resource_id(home: Home) -> str:
    """The name of a work folder's tables in events."""
    return f"difffake.lake.{sha256(str(home.lake.folder.uri).encode()).hexdigest()[:12]}"


def _marker(experiment: Experiment, extraction: str) -> Path:
    names = sha256("\n".join(sorted(experiment.names)).encode()).hexdigest()[:12]
    return experiment.home.work / "announced" / f"{extraction}-{names}.json"


def _read(marker: Path) -> datetime:
    try:
        return datetime.fromisoformat(json.loads(marker.read_text(encoding="utf-8"))["last"])
    except (OSError, ValueError, KeyError):
        return _NEVER
