"""A synthetic frontal face of 68 points with known eyes, brows and chin."""

import numpy as np

from difffake.faces.records import FloatArray


def template_landmarks(
    centre_px: tuple[float, float] = (0.0, 0.0), eye_distance_px: float = 40.0, tilt_deg: float = 0.0
) -> FloatArray:
    """(68, 2) float32 iBUG points around the middle between the eyes.

    In eye distances, y down: eyes at (±0.5, 0), brows at y = -0.4, chin at y = 1.6, jaw ends at x = ±1.
    """
    jaw_angle = np.linspace(np.pi, 0, 17)
    jaw = np.column_stack([np.cos(jaw_angle), 1.6 * np.sin(jaw_angle)])
    brows = np.column_stack([[-0.8, -0.65, -0.5, -0.35, -0.2, 0.2, 0.35, 0.5, 0.65, 0.8], np.full(10, -0.4)])
    nose = np.array([*[(0, y) for y in (0.0, 0.2, 0.4, 0.6)], *[(x, 0.7) for x in (-0.2, -0.1, 0, 0.1, 0.2)]])
    ring = np.linspace(np.pi, -np.pi, 6, endpoint=False)
    eye = np.column_stack([0.15 * np.cos(ring), -0.06 * np.sin(ring)])
    outer = np.linspace(np.pi, -np.pi, 12, endpoint=False)
    inner = np.linspace(np.pi, -np.pi, 8, endpoint=False)
    mouth = np.array([0, 1.1]) + np.concatenate(
        [
            np.column_stack([0.35 * np.cos(outer), -0.15 * np.sin(outer)]),
            np.column_stack([0.25 * np.cos(inner), -0.05 * np.sin(inner)]),
        ]
    )
    half = np.array([0.5, 0])
    points = np.concatenate([jaw, brows, nose, eye - half, eye + half, mouth])
    angle = np.deg2rad(tilt_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (eye_distance_px * points @ turn.T + centre_px).astype(np.float32)
