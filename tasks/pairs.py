"""Pairs: faces in, pairs of faces of one person out; of one video, or of several videos of that person."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from prefect import task
from prefect.cache_policies import NO_CACHE

from data_catalog.fingerprints import digest_names, fingerprint
from data_catalog.pair_drawing import draw_across, draw_within
from data_catalog.references import list_references
from data_catalog.schemas import TableName
from difffake.differential.density import build_density
from difffake.differential.pairs import ACROSS_VERSION, STAGE_VERSION
from difffake.errors import DataError
from tasks.experiment import ROLES, Experiment, StageRecord, digest_faces, of_role, stage_task, values_of

STAGE = "pairs"
_NAMES = ("role", "base_id", "partner_id")


@stage_task(STAGE)
def draw(experiment: Experiment, extraction: str) -> StageRecord:
    """Draw the pairs that are not in this set yet."""
    config = experiment.config
    usable = experiment.usable_faces(extraction)
    eligible = _eligible(experiment, usable) if config.pairs.is_across_videos else None
    version = (STAGE_VERSION, ACROSS_VERSION) if config.pairs.is_across_videos else STAGE_VERSION
    name = fingerprint(STAGE, version, config.pairs, {"seed": config.seed} | _digest_of(eligible, extraction))
    if STAGE in experiment.force:
        experiment.lake.delete(TableName.PAIRS, {"pair_set": [name, *(f"{name}/{role}" for role in ROLES)]})
    if eligible is None:
        drawn = _draw_within(experiment, name, usable)
    else:
        drawn = _draw_across(experiment, name, usable, eligible)
    added = sum(experiment.lake.append_missing(TableName.PAIRS, rows) for rows in drawn)
    pairs = read_pairs(experiment, name, extraction)
    by_role = dict(sorted(Counter(pairs["role"].to_pylist()).items()))
    unpaired = _unpaired(usable, pairs) if config.pairs.is_across_videos else {}
    return StageRecord(
        stage=STAGE,
        fingerprint=name,
        digest=digest_names(" ".join(names) for names in values_of(pairs, *_NAMES)),
        reused=added == 0,
        summary=_summary(by_role, unpaired, added),
        facts={"pairs": pairs.num_rows, "by_role": by_role, "videos_without_pairs": unpaired},
    )


def read_pairs(experiment: Experiment, pair_set: str, extraction: str) -> pa.Table:
    """Columns role, video_key, video_sha256, track_id, base_id, partner_id, partner_sha256 of the usable pairs."""
    usable = {"usable_faces": experiment.usable_faces(extraction)}
    return experiment.lake.query("usable_pairs", {"pair_set": pair_set}, usable)


@task(name="check-pairs", task_run_name="check-pairs", cache_policy=NO_CACHE)
def check_pairs(experiment: Experiment, extraction: str, pairs: StageRecord) -> None:
    """Refuse too few pairs, or faces, for density and calibration before a network is trained.

    Raises:
        DataError: a role has none.
        DensityError: the density needs more.
    """
    usable = experiment.usable_faces(extraction)
    density = experiment.config.density
    counts = {role: of_role(usable, role).num_rows for role in (*density.fit_on, "calibration")}
    if density.features == "difference":
        counts = {role: pairs.facts["by_role"].get(role, 0) for role in counts}
    for role, count in counts.items():
        if count == 0:
            raise DataError(
                f"no pair of faces for the role {role!r}: no person of its videos has two faces to compare under "
                f"pairs.relation {experiment.config.pairs.relation}. See the extraction outcomes above, the datasets' "
                "roles (`difffake datasets`), and which videos show the same person (datasets[].identities)."
            )
    build_density(density, experiment.config.seed).require_count(sum(counts[role] for role in density.fit_on))


def pairs_of_roles(experiment: Experiment, pairs: StageRecord, extraction: str, roles: Sequence[str]) -> pa.Table:
    """The pairs of some roles; none where faces are judged singly."""
    rows = read_pairs(experiment, pairs.fingerprint, extraction)
    if experiment.config.density.features == "embedding":
        return rows.slice(0, 0)
    return rows.filter(pc.is_in(rows["role"], pa.array(roles, pa.string())))


def digest_of_judged(experiment: Experiment, faces: pa.Table, pairs: pa.Table) -> str:
    """Names what is judged of some roles: their pairs, or their faces where those are judged singly."""
    if experiment.config.density.features == "embedding":
        return digest_faces(faces)
    return digest_names(" ".join(names) for names in values_of(pairs, *_NAMES))


def _draw_within(experiment: Experiment, name: str, usable: pa.Table) -> Iterator[pa.Table]:
    config = experiment.config
    candidates = experiment.lake.query("pending_pairs", {"pair_set": name}, {"usable_faces": usable})
    for drawn in draw_within(experiment.lake, candidates, config.pairs, config.seed):
        keys = drawn["group_key"].to_pylist()
        columns = {
            "pair_set": pa.array([name] * drawn.num_rows, pa.string()),
            "video_sha256": pa.array([key.rsplit("/", 1)[0] for key in keys], pa.string()),
            "track_id": pa.array([int(key.rsplit("/", 1)[1]) for key in keys], pa.int16()),
        }
        yield _rows(experiment, drawn, columns)


def _draw_across(experiment: Experiment, name: str, usable: pa.Table, eligible: pa.Table) -> Iterator[pa.Table]:
    config = experiment.config
    for drawn in draw_across(experiment.lake, usable, eligible, config.pairs, config.seed):
        columns = {
            "pair_set": pc.binary_join_element_wise(name, drawn["role"], "/"),
            "video_sha256": drawn["video_sha256"],
            "track_id": pa.array([0] * drawn.num_rows, pa.int16()),
        }
        yield _rows(experiment, drawn, columns)


def _rows(experiment: Experiment, drawn: pa.Table, columns: dict[str, Any]) -> pa.Table:
    relation = pa.array([experiment.config.pairs.relation] * drawn.num_rows, pa.string())
    named = {"relation": relation, "base_id": drawn["base_id"], "partner_id": drawn["partner_id"]}
    return pa.table(columns | named)


def _eligible(experiment: Experiment, usable: pa.Table) -> pa.Table:
    """Which videos with usable faces may be compared; what a set across videos hangs on beside its rule."""
    roles = experiment.roles()
    seen = pc.is_in(roles["sha256"], pc.unique(usable["video_sha256"]))
    return list_references(experiment.lake, roles.filter(seen))


def _digest_of(eligible: pa.Table | None, extraction: str) -> dict[str, str]:
    """A new video of a known person changes who is drawn for the others: that makes another set."""
    if eligible is None:
        return {}
    return {"extraction": extraction, "eligible": digest_names("/".join(row.values()) for row in eligible.to_pylist())}


def _unpaired(usable: pa.Table, pairs: pa.Table) -> dict[str, int]:
    """By role, how many videos have faces and nobody to compare them with."""
    seen, paired = (
        set(zip(rows["role"].to_pylist(), rows["video_key"].to_pylist(), strict=True)) for rows in (usable, pairs)
    )
    return dict(sorted(Counter(role for role, _ in seen - paired).items()))


def _summary(by_role: dict[str, int], unpaired: dict[str, int], added: int) -> str:
    text = ", ".join(f"{count} {role}" for role, count in by_role.items()) or "none"
    if unpaired:
        videos = ", ".join(f"{count} {role}" for role, count in unpaired.items())
        text += f"; videos of people with no other real video: {videos}"
    return f"{text}; {added} drawn now"
