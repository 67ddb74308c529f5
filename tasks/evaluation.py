"""Evaluation: a detector and the test videos in, scores, metrics and figures out."""

import csv
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from data_catalog.fingerprints import fingerprint
from data_catalog.schemas import TABLES, TableName
from difffake.detector import STATUS_WITHOUT_FACES, Detector, VideoScore
from difffake.evaluation.figures import calibration_figure, roc_figure, score_histogram_figure
from difffake.evaluation.table import STAGE_VERSION, EvaluationRow, VideoResult, evaluate_videos
from tasks.density import DETECTOR_STAGE, score_videos
from tasks.experiment import Experiment, StageRecord, made, of_role, reused, stage_task
from tasks.pairs import read_pairs

STAGE = "evaluation"
TABLE = "metrics.csv"
ROC = "roc.png"
HISTOGRAM = "scores.png"
EXAMPLES = "examples.png"


@stage_task(STAGE)
def evaluate(
    experiment: Experiment, extraction: str, detector: StageRecord, embeddings: StageRecord, pairs: StageRecord
) -> StageRecord:
    """Score every test video and measure how well fakes and reals part."""
    config = experiment.config
    roles = experiment.roles()
    test = roles.filter(pa.compute.equal(roles["role"], "test"))
    log = _outcomes(experiment, extraction)
    videos = [row | log.get(row["sha256"], _NEVER) for row in test.to_pylist()]
    inputs = {
        "detector": detector.digest,
        "embeddings": embeddings.digest,
        "pairs": pairs.digest,
        "videos": [[row["video_key"], row["sha256"], row["status"], row["identity"]] for row in videos],
        "seed": config.seed,
    }
    name = fingerprint(STAGE, STAGE_VERSION, config.evaluation, inputs)
    store = experiment.home.artefacts
    found = store.find(STAGE, name)
    stored = experiment.lake.read(TableName.SCORES, ["video_key"], {"detector": [detector.digest]})["video_key"]
    is_whole = {row["video_key"] for row in videos} <= set(stored.to_pylist())
    if found is not None and is_whole and STAGE not in experiment.force:
        return reused(STAGE, name, found, _summary(found.facts))

    loaded = Detector.load(store.require(DETECTOR_STAGE, detector.fingerprint).folder)
    faces = of_role(experiment.usable_faces(extraction), "test")
    drawn = read_pairs(experiment, pairs.fingerprint, extraction)
    drawn = drawn.filter(pa.compute.equal(drawn["role"], "test"))
    scored = score_videos(experiment, loaded, embeddings.fingerprint, faces, drawn)
    outcomes = {row["video_key"]: scored.get(row["video_key"]) or _without_faces(row) for row in videos}
    _store_scores(experiment, detector.digest, videos, outcomes)

    threshold = None if loaded.calibration is None else loaded.calibration.threshold
    results = [_result(row, outcomes[row["video_key"]]) for row in videos]
    table = evaluate_videos(results, config.evaluation, config.seed, threshold)
    facts = {
        "groups": [row.to_dict() for row in table],
        "examples": _examples(videos, outcomes),
        "videos": len(videos),
        "protocol": fingerprint("protocol", STAGE_VERSION, None, {"videos": inputs["videos"]}),
    }
    with store.staging(STAGE, name) as folder:
        _write_table(table, folder / TABLE)
        roc_figure(results, table, config.evaluation, config.seed).savefig(folder / ROC, dpi=150)
        score_histogram_figure(results, threshold).savefig(folder / HISTOGRAM, dpi=150)
        if loaded.calibration is not None:
            marked = [(example["video_key"], example["score"]) for example in facts["examples"]]
            calibration_figure(loaded.calibration, marked).savefig(folder / EXAMPLES, dpi=150)
        artefact = store.publish(folder, STAGE, name, facts)
    return made(STAGE, name, artefact, _summary(facts))


_NEVER = {"status": "unreadable", "reason": "was not extracted"}


def _outcomes(experiment: Experiment, extraction: str) -> dict[str, dict[str, str]]:
    columns = ["video_sha256", "status", "reason"]
    rows = experiment.lake.read(TableName.EXTRACTION_LOG, columns, {"extraction": [extraction]}).to_pylist()
    return {row["video_sha256"]: {"status": row["status"], "reason": row["reason"]} for row in rows}


def _without_faces(row: dict[str, Any]) -> VideoScore:
    status = STATUS_WITHOUT_FACES.get(row["status"], "failed")
    return VideoScore(status, f"{row['status']}: {row['reason'] or 'its faces are missing from the lake'}")


def _store_scores(
    experiment: Experiment, detector: str, videos: Sequence[dict[str, Any]], outcomes: dict[str, VideoScore]
) -> None:
    rows = [
        {
            "video_key": row["video_key"],
            "video_sha256": row["sha256"],
            "detector": detector,
            **vars(outcomes[row["video_key"]]),
        }
        for row in videos
    ]
    experiment.lake.upsert(TableName.SCORES, pa.Table.from_pylist(rows, schema=TABLES[TableName.SCORES].schema))


def _result(row: dict[str, Any], outcome: VideoScore) -> VideoResult:
    return VideoResult(
        label=1 if row["label"] == "fake" else 0,
        manipulation=row["manipulation"],
        identity=row["identity"],
        score=outcome.score,
        p_value=outcome.p_value,
        status=outcome.status,
    )


def _examples(videos: Sequence[dict[str, Any]], outcomes: dict[str, VideoScore]) -> list[dict[str, Any]]:
    """The first scored real and the first scored fake, by name: chosen before anyone saw a score."""
    examples = []
    for label in ("real", "fake"):
        scored = [row for row in videos if row["label"] == label and outcomes[row["video_key"]].score is not None]
        for row in sorted(scored, key=lambda row: str(row["video_key"]))[:1]:
            outcome = outcomes[row["video_key"]]
            examples.append({"video_key": row["video_key"], "label": label, **vars(outcome)})
    return examples


def _write_table(table: Sequence[EvaluationRow], path: Any) -> None:
    rows = [row.to_dict() for row in table]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _summary(facts: dict[str, Any]) -> str:
    overall = facts["groups"][0]
    if overall["auc"] is None:
        return f"{facts['videos']} test videos; no AUC: {overall['reasons']['auc']}"
    return f"{facts['videos']} test videos, AUC {overall['auc']:.3f}"
