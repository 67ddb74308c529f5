"""Whether a face stands still: footage without change, as of a photo that was made a video."""

import numpy as np

from difffake.faces.records import FloatArray

STILL_SHARE = 0.004
"""Landmarks that move less than this share of the face are still. Videos of one picture, re-encoded at CRF 10 to 40,
move by 0.0001 to 0.0022; of 19 recordings of people the calmest by 0.0068."""


def hardly_moves(landmarks_px: FloatArray) -> bool:
    """Whether the landmarks of one person stay where they are; a single face is no stillness.

    Args:
        landmarks_px: (N, 68, 2) float32 in pixels of the frame.
    """
    if len(landmarks_px) < 2:
        return False
    points = landmarks_px.astype(np.float64)
    side = float(np.ptp(points.mean(axis=0), axis=0).max())
    return bool(points.std(axis=0).mean() < STILL_SHARE * side)
