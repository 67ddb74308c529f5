"""Videos of one person that can be compared with each other."""

import pyarrow as pa
import pyarrow.compute as pc

from data_catalog.lake import Lake
from difffake.config import Relation
from difffake.errors import DataError

_NEEDED_BY = {"density": "the density is fitted", "calibration": "the detector is calibrated"}


def list_references(lake: Lake, roles: pa.Table) -> pa.Table:
    """Columns role, video_sha256, reference_sha256: who may be compared with whom; see `list_references.sql`."""
    return lake.query("list_references", {}, {"roles": roles})


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
