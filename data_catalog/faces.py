"""Faces between their table and the arrays the method works on."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data_catalog.lake import Lake
from data_catalog.schemas import TABLES, TableName
from difffake.errors import DataError
from difffake.faces.crops import frame_to_crop
from difffake.faces.records import Extraction, ExtractionStatus, FaceRecord, FaceSet

Extractions = dict[str, Extraction]

_RECORD_COLUMNS = tuple(field.name for field in fields(FaceRecord))


def extraction_tables(
    video_key: str, video_sha256: str, extraction: str, outcome: Extraction
) -> tuple[pa.Table, pa.Table]:
    """Rows of `faces` and of `extraction_log` for the content of one video."""
    faces = [
        {
            "face_id": face.face_id,
            "video_sha256": video_sha256,
            "video_key": video_key,
            "extraction": extraction,
            "frame_index": face.frame_index,
            "time_s": face.time_s,
            "track_id": face.track_id,
            "track_share": face.track_share,
            "bbox_xyxy_px": face.bbox_xyxy_px.tolist(),
            "detector_score": face.detector_score,
            "landmarks_px": face.landmarks_px.ravel().tolist(),
            "crop_jpeg": face.crop_jpeg,
            "crop_to_frame": face.crop_to_frame.ravel().tolist(),
            "sharpness": face.sharpness,
        }
        for face in outcome.faces
    ]
    log: dict[str, Any] = {
        "video_key": video_key,
        "video_sha256": video_sha256,
        "extraction": extraction,
        "status": outcome.status,
        "reason": outcome.reason,
        "frames_sampled": outcome.frames_sampled,
        "faces_found": len(outcome.faces),
        "extracted_at": datetime.now(UTC),
    }
    return (
        pa.Table.from_pylist(faces, schema=TABLES[TableName.FACES].schema),
        pa.Table.from_pylist([log], schema=TABLES[TableName.EXTRACTION_LOG].schema),
    )


def read_face_set(lake: Lake, faces: pa.Table) -> FaceSet:
    """The named faces, in the order given.

    Args:
        lake: the tables.
        faces: columns video_key, video_sha256, face_id.

    Raises:
        DataError: the lake lacks one of them.
    """
    face_ids, contents = faces["face_id"].to_pylist(), faces["video_sha256"].to_pylist()
    columns = ["face_id", "crop_jpeg", "landmarks_px", "crop_to_frame"]
    where = {"video_sha256": sorted(set(contents)), "face_id": sorted(set(face_ids))}
    rows = lake.read(TableName.FACES, columns, where)
    place = {face_id: number for number, face_id in enumerate(rows["face_id"].to_pylist())}
    rows = rows.take(pa.array(_places(place, face_ids), pa.int64()))
    landmarks_px = _matrix(rows["landmarks_px"], 68 * 2).reshape(-1, 68, 2)
    affines = _matrix(rows["crop_to_frame"], 2 * 3).reshape(-1, 2, 3)
    in_crop = [frame_to_crop(points, affine) for points, affine in zip(landmarks_px, affines, strict=True)]
    return FaceSet(
        face_ids=tuple(face_ids),
        video_keys=tuple(faces["video_key"].to_pylist()),
        crops_jpeg=tuple(rows["crop_jpeg"].to_pylist()),
        landmarks_crop_px=np.asarray(in_crop, np.float32).reshape(-1, 68, 2),
    )


def read_extractions(lake: Lake, extraction: str, outcomes: Mapping[str, tuple[ExtractionStatus, str]]) -> Extractions:
    """Stored extractions as they were made, by content.

    Args:
        lake: the tables.
        extraction: its fingerprint.
        outcomes: content (sha256) → status and reason, as `extraction_log` has them.
    """
    where = {"video_sha256": sorted(outcomes), "extraction": [extraction]}
    faces: dict[str, list[FaceRecord]] = {content: [] for content in outcomes}
    rows = lake.read(TableName.FACES, [*_RECORD_COLUMNS, "video_sha256"], where)
    for row in rows.sort_by([("frame_index", "ascending"), ("track_id", "ascending")]).to_pylist():
        content = row.pop("video_sha256")
        faces[content].append(
            FaceRecord(
                **row
                | {
                    "bbox_xyxy_px": np.array(row["bbox_xyxy_px"], np.float32),
                    "landmarks_px": np.array(row["landmarks_px"], np.float32).reshape(68, 2),
                    "crop_to_frame": np.array(row["crop_to_frame"], np.float64).reshape(2, 3),
                }
            )
        )
    # How many frames were looked at plays no part in what is judged.
    return {
        content: Extraction(status, reason, 0, tuple(faces[content])) for content, (status, reason) in outcomes.items()
    }


@dataclass(frozen=True, eq=False)
class EmbeddedFaces:
    """Faces under one backbone; row i of every field is the same face.

    Attributes:
        face_ids: N names, sorted.
        features: (N, D) float32.
        fake_probability: (N,) float32 in [0, 1]; None: the backbone was not trained and says nothing.
    """

    face_ids: npt.NDArray[np.str_]
    features: npt.NDArray[np.float32]
    fake_probability: npt.NDArray[np.float32] | None

    def of(self, face_ids: Collection[str]) -> "EmbeddedFaces":
        """The named faces, sorted by name.

        Raises:
            DataError: one of them has no embedding.
        """
        wanted = np.array(sorted(face_ids), dtype=np.str_)
        rows = np.minimum(np.searchsorted(self.face_ids, wanted), max(len(self.face_ids) - 1, 0))
        if not len(self.face_ids) or not np.array_equal(self.face_ids[rows], wanted):
            raise DataError(f"some of the {len(wanted)} faces have no embedding; run again with --force embeddings")
        fake_probability = None if self.fake_probability is None else self.fake_probability[rows]
        return EmbeddedFaces(wanted, self.features[rows], fake_probability)


def read_embeddings(lake: Lake, backbone: str, contents: Iterable[str]) -> EmbeddedFaces:
    """All embedded faces of the videos with the given contents (sha256).

    Raises:
        DataError: there is none.
    """
    wanted = sorted(set(contents))
    columns = ["face_id", "features", "fake_probability"]
    rows = lake.read(TableName.EMBEDDINGS, columns, {"backbone": [backbone], "video_sha256": wanted})
    if rows.num_rows == 0:
        raise DataError(f"no embeddings of backbone {backbone} for the {len(wanted)} videos asked for")
    rows = rows.sort_by("face_id")
    says_nothing = rows["fake_probability"].null_count == rows.num_rows
    return EmbeddedFaces(
        np.array(rows["face_id"].to_pylist()),
        _matrix(rows["features"], len(rows["features"][0])).astype(np.float32),
        None if says_nothing else rows["fake_probability"].to_numpy().astype(np.float32),
    )


def _places(place: dict[str, int], wanted: list[str]) -> list[int]:
    missing = [key for key in wanted if key not in place]
    if missing:
        raise DataError(f"the lake lacks {len(missing)} of {len(wanted)} faces, first {missing[0]}")
    return [place[key] for key in wanted]


def _matrix(column: pa.ChunkedArray, width: int) -> npt.NDArray[Any]:
    values = column.combine_chunks().flatten().to_numpy()
    return np.asarray(values).reshape(-1, width)
