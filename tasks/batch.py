"""Batch scoring: extracted videos of whole datasets and a detector in, `scores` out; what is scored stays scored."""

import json
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
from prefect import task
from prefect.cache_policies import NO_CACHE

from data_catalog.faces import read_extractions
from data_catalog.home import Home
from data_catalog.schemas import TABLES, TableName
from difffake.config import DatasetSpec, ExperimentConfig, PairsConfig, RunnerConfig
from difffake.errors import ArtefactError
from difffake.faces.records import ExtractionStatus
from difffake.locations import MANIFEST
from difffake.memory import release_memory, set_aside_what_is_loaded
from tasks.experiment import Experiment, StageRecord, stage_task
from tasks.faces import Scope, videos_in

STAGE = "scores"

_SHARDS_PER_WORKER = 4
_RECORD = "record.json"


@dataclass(frozen=True)
class ScoringModel:
    """A detector by its files.

    Attributes:
        folder: where it lies.
        digest: the name under which its scores are stored; equals the evaluation's where that detector was evaluated.
        extraction: the extraction it was made for.
    """

    folder: Path
    digest: str
    extraction: str


@dataclass(frozen=True)
class PendingScore:
    """A video to be scored."""

    video_key: str
    sha256: str
    status: ExtractionStatus
    reason: str


@dataclass(frozen=True)
class ScorePlan:
    """What is to be scored, in shards of some videos."""

    shards: tuple[tuple[PendingScore, ...], ...]

    @property
    def videos(self) -> int:
        """How many videos that is."""
        return sum(len(shard) for shard in self.shards)


def batch_experiment(
    folder: Path, datasets: list[DatasetSpec], home: Home, runner: RunnerConfig, weights: Path | None
) -> tuple[Experiment, ScoringModel]:
    """The experiment that extracts as a detector does, and the detector, from its manifest alone.

    Raises:
        ArtefactError: the folder holds no detector, or one that compares a video with others.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        settings = manifest["settings"]
        faces = settings["faces"] | {"detector_weights": weights}
        content = {"name": "batch", "faces": faces, "pairs": settings["pairs"]}
        config = ExperimentConfig.model_validate(content)
        extraction = str(settings["extraction"])
    except (OSError, ValueError, KeyError) as error:
        raise ArtefactError(f"{folder} is not a detector folder: {error}") from error
    if PairsConfig.model_validate(settings["pairs"]).is_across_videos and settings["features"] == "difference":
        raise ArtefactError(
            "this detector compares a video with references of the same person: score such videos one by one, with "
            "difffake score --reference"
        )
    config = config.model_copy(update={"runner": runner})
    return Experiment(config, home, tuple(datasets)), ScoringModel(folder, _digest(folder), extraction)


@task(name="plan-scores", task_run_name="plan-scores", cache_policy=NO_CACHE)
def plan_scores(
    experiment: Experiment, model: ScoringModel, extraction: str, workers: int, scope: Scope = "all"
) -> ScorePlan:
    """List the videos this detector has not scored yet.

    Raises:
        ArtefactError: the faces were cut otherwise than the detector was made for.
    """
    if extraction != model.extraction:
        raise ArtefactError(
            f"faces are cut as {extraction} here, and the detector was made with {model.extraction}: other face models "
            "are installed, or another version of difffake; train again, or score with the version that made it"
        )
    relations = {"roles": videos_in(experiment, scope).select(["video_key", "sha256"])}
    parameters = {"extraction": extraction, "detector": model.digest}
    rows = experiment.lake.query("pending_scores", parameters, relations).to_pylist()
    pending = [PendingScore(**row) for row in rows]
    most = experiment.config.runner.videos_per_shard
    size = min(most, max(1, -(-len(pending) // (workers * _SHARDS_PER_WORKER))))
    return ScorePlan(tuple(tuple(pending[start : start + size]) for start in range(0, len(pending), size)))


@task(name="score", task_run_name="score-{shard[0].video_key}", cache_policy=NO_CACHE)
def score_shard(home: Home, model: ScoringModel, shard: tuple[PendingScore, ...]) -> int:
    """Score a few videos and commit them together; returns how many."""
    from difffake.backbone.device import resolve_device

    # Imported here: planning and extraction go without torch.
    from tasks.gpu import gpu_slot

    detector, device = cached_detector(model.folder), resolve_device("auto")
    outcomes = {video.sha256: (video.status, video.reason) for video in shard}
    extractions = read_extractions(home.lake, model.extraction, outcomes)
    with gpu_slot(device):
        scores = {content: vars(detector.score_extraction(found, device)) for content, found in extractions.items()}
    rows = [
        {"video_key": video.video_key, "video_sha256": video.sha256, "detector": model.digest, **scores[video.sha256]}
        for video in shard
    ]
    home.lake.upsert(TableName.SCORES, pa.Table.from_pylist(rows, schema=TABLES[TableName.SCORES].schema))
    release_memory()
    return len(rows)


@cache
def cached_detector(folder: Path) -> Any:
    """Once a worker process."""
    import torch

    from difffake.detector import Detector

    # One single-threaded process a core.
    torch.set_num_threads(1)
    detector = Detector.load(folder)
    set_aside_what_is_loaded()
    return detector


@stage_task(STAGE)
def conclude_scores(experiment: Experiment, model: ScoringModel, plan: ScorePlan) -> StageRecord:
    """Sum up what the detector says of the datasets."""
    rows = list_scores(experiment, model).to_pylist()
    counts = {status: sum(row["status"] == status for row in rows) for status in ("scored", "abstained", "failed")}
    anomalous = sum(row["is_anomalous"] is True for row in rows)
    told = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    return StageRecord(
        stage=STAGE,
        fingerprint=model.digest,
        digest=model.digest,
        reused=plan.videos == 0,
        summary=f"{len(rows)} videos ({told}); {anomalous} anomalous; {plan.videos} scored now",
        facts={"videos": len(rows), "anomalous": anomalous, **counts},
    )


def list_scores(experiment: Experiment, model: ScoringModel) -> pa.Table:
    """What the detector says of the present videos of the datasets, the most anomalous first."""
    parameters = {"detector": model.digest, "datasets": experiment.names}
    return experiment.lake.query("list_scores", parameters)


def _digest(folder: Path) -> str:
    """What the artefact's record calls the detector, else a digest of its manifest, which names every file's."""
    try:
        return str(json.loads((folder / _RECORD).read_text(encoding="utf-8"))["digest"])
    except (OSError, ValueError, KeyError):
        return sha256((folder / MANIFEST).read_bytes()).hexdigest()[:16]
