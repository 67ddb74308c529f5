"""Which face of another video is blended into a face: one whose landmarks lie near, so that it fits."""

from collections.abc import Sequence

import numpy as np

from difffake.faces.records import FloatArray
from difffake.pseudofakes.sources import landmark_shape

CANDIDATES = 64
"""Faces drawn at random, of which the nearest is taken: near enough to fit, and another one each time."""


class DonorPool:
    """Faces that may be blended into each other.

    Videos stand for people: two videos may show the same person, whose face then is blended into itself.

    Args:
        landmarks_crop_px: (N, 68, 2) float32, iBUG order.
        video_keys: N keys of the videos the faces come from.
    """

    def __init__(self, landmarks_crop_px: FloatArray, video_keys: Sequence[str]) -> None:
        self._shapes = landmark_shape(landmarks_crop_px)
        _, self._videos = np.unique(np.array(video_keys), return_inverse=True)

    def choose(self, row: int, rng: np.random.Generator) -> int | None:
        """The row of the nearest of some random faces of other videos; None: there is no other video."""
        drawn = rng.integers(len(self._videos), size=CANDIDATES)
        others = drawn[self._videos[drawn] != self._videos[row]]
        if not len(others):
            everyone = np.flatnonzero(self._videos != self._videos[row])
            if not len(everyone):
                return None
            others = rng.choice(everyone, size=CANDIDATES)
        distances = np.square(self._shapes[others] - self._shapes[row]).sum(axis=1)
        return int(others[np.argmin(distances)])
