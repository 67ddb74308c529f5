"""Evaluation: a detector and the test videos in, scores, metrics and figures out."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from data_catalog.fingerprints import fingerprint
from data_catalog.schemas import TABLES, TableName
from difffake.detector import Detector
from difffake.evaluation.false_positive_figure import false_positive_figure
from difffake.evaluation.figures import calibration_figure
from difffake.evaluation.groups import group_videos
from difffake.evaluation.plot_style import png
from difffake.evaluation.results import DIFFERENTIAL, FAKE_PROBABILITY, OVERALL, SampleScores
from difffake.evaluation.score_figures import auc_figure, roc_figure, score_histogram_figure
from difffake.evaluation.table import STAGE_VERSION, evaluate_videos
from difffake.scores import STATUS_WITHOUT_FACES, Examination, VideoScore
from tasks.calibration import STAGE as DETECTOR_STAGE
from tasks.evaluation_files import write_samples, write_table
from tasks.experiment import Experiment, StageRecord, made, of_role, reused, stage_task
from tasks.judged_videos import Videos, by_weight, judged_videos, result_of
from tasks.pairs import digest_of_judged, pairs_of_roles
from tasks.scoring import examine_videos

STAGE = "evaluation"
TABLE = "metrics.csv"
ROC = "roc.png"
AUCS = "auc.png"
FALSE_POSITIVES = "false_positives.png"
HISTOGRAM = "scores.png"
EXAMPLES = "examples.png"


@stage_task(STAGE)
def evaluate(
    experiment: Experiment, extraction: str, detector: StageRecord, embeddings: StageRecord, pairs: StageRecord
) -> StageRecord:
    """Score every test video and measure how well fakes and reals part."""
    config = experiment.config
    videos, learnt_from = judged_videos(experiment, extraction)
    faces = of_role(experiment.usable_faces(extraction), "test")
    drawn = pairs_of_roles(experiment, pairs, extraction, ("test",))
    told = ("video_key", "sha256", "status", "identity", "label", "manipulation", "original_key")
    inputs = {
        "detector": detector.digest,
        "judged": digest_of_judged(experiment, faces, drawn),
        "videos": [[row[column] for column in told] for row in videos.values()],
        "learnt_from": learnt_from,
        "seed": config.seed,
    }
    name = fingerprint(STAGE, STAGE_VERSION, config.evaluation, inputs)
    store = experiment.home.artefacts
    found = store.find(STAGE, name)
    stored = experiment.lake.read(TableName.SCORES, ["video_key"], {"detector": [detector.digest]})["video_key"]
    is_whole = videos.keys() <= set(stored.to_pylist())
    if found is not None and is_whole and STAGE not in experiment.force:
        return reused(STAGE, name, found, _summary(found.facts))

    loaded = Detector.load(store.require(DETECTOR_STAGE, detector.fingerprint).folder)
    examined = examine_videos(experiment, loaded, embeddings.fingerprint, faces, drawn)
    outcomes = {key: examined[key].score if key in examined else _without_faces(row) for key, row in videos.items()}
    _store_scores(experiment, detector.digest, videos, outcomes)
    protocol = fingerprint("protocol", STAGE_VERSION, None, {"videos": inputs["videos"]})
    with store.staging(STAGE, name) as folder:
        groups = _measure(experiment, loaded, videos, outcomes, examined, learnt_from, folder)
        examples = _examples(videos, outcomes)
        if loaded.calibration is not None:
            marked = [(example["video_key"], example["score"]) for example in examples]
            (folder / EXAMPLES).write_bytes(png(calibration_figure(loaded.calibration, marked)))
        facts = {"groups": groups, "examples": examples, "videos": len(videos), "protocol": protocol}
        artefact = store.publish(folder, STAGE, name, facts)
    return made(STAGE, name, artefact, _summary(facts))


def video_rows(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows at the level of videos: what tables for people show."""
    return [row for row in facts["groups"] if row["level"] == "video"]


def _without_faces(row: dict[str, Any]) -> VideoScore:
    status = STATUS_WITHOUT_FACES.get(row["status"], "failed")
    return VideoScore(status, f"{row['status']}: {row['reason'] or 'its faces are missing from the lake'}")


def _store_scores(experiment: Experiment, detector: str, videos: Videos, outcomes: dict[str, VideoScore]) -> None:
    rows = [
        {"video_key": key, "video_sha256": row["sha256"], "detector": detector, **vars(outcomes[key])}
        for key, row in videos.items()
    ]
    experiment.lake.upsert(TableName.SCORES, pa.Table.from_pylist(rows, schema=TABLES[TableName.SCORES].schema))


def _samples(examined: Mapping[str, Examination]) -> tuple[SampleScores, ...]:
    """Pairs under the differential score and frames under the backbone's own, of the videos that were scored."""
    scored = {key: examination for key, examination in examined.items() if examination.score.status == "scored"}
    # Faces that are judged singly have no pairs.
    level: Literal["pair", "frame"] = "pair" if any(one.pairs for one in scored.values()) else "frame"
    faces = {key: one.fake_probability.astype(float) for key, one in scored.items() if one.fake_probability is not None}
    return (
        SampleScores(level, DIFFERENTIAL, {key: -one.log_likelihood for key, one in scored.items()}),
        SampleScores("frame", FAKE_PROBABILITY, faces),
    )


def _measure(
    experiment: Experiment,
    detector: Detector,
    videos: Videos,
    outcomes: Mapping[str, VideoScore],
    examined: Mapping[str, Examination],
    learnt_from: Collection[str],
    folder: Path,
) -> list[dict[str, Any]]:
    """The rows of the evaluation's table; table, figures and what the scores were made of are left in the folder."""
    config, seed = experiment.config.evaluation, experiment.config.seed
    results = [result_of(row, outcomes[key], detector.calibrations) for key, row in videos.items()]
    thresholds = {name: calibration.threshold for name, calibration in detector.calibrations.items()}
    names = by_weight(detector.settings.verdict)
    table = evaluate_videos(
        results,
        names,
        config,
        seed,
        learnt_from=learnt_from,
        thresholds=thresholds,
        samples=_samples(examined),
    )
    write_table(table, folder / TABLE)
    write_samples(examined, folder)
    groups = group_videos(results, learnt_from)
    (folder / ROC).write_bytes(png(roc_figure(groups, table, config, seed)))
    (folder / AUCS).write_bytes(png(auc_figure(table, config)))
    if detector.calibration is not None:
        p_values = _p_values_of_reals(videos, outcomes)
        stated = detector.calibration.stated_false_positive_rate
        (folder / FALSE_POSITIVES).write_bytes(png(false_positive_figure(p_values, stated, config.confidence)))
    for number, group in enumerate(group for group in groups if group.name == OVERALL):
        name = HISTOGRAM if number == 0 else f"scores_{group.domain.name.replace('/', '_')}.png"
        (folder / name).write_bytes(png(score_histogram_figure(group, names, thresholds)))
    return [row.to_dict() for row in table]


def _p_values_of_reals(videos: Videos, outcomes: Mapping[str, VideoScore]) -> dict[str, list[float]]:
    """Of the real test videos with a verdict, by domain."""
    found: dict[str, list[float]] = {}
    for key, row in videos.items():
        p_value = outcomes[key].p_value
        if row["label"] == "real" and p_value is not None:
            domain = "/".join(part for part in (row["dataset"], row["compression"]) if part)
            found.setdefault(domain, []).append(p_value)
    return found


def _examples(videos: Videos, outcomes: Mapping[str, VideoScore]) -> list[dict[str, Any]]:
    """The first scored real and the first scored fake of the list: chosen before anyone saw a score."""
    examples = []
    for label in ("real", "fake"):
        scored = [key for key, row in videos.items() if row["label"] == label and outcomes[key].score is not None]
        examples += [{"video_key": key, "label": label, **vars(outcomes[key])} for key in scored[:1]]
    return examples


def _summary(facts: dict[str, Any]) -> str:
    headline = facts["groups"][0]
    if headline["auc"] is None:
        return f"{facts['videos']} test videos; no AUC: {headline['reasons']['auc']}"
    others = [row for row in video_rows(facts)[1:] if (row["domain"], row["group"]) == (headline["domain"], OVERALL)]
    beside = "".join(f", {row['score']} {row['auc']:.3f}" for row in others if row["auc"] is not None)
    place = f"{headline['domain']}, {'in-domain' if headline['in_domain'] else 'out-of-domain'}"
    return f"{facts['videos']} test videos; {place}: AUC {headline['auc']:.3f}{beside}"
