"""Trusted footage of a person: its faces, and where a judged video ranks among it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from difffake.config import PairsConfig
from difffake.differential.pairs import draw_pairs_across
from difffake.differential.scoring import video_score
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


@dataclass(frozen=True)
class Rank:
    """A file among others that show the same person.

    Attributes:
        score: minus the mean log-likelihood of its pairs with all the others.
        p_value: share of all files that score at least as high, itself among them; None with a single other file.
        pairs: that were compared.
    """

    score: float
    p_value: float | None
    pairs: int


def rank_among_files(
    face_ids: Mapping[str, Sequence[str]],
    judged: str,
    config: PairsConfig,
    seed: int,
    log_likelihood: Callable[[Sequence[tuple[str, str]]], npt.NDArray[np.float64]],
) -> Rank:
    """How far a file is from the others, and how many of them are as far from the rest.

    Pairs across files vary more than those of one video, on which a detector is calibrated. So the p-value comes from
    these files alone: each is compared with all others, the judged one among them, which makes a real one exchangeable
    with its references (conformal prediction: Vovk, Gammerman & Shafer 2005).

    Args:
        face_ids: by file, the names of its faces; at least two files.
        judged: one of the files.
        config: how pairs are drawn; every face meets one face of each other file.
        seed: the experiment's seed.
        log_likelihood: the (P,) log-likelihoods of P pairs.
    """
    drawn = config.model_copy(update={"relation": "reference", "references": len(face_ids)})

    def against_all_others(file: str) -> tuple[float, int]:
        others = {other: members for other, members in face_ids.items() if other != file}
        pairs = draw_pairs_across(face_ids[file], others, drawn, seed)
        return video_score(log_likelihood(pairs)), len(pairs)

    score, count = against_all_others(judged)
    if len(face_ids) == 2:
        return Rank(score, None, count)
    higher = sum(against_all_others(file)[0] >= score for file in face_ids if file != judged)
    return Rank(score, (1 + higher) / len(face_ids), count)
