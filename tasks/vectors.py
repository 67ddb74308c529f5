"""Vectors: stored embeddings in, what the density is fitted on out."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data_catalog.faces import EmbeddedFaces, read_embeddings
from difffake.differential.combination import differences, single
from tasks.experiment import Experiment

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


def read_vectors(experiment: Experiment, backbone: str, faces: pa.Table, pairs: pa.Table) -> VideoVectors:
    """One vector a pair, or a face where the density is fitted on single embeddings; people in order, at least one."""
    config = experiment.config.density
    if config.features == "embedding":
        groups = group(faces, "face_id")
        embedded = read_embeddings(experiment.lake, backbone, faces["video_sha256"].to_pylist())
    else:
        groups = group(pairs, "base_id", "partner_id")
        embedded = read_embeddings(experiment.lake, backbone, contents_of(pairs))
    video_keys = [video_key for (video_key, _), members in groups.items() for _ in members]
    return VideoVectors(np.concatenate(list(_vectors(experiment, embedded, groups))), np.array(video_keys))


def contents_of(pairs: pa.Table) -> list[str]:
    """The contents (sha256) of bases and partners."""
    return [*pairs["video_sha256"].to_pylist(), *pairs["partner_sha256"].to_pylist()]


def group(rows: pa.Table, *columns: str) -> Groups:
    """The values of some columns, by video and person, in the order of both."""
    grouped: Groups = {}
    for row in rows.select(["video_key", "track_id", *columns]).to_pylist():
        grouped.setdefault((row["video_key"], row["track_id"]), []).append(tuple(row[column] for column in columns))
    return dict(sorted(grouped.items()))


def _vectors(experiment: Experiment, embedded: EmbeddedFaces, groups: Groups) -> Iterator[npt.NDArray[np.float64]]:
    config = experiment.config.density
    for members in groups.values():
        rows = embedded.of({name for member in members for name in member})
        if config.features == "embedding":
            yield single(rows.features, config.l2_normalise)
        else:
            pairs = [(base, partner) for base, partner in members]
            yield differences(rows.face_ids.tolist(), rows.features, pairs, config.combination, config.l2_normalise)
