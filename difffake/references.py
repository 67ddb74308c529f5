"""Trusted footage of a person: the faces with which the faces of a judged video are compared."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from difffake.faces.records import Extraction, FaceRecord


@dataclass(frozen=True)
class References:
    """The usable reference videos of one judged video.

    Attributes:
        faces: by content (sha256), the faces of the video's main person; never empty.
        refused: one sentence for every file that is no reference, and why.
        names: by content, the file's name.
    """

    faces: Mapping[str, Sequence[FaceRecord]]
    refused: tuple[str, ...]
    names: Mapping[str, str] = field(default_factory=dict)


def read_references(
    paths: Sequence[Path], judged_sha256: str, extract: Callable[[Path], tuple[str, Extraction]]
) -> References:
    """Extract the main person's faces from reference videos; a copy of the judged video is no reference.

    Args:
        paths: videos that surely show the person, unmanipulated.
        judged_sha256: content of the judged video.
        extract: a path to its content's sha256 and its faces.
    """
    faces: dict[str, Sequence[FaceRecord]] = {}
    names: dict[str, str] = {}
    refused = []
    for path in paths:
        content, outcome = extract(path)
        if outcome.status != "ok":
            refused.append(f"{path.name} is no reference ({outcome.status}: {outcome.reason})")
        elif content == judged_sha256:
            refused.append(f"{path.name} is no reference: it is the judged video itself")
        else:
            faces[content] = [face for face in outcome.faces if face.track_id == 0]
            names[content] = path.name
    return References(faces, tuple(refused), names)
