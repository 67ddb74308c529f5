"""Videos of one person that can be compared with each other."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from data_catalog.lake import Lake
from difffake.config import PairsConfig, Relation
from difffake.errors import DataError

_VIDEOS_AT_ONCE = 5_000
_NEEDED_BY = {"density": "the density is fitted", "calibration": "the detector is calibrated"}


def list_references(lake: Lake, roles: pa.Table) -> pa.Table:
    """Columns role, video_sha256, reference_sha256: who may be compared with whom; see `list_references.sql`."""
    return lake.query("list_references", {}, {"roles": roles})


def draw_across(lake: Lake, usable: pa.Table, eligible: pa.Table, config: PairsConfig, seed: int) -> Iterator[pa.Table]:
    """Columns role, video_sha256, base_id, partner_id of the pairs across videos; see `draw_pairs_across.sql`.

    In parts of some thousand videos, so that memory holds one part's pairs: a person's videos lie in one part.

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


def require_references(lake: Lake, roles: pa.Table, relation: Relation) -> None:
    """Refuse videos of which no two show one person, for a set of pairs across videos.

    Raises:
        DataError: a role that needs pairs has real videos, and no person with two of them; says how many people.
    """
    eligible = list_references(lake, roles)
    for role, purpose in _NEEDED_BY.items():
        videos = roles.filter(pc.equal(roles["role"], role))
        if not videos.num_rows or pc.any(pc.equal(eligible["role"], role)).as_py():
            continue
        contents, people = (pc.count_distinct(videos[column]).as_py() for column in ("sha256", "identity"))
        raise DataError(
            f"pairs.relation {relation} compares different real videos of one person, but the {contents} on which "
            f"{purpose} (role {role}) show {people} people, nobody twice. Say which videos show the same person (a CSV "
            "as datasets[].identities or --identities), give more videos of the same people, or set pairs.relation to "
            "same_video"
        )
