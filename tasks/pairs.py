"""Pairs: faces in, pairs of faces of one person in one video out."""

import pyarrow as pa

from data_catalog.fingerprints import digest_names, fingerprint
from data_catalog.schemas import TableName
from difffake.differential.pairs import STAGE_VERSION
from tasks.experiment import SAME_VIDEO, Experiment, StageRecord, stage_task

STAGE = "pairs"


@stage_task(STAGE)
def draw(experiment: Experiment, extraction: str) -> StageRecord:
    """Draw the pairs of every person of every video who has none in this set yet."""
    config = experiment.config
    lake = experiment.lake
    name = fingerprint(STAGE, STAGE_VERSION, config.pairs, {"seed": config.seed})
    usable = {"usable_faces": experiment.usable_faces(extraction)}
    if STAGE in experiment.force:
        lake.delete(TableName.PAIRS, {"pair_set": [name]})
    candidates = lake.query("pending_pairs", {"pair_set": name}, usable)
    parameters = {"seed": config.seed, "pool_size": config.pairs.pool_size, "half_up_to": config.pairs.half_up_to}
    drawn = lake.query("draw_pairs", parameters, {"candidate_faces": candidates})
    keys = drawn["group_key"].to_pylist()
    columns = {
        "pair_set": pa.array([name] * drawn.num_rows, pa.string()),
        "relation": pa.array([SAME_VIDEO] * drawn.num_rows, pa.string()),
        "video_sha256": pa.array([key.rsplit("/", 1)[0] for key in keys], pa.string()),
        "track_id": pa.array([int(key.rsplit("/", 1)[1]) for key in keys], pa.int16()),
        "base_id": drawn["base_id"],
        "partner_id": drawn["partner_id"],
    }
    added = lake.append_missing(TableName.PAIRS, pa.table(columns))
    pairs = read_pairs(experiment, name, extraction)
    by_role = {role: pairs["role"].to_pylist().count(role) for role in sorted(set(pairs["role"].to_pylist()))}
    return StageRecord(
        stage=STAGE,
        fingerprint=name,
        digest=digest_names(f"{row['role']} {row['base_id']} {row['partner_id']}" for row in pairs.to_pylist()),
        reused=added == 0,
        summary=", ".join(f"{count} {role}" for role, count in by_role.items()) + f"; {added} drawn now",
        facts={"pairs": pairs.num_rows, "by_role": by_role},
    )


def read_pairs(experiment: Experiment, pair_set: str, extraction: str) -> pa.Table:
    """Columns role, video_key, video_sha256, track_id, base_id, partner_id of the usable pairs of a set."""
    usable = {"usable_faces": experiment.usable_faces(extraction)}
    return experiment.lake.query("usable_pairs", {"pair_set": pair_set}, usable)
