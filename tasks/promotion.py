"""Promotion: challenger against champion on the same test videos, what became of it, and the way back.

The registry holds who is champion (an alias), what was decided of a version (its tags) and who was champion before
(a tag of the registered model), so that every machine and the MLflow page tell the same story.
"""

import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST, ErrorCode
from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.events import emit_event
from prefect.runtime import flow_run

from data_catalog.home import Home
from data_catalog.schemas import TableName
from difffake.errors import ArtefactError
from difffake.evaluation.groups import group_videos
from difffake.evaluation.promotion import Comparison, JudgedVideo, compare
from difffake.evaluation.results import OVERALL
from difffake.scores import VideoScore
from tasks.announcements import AWAITS_APPROVAL, resource_of
from tasks.experiment import Experiment, StageRecord
from tasks.judged_videos import Videos, judged_videos, result_of
from tasks.registry_names import AUC_TAG, CHALLENGER, CHAMPION, DETECTOR_TAG, MODEL
from tasks.tracking import client_of, connect

DECISION_TAG = "difffake.promotion"
STATE_TAG = "difffake.promotion.state"
HISTORY_TAG = "difffake.champions"
WAITING, APPROVED, REJECTED = "awaits approval", "approved", "rejected"
PROMOTED, NOT_BETTER, ROLLED_BACK = "promoted", "not better", "rolled back"
# MLflow takes 5,000 characters a tag.
_MOST_REMEMBERED = 25
_LONGEST_NOTE = 100
_LONGEST_TAG = 4900
logger = logging.getLogger("difffake.tasks.promotion")


@dataclass(frozen=True)
class Reign:
    """One time as champion.

    Attributes:
        version: of the registered model.
        since: when it began, UTC, ISO 8601.
        why: in words.
    """

    version: str
    since: str
    why: str


@dataclass(frozen=True)
class Rival:
    """The champion a challenger is to be compared with.

    Attributes:
        version: its number.
        detector: the name of its scores.
        unscored: whether some of the test videos have no score under it yet.
    """

    version: str
    detector: str
    unscored: bool


@task(name="find-rival", task_run_name="find-rival", cache_policy=NO_CACHE)
def find_rival(experiment: Experiment, extraction: str, registered: StageRecord) -> Rival | None:
    """The champion, and whether it has to score some test videos first; None if there is no other version."""
    client = connect(experiment)
    champion = champion_of(client)
    if champion is None or int(champion.version) == registered.facts["version"]:
        return None
    detector = champion.tags.get(DETECTOR_TAG)
    if detector is None:
        raise ArtefactError(
            f"champion version {champion.version} of {MODEL} has no tag {DETECTOR_TAG}: it was not registered by this "
            "program; delete the alias, or `difffake promote VERSION --approve --despite`"
        )
    videos, _ = judged_videos(experiment, extraction)
    return Rival(str(champion.version), detector, bool(videos.keys() - _scores(experiment, detector, videos).keys()))


@task(name="promote", task_run_name="promote", cache_policy=NO_CACHE)
def promote(experiment: Experiment, extraction: str, registered: StageRecord, reason: str | None = None) -> str:
    """Make the challenger champion if it is the first, or better on the same videos; says what was decided.

    Args:
        experiment: the run's.
        extraction: of the test videos.
        registered: the record of the challenger's registration.
        reason: why the champion could not score the test videos, if it could not.
    """
    client = connect(experiment)
    challenger = client.get_model_version(MODEL, str(registered.facts["version"]))
    champion = champion_of(client)
    auc = json.loads(challenger.tags[AUC_TAG])
    shown = "no AUC" if auc is None else f"AUC {auc:.3f}"
    number = challenger.version
    if champion is not None and champion.version == number:
        decision = f"version {number} is the champion already ({shown})"
        if STATE_TAG not in challenger.tags:
            client.set_model_version_tag(MODEL, number, STATE_TAG, PROMOTED)
        logger.info("%-12s %s", "promote", decision)
        return decision
    if challenger.tags.get(STATE_TAG) in (WAITING, REJECTED, ROLLED_BACK):
        # What a person was asked or decided is not asked or undone by the same run again.
        decision = f"version {number} {challenger.tags[STATE_TAG]}: {challenger.tags[DECISION_TAG]}"
        logger.info("%-12s %s", "promote", decision)
        return decision
    comparison = None
    if champion is None:
        is_better, why = True, f"the first version ({shown})"
    elif reason is not None:
        is_better, why = False, f"champion version {champion.version} could not be compared: {reason}"
    else:
        comparison = _compare(experiment, extraction, challenger, champion)
        is_better = comparison.outcome == "better"
        why = f"{comparison.outcome} than champion version {champion.version}: {comparison.why}"
    asks = experiment.config.promotion.approval == "required"
    state = NOT_BETTER if not is_better else WAITING if asks else PROMOTED
    _tell(client, challenger, why, comparison)
    if state == PROMOTED:
        crown(client, number, why)
    # Last: a decision that was cut short is taken again.
    client.set_model_version_tag(MODEL, number, STATE_TAG, state)
    outcome = {
        PROMOTED: "is champion now",
        WAITING: f"awaits approval (`difffake promote {number} --approve`)",
        NOT_BETTER: "stays challenger",
    }[state]
    decision = f"version {number} {outcome}: {why}"
    if state == WAITING and flow_run.id:
        emit_event(AWAITS_APPROVAL, resource=resource_of(experiment.home), payload={"version": str(number)})
    if flow_run.id:
        create_markdown_artifact(
            key="promotion", markdown=_markdown(decision, comparison), description="Challenger against champion"
        )
    logger.info("%-12s %s", "promote", decision)
    return decision


def versions(home: Home) -> list[dict[str, Any]]:
    """Every registered version, the newest first, as people look at them."""
    client = client_of(home)
    found = client.search_model_versions(f"name = '{MODEL}'")
    aliases: dict[str, list[str]] = {}
    for alias in (CHAMPION, CHALLENGER):
        try:
            aliases.setdefault(str(client.get_model_version_by_alias(MODEL, alias).version), []).append(alias)
        except MlflowException as error:
            if not _is_missing(error):
                raise
    rows = [
        {
            "version": int(version.version),
            "aliases": ", ".join(aliases.get(str(version.version), ())),
            "auc": json.loads(version.tags.get(AUC_TAG, "null")),
            "created": datetime.fromtimestamp(version.creation_timestamp / 1000, UTC).isoformat(timespec="seconds"),
            "state": version.tags.get(STATE_TAG, ""),
            "decision": version.tags.get(DECISION_TAG, ""),
        }
        for version in found
    ]
    return sorted(rows, key=lambda row: -row["version"])


def is_waiting(home: Home, version: str) -> bool:
    """Whether a version awaits approval.

    Raises:
        ArtefactError: there is no such version.
    """
    return _version(client_of(home), version).tags.get(STATE_TAG) == WAITING


def challenger_of(home: Home) -> str:
    """The challenger's number.

    Raises:
        ArtefactError: there is none.
    """
    return str(_version(client_of(home), None).version)


def decide_by_hand(home: Home, version: str | None, *, approve: bool, note: str, despite: bool = False) -> str:
    """Approve or reject a version that waits; returns what happened, in words.

    Args:
        home: the work folder.
        version: its number; default: the challenger.
        approve: or else reject.
        note: who decided, and why.
        despite: approve a version that was not found better, too.

    Raises:
        ArtefactError: there is no such version, or it waits for nobody.
    """
    client = client_of(home)
    chosen = _version(client, version)
    state = chosen.tags.get(STATE_TAG, "was not compared")
    champion = champion_of(client)
    if champion is not None and champion.version == chosen.version:
        return f"version {chosen.version} is the champion already"
    if state != WAITING and not (approve and despite):
        raise ArtefactError(
            f"version {chosen.version} does not wait for approval: its state is {state!r}. `difffake models` lists the "
            "versions; --despite approves one that was not found better"
        )
    why = f"{'approved' if approve else 'rejected'} by hand" + (f": {note}" if note else "")
    if approve:
        crown(client, chosen.version, why)
    client.set_model_version_tag(MODEL, chosen.version, STATE_TAG, APPROVED if approve else REJECTED)
    return f"version {chosen.version} {'is champion now' if approve else 'stays challenger'}: {why}"


def roll_back(home: Home, version: str | None, note: str) -> str:
    """Make an earlier version champion again: the one before the present, or the one named.

    Raises:
        ArtefactError: there is none to go back to.
    """
    client = client_of(home)
    champion = champion_of(client)
    if champion is None:
        raise ArtefactError("there is no champion to go back from: `difffake run` makes one")
    if version is None:
        earlier = [reign.version for reign in history(client) if reign.version != str(champion.version)]
        if not earlier:
            raise ArtefactError(
                f"version {champion.version} is the only champion there was; name another version with --to"
            )
        version = earlier[-1]
    chosen = _version(client, version)
    if chosen.version == champion.version:
        return f"version {chosen.version} is the champion already"
    why = f"rolled back from version {champion.version}" + (f": {note}" if note else "")
    crown(client, chosen.version, why)
    client.set_model_version_tag(MODEL, champion.version, STATE_TAG, ROLLED_BACK)
    client.set_model_version_tag(MODEL, champion.version, DECISION_TAG, f"replaced by version {chosen.version}: {why}")
    return f"version {chosen.version} is champion again: {why}"


def champion_of(client: MlflowClient) -> ModelVersion | None:
    """The champion, if there is one."""
    try:
        return client.get_model_version_by_alias(MODEL, CHAMPION)
    except MlflowException as error:
        if _is_missing(error):
            return None
        raise


def crown(client: MlflowClient, version: str, why: str) -> None:
    """Make a version champion and remember it."""
    before = history(client)
    # The alias last: what is cut short is done again, and remembered once.
    if not before or before[-1].version != str(version):
        now = datetime.now(UTC).isoformat(timespec="seconds")
        reigns = [*before, Reign(str(version), now, why[:_LONGEST_NOTE])][-_MOST_REMEMBERED:]
        client.set_registered_model_tag(MODEL, HISTORY_TAG, json.dumps([vars(reign) for reign in reigns]))
    client.set_registered_model_alias(MODEL, CHAMPION, version)


def history(client: MlflowClient) -> list[Reign]:
    """Who was champion, the earliest first."""
    tags = client.get_registered_model(MODEL).tags
    return [Reign(**reign) for reign in json.loads(tags.get(HISTORY_TAG, "[]"))]


def _compare(experiment: Experiment, extraction: str, challenger: ModelVersion, champion: ModelVersion) -> Comparison:
    videos, learnt_from = judged_videos(experiment, extraction)
    scores = {
        name: _scores(experiment, version.tags[DETECTOR_TAG], videos)
        for name, version in (("challenger", challenger), ("champion", champion))
    }
    unscored = VideoScore("failed", "not scored")
    results = [result_of(row, unscored, {}) for row in videos.values()]
    domains = {
        group.domain.name: [
            JudgedVideo(
                label=video.label,
                identity=video.identity,
                challenger=scores["challenger"].get(video.video_key),
                champion=scores["champion"].get(video.video_key),
            )
            for video in (*group.reals, *group.fakes)
        ]
        for group in group_videos(results, learnt_from)
        if group.name == OVERALL
    }
    config = experiment.config
    return compare(domains, config.promotion, config.evaluation.bootstrap_resamples, config.seed)


def _scores(experiment: Experiment, detector: str, videos: Videos) -> dict[str, float | None]:
    """The deciding score of the present content of each test video a detector was shown; None where it gave none."""
    columns = ["video_key", "video_sha256", "score"]
    rows = experiment.lake.read(TableName.SCORES, columns, {"detector": [detector]}).to_pylist()
    wanted = {key: row["sha256"] for key, row in videos.items()}
    return {row["video_key"]: row["score"] for row in rows if wanted.get(row["video_key"]) == row["video_sha256"]}


def _tell(client: MlflowClient, challenger: ModelVersion, why: str, comparison: Comparison | None) -> None:
    """Leave the decision on the version and, with its figures, on the run that made it."""
    client.set_model_version_tag(MODEL, challenger.version, DECISION_TAG, why[:_LONGEST_TAG])
    run_id = challenger.run_id
    client.set_tag(run_id, DECISION_TAG, why[:_LONGEST_TAG])
    if comparison is None:
        return
    client.log_dict(run_id, {"domains": [change.to_dict() for change in comparison.domains]}, "promotion.json")
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    figures = {
        f"promotion.{name}": getattr(comparison.domains[0], name) for name in ("change", "low", "high", "champion_auc")
    }
    known = [Metric(name, value, now_ms, 0) for name, value in figures.items() if value is not None]
    client.log_batch(run_id, metrics=known)


def _markdown(decision: str, comparison: Comparison | None) -> str:
    lines = [decision, ""]
    if comparison is not None:
        lines += [
            "| domain | videos | challenger AUC | champion AUC | change | interval over people | unscored by one |",
            "|---|---|---|---|---|---|---|",
        ]
        for change in comparison.domains:
            interval = "–" if change.low is None else f"[{change.low:+.3f}, {change.high:+.3f}]"
            lost = f"challenger {change.only_champion}, champion {change.only_challenger}"
            figures = (_figure(change.challenger_auc), _figure(change.champion_auc), _figure(change.change, "+.3f"))
            lines.append(f"| {change.domain} | {change.videos} | {' | '.join(figures)} | {interval} | {lost} |")
        lines += ["", "The first domain decides; domains are never pooled."]
    return "\n".join(lines)


def _figure(value: float | None, form: str = ".3f") -> str:
    return "–" if value is None else format(value, form)


def _version(client: MlflowClient, version: str | None) -> ModelVersion:
    try:
        if version is None:
            return client.get_model_version_by_alias(MODEL, CHALLENGER)
        return client.get_model_version(MODEL, version)
    except MlflowException as error:
        if _is_missing(error):
            raise ArtefactError(
                f"there is no version {version or CHALLENGER!r} of {MODEL}: `difffake models` lists them"
            ) from error
        raise


def _is_missing(error: MlflowException) -> bool:
    return error.error_code in (ErrorCode.Name(RESOURCE_DOES_NOT_EXIST), ErrorCode.Name(INVALID_PARAMETER_VALUE))
