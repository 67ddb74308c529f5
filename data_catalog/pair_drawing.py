"""Pairs of faces drawn by the lake's queries, in parts, so that memory holds one part's pairs."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from data_catalog.lake import Lake
from difffake.config import PairsConfig

_FACES_AT_ONCE = 200_000
_VIDEOS_AT_ONCE = 2_500


def draw_within(lake: Lake, candidates: pa.Table, config: PairsConfig, seed: int) -> Iterator[pa.Table]:
    """Columns group_key, base_id, partner_id of the pairs within a person of a video.

    See `draw_pairs.sql` and `draw_spread_pairs.sql`.

    Args:
        candidates: columns group_key, face_id, frame_index, sorted by group as `pending_pairs.sql` gives them; a group
            lies in one part.
    """
    parameters = {"seed": seed, "pool_size": config.pool_size, "half_up_to": config.half_up_to}
    query = "draw_pairs"
    if config.draw == "spread":
        query, parameters = "draw_spread_pairs", {}
    start = 0
    while start < candidates.num_rows:
        stop = _end_of_group(candidates["group_key"], min(start + _FACES_AT_ONCE, candidates.num_rows))
        yield lake.query(query, parameters, {"candidate_faces": candidates.slice(start, stop - start)})
        start = stop


def _end_of_group(keys: pa.ChunkedArray, row: int) -> int:
    """Where the group of the row before this one ends."""
    while row < len(keys) and keys[row].equals(keys[row - 1]):
        row += 1
    return row


def draw_across(lake: Lake, usable: pa.Table, eligible: pa.Table, config: PairsConfig, seed: int) -> Iterator[pa.Table]:
    """Columns role, video_sha256, base_id, partner_id of the pairs across videos; see `draw_pairs_across.sql`.

    A person's videos lie in one part.

    Args:
        usable: columns role, video_sha256, track_id, face_id.
        eligible: what `list_references` says.
    """
    parameters = {"seed": seed, "relation": config.relation, "references": config.references}
    by_video = eligible.group_by("video_sha256").aggregate([("reference_sha256", "min")])
    # The first of a person's videos, whichever of them is judged.
    person = pc.min_element_wise(by_video["video_sha256"], by_video["reference_sha256_min"])
    judged = by_video.append_column("person", person).sort_by([("person", "ascending"), ("video_sha256", "ascending")])
    for start in range(0, judged.num_rows, _VIDEOS_AT_ONCE):
        some = judged["video_sha256"].slice(start, _VIDEOS_AT_ONCE)
        part = eligible.filter(pc.is_in(eligible["video_sha256"], some.combine_chunks()))
        contents = pa.chunked_array([*part["video_sha256"].chunks, *part["reference_sha256"].chunks])
        faces = usable.filter(pc.is_in(usable["video_sha256"], pc.unique(contents)))
        yield lake.query("draw_pairs_across", parameters, {"usable_faces": faces, "eligible": part})
