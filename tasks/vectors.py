"""Vectors: stored embeddings in, what the density is fitted on out."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from data_catalog.faces import EmbeddedFaces, read_embeddings
from difffake.differential.combination import differences, single
from tasks.experiment import Experiment, values_of

_VIDEOS_AT_ONCE = 1000

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
    are_single = experiment.config.density.features == "embedding"
    rows, names = (faces, ("face_id",)) if are_single else (pairs, ("base_id", "partner_id"))
    every_key = sorted(set(rows["video_key"].to_pylist()))
    values: list[npt.NDArray[np.float64]] = []
    video_keys: list[str] = []
    # The vectors must fit into memory, the embeddings they are made of need not.
    for start in range(0, len(every_key), _VIDEOS_AT_ONCE):
        some = pa.array(every_key[start : start + _VIDEOS_AT_ONCE])
        part = rows.filter(pc.is_in(rows["video_key"], some))
        contents = part["video_sha256"].to_pylist() if are_single else contents_of(part)
        groups = group(part, *names)
        values += _vectors(experiment, read_embeddings(experiment.lake, backbone, contents), groups)
        video_keys += [video_key for (video_key, _), members in groups.items() for _ in members]
    return VideoVectors(np.concatenate(values), np.array(video_keys))


def contents_of(pairs: pa.Table) -> list[str]:
    """The contents (sha256) of bases and partners."""
    return [*pairs["video_sha256"].to_pylist(), *pairs["partner_sha256"].to_pylist()]


def group(rows: pa.Table, *columns: str) -> Groups:
    """The values of some columns, by video and person, in the order of both."""
    grouped: Groups = {}
    for video_key, track_id, *values in values_of(rows, "video_key", "track_id", *columns):
        grouped.setdefault((video_key, track_id), []).append(tuple(values))
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
