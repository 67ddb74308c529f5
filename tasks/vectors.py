"""Vectors: stored embeddings in, what the density is fitted on out."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data_catalog.faces import EmbeddedFaces, read_embeddings
from difffake.differential.combination import differences, single
from tasks.experiment import Experiment, values_of

_PEOPLE_AT_ONCE = 1000

Groups = dict[tuple[str, int], list[tuple[str, ...]]]


@dataclass(frozen=True, eq=False)
class VideoVectors:
    """Vectors of natural change, or of single faces.

    Attributes:
        values: (N, D) float64.
        video_keys: N judged videos.
    """

    values: npt.NDArray[np.float64]
    video_keys: npt.NDArray[np.str_]

    def without(self, fold_of_video: Mapping[str, int], fold: int) -> "VideoVectors":
        """Those of videos outside a fold of people."""
        kept = np.array([fold_of_video.get(str(key)) != fold for key in self.video_keys], bool)
        return VideoVectors(self.values[kept], self.video_keys[kept])


def read_vectors(experiment: Experiment, backbone: str, faces: pa.Table, pairs: pa.Table) -> VideoVectors:
    """One vector a pair, or a face where the density is fitted on single embeddings; people in order, at least one.

    The vectors must fit into memory; of the embeddings they are made of, those of some people at a time.
    """
    are_single = experiment.config.density.features == "embedding"
    if are_single:
        groups = group(faces, "face_id", "video_sha256")
    else:
        groups = group(pairs, "base_id", "partner_id", "video_sha256", "partner_sha256")
    people = list(groups.values())
    sizes = [len({face_id for face_id, _ in members}) if are_single else len(members) for members in people]
    ends = np.cumsum(sizes)
    values = np.empty((0, 0))
    # Embeddings lie in the order of contents: what is read together lies together, unless partners are of others.
    order = sorted(range(len(people)), key=lambda number: people[number][0][1 if are_single else 2])
    for start in range(0, len(order), _PEOPLE_AT_ONCE):
        some = order[start : start + _PEOPLE_AT_ONCE]
        contents = {content for number in some for member in people[number] for content in member[len(member) // 2 :]}
        embedded = read_embeddings(experiment.lake, backbone, contents)
        for number in some:
            found = _vectors(experiment, embedded, people[number])
            if not len(values):
                values = np.empty((ends[-1], found.shape[1]))
            values[ends[number] - sizes[number] : ends[number]] = found
    video_keys = np.repeat([video_key for video_key, _ in groups], sizes)
    return VideoVectors(values, video_keys)


def contents_of(pairs: pa.Table) -> list[str]:
    """The contents (sha256) of bases and partners."""
    return [*pairs["video_sha256"].to_pylist(), *pairs["partner_sha256"].to_pylist()]


def group(rows: pa.Table, *columns: str) -> Groups:
    """The values of some columns, by video and person, in the order of both."""
    grouped: Groups = {}
    for video_key, track_id, *values in values_of(rows, "video_key", "track_id", *columns):
        grouped.setdefault((video_key, track_id), []).append(tuple(values))
    return dict(sorted(grouped.items()))


def _vectors(
    experiment: Experiment, embedded: EmbeddedFaces, members: list[tuple[str, ...]]
) -> npt.NDArray[np.float64]:
    """Of one person: a vector a face, in the order of names, or a vector a pair."""
    config = experiment.config.density
    if config.features == "embedding":
        return single(embedded.of({face_id for face_id, _ in members}).features, config.l2_normalise)
    pairs = [(base, partner) for base, partner, *_ in members]
    rows = embedded.of({name for pair in pairs for name in pair})
    return differences(rows.face_ids.tolist(), rows.features, pairs, config.combination, config.l2_normalise)
