"""Recording conditions: whether a video is like those the detector was calibrated on.

A p-value speaks for videos exchangeable with the calibration's. Much smaller faces, stronger compression or another
resolution break that, and can be seen without knowing whether the video is real.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from difffake.errors import ArtefactError
from difffake.faces.records import FaceRecord

STAGE_VERSION = 1

ConditionName = Literal["frame_height_px", "face_side_px", "sharpness", "bits_per_pixel", "frames_per_second"]

TOLERANCE = 1.5
"""A value this many times beyond the smallest or largest of the calibration is unlike it."""

_WORDS: dict[ConditionName, tuple[str, str]] = {
    "frame_height_px": ("frames", "px high"),
    "face_side_px": ("faces", "px wide"),
    "sharpness": ("crops of sharpness", "(variance of the Laplacian)"),
    "bits_per_pixel": ("compression to", "bits a pixel"),
    "frames_per_second": ("a rate of", "frames a second"),
}

Values = Mapping[ConditionName, float]


class Conditions(BaseModel):
    """Smallest and largest value of each condition among the calibration videos."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    videos: int
    ranges: dict[ConditionName, tuple[float, float]]

    @classmethod
    def of(cls, videos: Iterable[Values]) -> Self:
        """The ranges of some videos; a condition that none of them has is left out."""
        known = list(videos)
        values: dict[ConditionName, list[float]] = {name: [v[name] for v in known if name in v] for name in _WORDS}
        ranges = {name: (min(some), max(some)) for name, some in values.items() if some}
        return cls(videos=len(known), ranges=ranges)

    def unlike(self, values: Values) -> tuple[str, ...]:
        """One sentence for every condition in which a video is unlike the calibration's."""
        told = []
        for name, (low, high) in self.ranges.items():
            if name in values and not low / TOLERANCE <= values[name] <= high * TOLERANCE:
                thing, unit = _WORDS[name]
                told.append(
                    f"unlike the calibration: {thing} {values[name]:.3g} {unit}, where the {self.videos} calibration "
                    f"videos have {low:.3g} to {high:.3g}; the p-value may not hold"
                )
        return tuple(told)

    def to_json(self) -> str:
        """Every field."""
        return self.model_dump_json(indent=2)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Raises:
            ArtefactError: the text is nothing of the kind.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise ArtefactError(f"not usable calibration conditions: {error}; calibrate again") from error


def measure_faces(sides_px: Sequence[float], sharpness: Sequence[float]) -> dict[ConditionName, float]:
    """Medians over the main person's faces: mean side of the detector's box, and sharpness of the crop."""
    if not sides_px:
        return {}
    return {"face_side_px": float(np.median(sides_px)), "sharpness": float(np.median(sharpness))}


def measure_video(width: int, height: int, frames: int, fps: float, size_bytes: int) -> dict[ConditionName, float]:
    """What the file itself tells; bits a pixel count all of the file, sound as well."""
    pixels = width * height * frames
    values: dict[ConditionName, float] = {"frame_height_px": float(height), "frames_per_second": fps}
    return values | ({"bits_per_pixel": size_bytes * 8 / pixels} if pixels else {})


def side_px(face: FaceRecord) -> float:
    """The mean of width and height of the detector's box."""
    left, top, right, bottom = (float(edge) for edge in face.bbox_xyxy_px)
    return (right - left + bottom - top) / 2
