"""What a data report tells: counts, changes, problems and measures of some datasets, each asked of the lake once."""

from collections.abc import Mapping
from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa

from data_catalog.faces import read_face_set
from difffake.evaluation.data_figures import MEASURES, Distribution, FaceGroup
from difffake.faces.crop_jpeg import decode_crop
from tasks.experiment import Experiment

MOST_LISTED = 50
_SCANS_PER_DATASET = 5
_FACES_PER_GROUP = 8
_MOST_FACES = 120
_OF_FACES = ("size_px", "sharpness", "detector_score")
_OF_TRACKS = ("track_share", "tracks_per_video")

Row = dict[str, Any]


class DataFacts:
    """The lake's answers about an experiment's datasets under one extraction."""

    def __init__(self, experiment: Experiment, extraction: str) -> None:
        self._lake = experiment.lake
        self.datasets = sorted(experiment.names)
        self._scope = {"extraction": extraction, "datasets": self.datasets}

    @cached_property
    def counts(self) -> list[Row]:
        """Videos and faces by kind and status; see `count_videos.sql`."""
        return self._rows("count_videos", self._scope)

    @cached_property
    def scans(self) -> list[Row]:
        """The last scans that found something new, newest first."""
        limits = {"per_dataset": _SCANS_PER_DATASET, "most_unplaced": MOST_LISTED}
        return self._rows("recent_scans", {"datasets": self.datasets, **limits})

    @property
    def last_scans(self) -> list[Row]:
        """Of every dataset the last scan that found something new."""
        newest = {scan["dataset"]: scan for scan in reversed(self.scans)}
        return [newest[dataset] for dataset in self.datasets if dataset in newest]

    @cached_property
    def problems(self) -> list[Row]:
        """The first videos without usable faces; their `total` says how many there are."""
        return self._rows("list_problem_videos", {**self._scope, "most": MOST_LISTED})

    @cached_property
    def sample(self) -> pa.Table:
        """The faces of the contact sheet, group after group."""
        limits = {"per_group": _FACES_PER_GROUP, "most": _MOST_FACES}
        return self._lake.query("sample_faces", {**self._scope, **limits})

    def face_groups(self) -> list[FaceGroup]:
        """The crops of the sample with their landmarks.

        Raises:
            DataError: a face has gone since it was drawn.
            ArtefactError: a crop is no picture.
        """
        faces = read_face_set(self._lake, self.sample)
        crops = [decode_crop(jpeg, name) for jpeg, name in zip(faces.crops_jpeg, faces.face_ids, strict=True)]
        groups = []
        for kind, rows in groupby(enumerate(self.sample.to_pylist()), key=lambda numbered: _kind(numbered[1])):
            numbers = [number for number, _ in rows]
            points = [faces.landmarks_crop_px[number] for number in numbers]
            groups.append(FaceGroup(*kind, [crops[number] for number in numbers], points))
        return groups

    def distributions(self) -> list[Distribution]:
        """Every measure of every dataset that has faces or readable videos."""
        faces = self._rows("summarise_faces", self._scope | _edges(_OF_FACES))
        tracks = self._rows("summarise_tracks", self._scope | _edges(_OF_TRACKS))
        found = [_distribution(row, measure) for row in faces for measure in _OF_FACES]
        found += [_distribution(row, measure) for row in tracks for measure in _OF_TRACKS]
        return sorted(found, key=lambda item: item.dataset)

    def _rows(self, query: str, parameters: Mapping[str, Any]) -> list[Row]:
        rows: list[Row] = self._lake.query(query, parameters).to_pylist()
        return rows


def _kind(row: Row) -> tuple[str, str, str | None]:
    return row["dataset"], row["label"], row["manipulation"]


def _edges(measures: tuple[str, ...]) -> dict[str, list[float]]:
    """The upper edges of each measure's bins, as the queries want them."""
    return {f"{measure}_edges": MEASURES[measure].edges[1:].tolist() for measure in measures}


def _distribution(row: Row, measure: str) -> Distribution:
    counts = np.zeros(len(MEASURES[measure].edges) - 1)
    for place, count in enumerate(row[f"{measure}_counts"] or ()):
        # What lies beyond the last edge comes after the bins, and joins the last of them.
        counts[min(place, len(counts) - 1)] += count
    quantiles = row.get(f"{measure}_quantiles")
    return Distribution(row["dataset"], measure, counts, None if quantiles is None else tuple(quantiles))
