"""The tables of the lake: one Arrow schema each; every column says what it means and in which unit.

What is made of a video hangs on its content (`video_sha256`), not on its name: a renamed video keeps its faces.
Identity lives in columns, never in paths. What is missing is a row with a status, never silence.
"""

from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa

TIMESTAMP = pa.timestamp("us", tz="UTC")


class TableName(StrEnum):
    """The names of the tables, as SQL files use them."""

    VIDEOS = "videos"
    EXTRACTION_LOG = "extraction_log"
    FACES = "faces"
    PSEUDO_FAKES = "pseudo_fakes"
    EMBEDDINGS = "embeddings"
    PAIRS = "pairs"
    SCORES = "scores"
    SCANS = "scans"


@dataclass(frozen=True)
class TableSpec:
    """A table: its columns, the key that makes a row unique, and how its files are written.

    `skipping` names the columns whose minima and maxima let readers skip files; images and vectors stay out of it. Rows
    are written in the order of the first of them, and look-ups are bounded by its values.
    """

    name: TableName
    meaning: str
    schema: pa.Schema
    key: tuple[str, ...]
    skipping: tuple[str, ...]
    image_column: str | None = None
    rows_per_group: int = 100_000


def _column(name: str, kind: pa.DataType, meaning: str, *, unit: str = "", may_be_null: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=may_be_null, metadata={"meaning": meaning, "unit": unit})


_VIDEOS = pa.schema(
    [
        _column("video_key", pa.string(), "dataset/folder/compression/name"),
        _column("dataset", pa.string(), "name under which the dataset was registered"),
        _column("name", pa.string(), "name of the video inside its folder"),
        _column("label", pa.string(), "real, fake, or unknown"),
        _column("manipulation", pa.string(), "how a fake was made; null for a real video", may_be_null=True),
        _column("compression", pa.string(), "quality level of the dataset: raw, c23, c40", may_be_null=True),
        _column("split", pa.string(), "official split: train, val or test; null when in none", may_be_null=True),
        _column("media", pa.string(), "video, or photo (one frame)"),
        _column("identity", pa.string(), "the person to be seen (of a fake: the target): name space:name"),
        _column("source_identity", pa.string(), "the person whose face was put in; null for reals", may_be_null=True),
        _column("original_key", pa.string(), "video_key of the real video a fake was made from", may_be_null=True),
        _column("uri", pa.string(), "where the file is"),
        _column("size_bytes", pa.int64(), "file size", unit="byte"),
        _column("modified_ns", pa.int64(), "modification time of the file", unit="ns since 1970"),
        _column("sha256", pa.string(), "digest of the file's content; unread-… of a file that could not be read"),
        _column("fps", pa.float64(), "mean frame rate; null when unreadable", unit="1/s", may_be_null=True),
        _column("frames", pa.int64(), "coded frames; null when unreadable", may_be_null=True),
        _column("width_px", pa.int32(), "displayed width; null when unreadable", unit="px", may_be_null=True),
        _column("height_px", pa.int32(), "displayed height; null when unreadable", unit="px", may_be_null=True),
        _column("state", pa.string(), "present, growing (still being written), removed (no longer found)"),
        _column("registered_at", TIMESTAMP, "when this content was first seen under this key"),
    ]
)

_EXTRACTION_LOG = pa.schema(
    [
        _column("video_sha256", pa.string(), "the content that was read"),
        _column("video_key", pa.string(), "the video under which it was read; its name may have changed since"),
        _column("extraction", pa.string(), "fingerprint of the extraction"),
        _column("status", pa.string(), "ok, no_face, few_faces, truncated or unreadable"),
        _column("reason", pa.string(), "why the status is not ok, in words"),
        _column("frames_sampled", pa.int32(), "frames that were looked at"),
        _column("faces_found", pa.int32(), "faces stored, over all tracks"),
        _column("extracted_at", TIMESTAMP, "when"),
    ]
)

_FACES = pa.schema(
    [
        _column("face_id", pa.string(), "digest of video content, extraction, frame and track"),
        _column("video_sha256", pa.string(), "the content the face was cut from"),
        _column("video_key", pa.string(), "the video under which it was read; its name may have changed since"),
        _column("extraction", pa.string(), "fingerprint of the extraction"),
        _column("frame_index", pa.int32(), "0-based decoded frame"),
        _column("time_s", pa.float64(), "presentation time of the frame", unit="s"),
        _column("track_id", pa.int16(), "person of the video; 0 is the main one"),
        _column("track_share", pa.float32(), "share of sampled frames in which the track has a face"),
        _column("bbox_xyxy_px", pa.list_(pa.float32()), "4 numbers, detector box, source frame", unit="px"),
        _column("detector_score", pa.float32(), "in [0, 1]"),
        _column("landmarks_px", pa.list_(pa.float32()), "68 × (x, y), iBUG order, source frame", unit="px"),
        _column("crop_jpeg", pa.binary(), "square crop, JPEG 4:4:4"),
        _column("crop_to_frame", pa.list_(pa.float64()), "2 × 3 affine, crop pixels → frame pixels, row by row"),
        _column("sharpness", pa.float32(), "variance of the Laplacian of the grey crop"),
    ]
)

_PSEUDO_FAKES = pa.schema(
    [
        _column("pseudo_fake_id", pa.string(), "digest of face, set and draw"),
        _column("face_id", pa.string(), "the real face it is made from"),
        _column("video_sha256", pa.string(), "the content that face was cut from"),
        _column("video_key", pa.string(), "the video of that face"),
        _column("pseudo_fake_set", pa.string(), "fingerprint of the set"),
        _column("mask_type", pa.string(), "full_face, eyes, mouth or lower_head"),
        _column("hull_family", pa.string(), "hull of a full-face mask", may_be_null=True),
        _column("blend_ratio", pa.float32(), "factor on the mask, in (0, 1]"),
        _column("recipe", pa.string(), "every drawn parameter, JSON"),
    ]
)

_EMBEDDINGS = pa.schema(
    [
        _column("face_id", pa.string(), "the face"),
        _column("video_sha256", pa.string(), "the content the face was cut from"),
        _column("backbone", pa.string(), "digest of weights and preprocessing"),
        _column("features", pa.list_(pa.float32()), "the backbone's pooled features"),
        _column(
            "fake_probability",
            pa.float32(),
            "the backbone's own softmax output for fake; null: it was not trained",
            may_be_null=True,
        ),
    ]
)

_PAIRS = pa.schema(
    [
        _column("pair_set", pa.string(), "digest of the rule and seed that drew the pairs; across videos with /role"),
        _column("relation", pa.string(), "same_video, cross_video or reference"),
        _column("video_sha256", pa.string(), "the content that is judged"),
        _column("track_id", pa.int16(), "the person of the video that is judged"),
        _column("base_id", pa.string(), "face_id"),
        _column("partner_id", pa.string(), "face_id"),
    ]
)

_SCORES = pa.schema(
    [
        _column("video_key", pa.string(), "the video"),
        _column("video_sha256", pa.string(), "the content that was scored"),
        _column("detector", pa.string(), "digest of the detector"),
        _column("status", pa.string(), "scored, abstained or failed"),
        _column("reason", pa.string(), "why it was not scored, in words"),
        _column(
            "score",
            pa.float64(),
            "the one that decides, higher is more anomalous; null unless scored",
            may_be_null=True,
        ),
        _column("p_value", pa.float64(), "share of real videos scoring at least as high", may_be_null=True),
        _column("is_anomalous", pa.bool_(), "verdict at the stated false-positive rate", may_be_null=True),
        _column("differential", pa.float64(), "minus the mean log-likelihood of the pairs", may_be_null=True),
        _column("fake_probability", pa.float64(), "mean of the backbone's fake probability", may_be_null=True),
        _column("fusion", pa.float64(), "both weighed together, log-odds up to a constant", may_be_null=True),
        _column("track_id", pa.int16(), "the person whose score it is: the most anomalous one", may_be_null=True),
        _column("tracks_judged", pa.int32(), "people of the video that were scored"),
        _column("faces_used", pa.int32(), "faces of that person"),
        _column("pairs_used", pa.int32(), "pairs of that person"),
    ]
)

_SCANS = pa.schema(
    [
        _column("scan_id", pa.string(), "digest of dataset and time"),
        _column("dataset", pa.string(), "name under which the dataset was registered"),
        _column("adapter", pa.string(), "the layout it was read as"),
        _column("root", pa.string(), "the folder that was read"),
        _column("scanned_at", TIMESTAMP, "when"),
        _column("present", pa.int64(), "videos found"),
        _column("added", pa.int64(), "of them new"),
        _column("changed", pa.int64(), "of them with other content than before"),
        _column("renamed", pa.int64(), "of them known under another name before"),
        _column("relabelled", pa.int64(), "of them with another label, split or person by the dataset's lists"),
        _column("unchanged", pa.int64(), "of them as they were"),
        _column("growing", pa.int64(), "of them left for the next scan, still being written"),
        _column("removed", pa.int64(), "videos no longer found"),
        _column(
            "changes",
            pa.list_(pa.struct([("change", pa.string()), ("video_key", pa.string()), ("detail", pa.string())])),
            "what happened to which video; the first thousand",
        ),
        _column(
            "unplaced",
            pa.list_(pa.struct([("file", pa.string()), ("reason", pa.string())])),
            "files whose label or identity cannot be known, and why",
        ),
    ]
)

TABLES: dict[TableName, TableSpec] = {
    spec.name: spec
    for spec in (
        TableSpec(TableName.VIDEOS, "source videos", _VIDEOS, ("video_key",), ("video_key", "dataset")),
        TableSpec(
            TableName.EXTRACTION_LOG,
            "the outcome of face extraction for each video",
            _EXTRACTION_LOG,
            ("video_sha256", "extraction"),
            ("video_sha256", "extraction"),
        ),
        TableSpec(
            TableName.FACES,
            "faces in sampled frames",
            _FACES,
            ("face_id",),
            ("video_sha256", "extraction"),
            image_column="crop_jpeg",
            rows_per_group=100,
        ),
        TableSpec(
            TableName.PSEUDO_FAKES,
            "materialised pseudo-fakes",
            _PSEUDO_FAKES,
            ("pseudo_fake_id",),
            ("pseudo_fake_set",),
        ),
        TableSpec(
            TableName.EMBEDDINGS,
            "faces under a backbone",
            _EMBEDDINGS,
            ("face_id", "backbone"),
            ("video_sha256", "backbone"),
        ),
        TableSpec(
            TableName.PAIRS,
            "pairs of faces of one person",
            _PAIRS,
            ("pair_set", "base_id", "partner_id"),
            ("video_sha256", "pair_set"),
        ),
        TableSpec(
            TableName.SCORES,
            "videos under a detector",
            _SCORES,
            ("video_key", "video_sha256", "detector"),
            ("video_key", "detector"),
        ),
        TableSpec(
            TableName.SCANS,
            "scans of datasets that found something new",
            _SCANS,
            ("scan_id",),
            ("dataset", "scanned_at"),
        ),
    )
}
