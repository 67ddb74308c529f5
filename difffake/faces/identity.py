"""Whether two sets of faces show the same person, where the optional recogniser is installed (extra `identity`).

dlib's residual network (King 2017, github.com/davisking/dlib-models, CC0), trained so that descriptors of one person
lie within 0.6 of each other. A face swap passes on purpose: it shows whom it claims to show.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from difffake.faces.crop_jpeg import decode_crop
from difffake.faces.crops import frame_to_crop
from difffake.faces.records import FaceRecord

SAME_PERSON = 0.6
"""Descriptors nearer than this are taken for one person, as the network's author recommends."""

_MODEL = "models/dlib_face_recognition_resnet_model_v1.dat"
_FACES = 5

Descriptor = npt.NDArray[np.float64]


class FaceRecogniser:
    """Describes faces by 128 numbers."""

    def __init__(self, dlib: Any, weights: Path) -> None:
        self._dlib = dlib
        self._network = dlib.face_recognition_model_v1(str(weights))

    @classmethod
    def find(cls) -> Self | None:
        """The installed recogniser; None where the extra is not installed."""
        models = find_spec("face_recognition_models")
        if find_spec("dlib") is None or models is None or models.origin is None:
            return None
        # Only its file is wanted: the package itself asks for a setuptools that is no longer made.
        weights = Path(models.origin).parent / _MODEL
        if not weights.is_file():
            return None
        import dlib

        return cls(dlib, weights)

    def describe(self, faces: Sequence[FaceRecord]) -> Descriptor:
        """The mean (128,) float64 descriptor of the sharpest faces of one person; at least one is wanted."""
        sharpest = sorted(faces, key=lambda face: -face.sharpness)[:_FACES]
        return np.asarray(np.mean([self._describe(face) for face in sharpest], axis=0))

    def _describe(self, face: FaceRecord) -> Descriptor:
        crop = decode_crop(face.crop_jpeg, face.face_id)
        points = frame_to_crop(face.landmarks_px, face.crop_to_frame)
        left, top = (int(edge) for edge in points.min(axis=0))
        right, bottom = (int(edge) for edge in points.max(axis=0))
        parts = [self._dlib.point(round(float(x)), round(float(y))) for x, y in points]
        shape = self._dlib.full_object_detection(self._dlib.rectangle(left, top, right, bottom), parts)
        return np.array(self._network.compute_face_descriptor(np.ascontiguousarray(crop), shape))


@dataclass(frozen=True)
class Distances:
    """How far a person's descriptor is from those of references, by their content."""

    by_reference: Mapping[str, float]

    @property
    def mean(self) -> float:
        """Over the references."""
        return float(np.mean(list(self.by_reference.values())))

    @property
    def largest(self) -> float:
        """Of the references."""
        return max(self.by_reference.values())


def measure_distances(
    recogniser: FaceRecogniser,
    people: Mapping[int, Sequence[FaceRecord]],
    references: Mapping[str, Sequence[FaceRecord]],
) -> dict[int, Distances]:
    """Each person's distances from the references; there is at least one of both."""
    known = {name: recogniser.describe(faces) for name, faces in references.items()}
    found = {}
    for track_id, faces in people.items():
        described = recogniser.describe(faces)
        found[track_id] = Distances({name: float(np.linalg.norm(described - other)) for name, other in known.items()})
    return found
