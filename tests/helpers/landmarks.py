"""A synthetic face for tests: 68 iBUG landmarks and a textured picture, at any size."""

import numpy as np
import numpy.typing as npt


def canonical_landmarks(size_px: int) -> npt.NDArray[np.float32]:
    """(68, 2) landmarks of an upright, mirror-symmetric face in the middle of a square crop, in crop pixels."""
    jaw_angles = np.linspace(np.pi, 0, 17)
    parts = [
        np.column_stack([0.5 + 0.27 * np.cos(jaw_angles), 0.45 + 0.37 * np.sin(jaw_angles)]),
        _brow(0.27, 0.45),
        _brow(0.55, 0.73),
        np.column_stack([np.full(4, 0.5), np.linspace(0.43, 0.56, 4)]),
        np.column_stack([np.linspace(0.44, 0.56, 5), 0.6 + 0.015 * np.array([0, 1, 1.5, 1, 0])]),
        _ring(0.365, 0.43, 0.05, 0.022, 6),
        _ring(0.635, 0.43, 0.05, 0.022, 6),
        _ring(0.5, 0.69, 0.10, 0.045, 12),
        _ring(0.5, 0.69, 0.07, 0.018, 8),
    ]
    return (np.concatenate(parts) * size_px).astype(np.float32)


def textured_face(size_px: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """(S, S, 3) uint8 RGB: smooth colour gradients, stripes and noise, so that any change of a pixel shows."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size_px, :size_px] / size_px
    base = np.stack([90 + 100 * x, 60 + 110 * y, 150 - 80 * x * y], axis=-1)
    stripes = 25 * np.sin(40 * x + 25 * y)[..., None]
    noise = rng.normal(0, 6, (size_px, size_px, 3))
    return np.clip(base + stripes + noise, 0, 255).astype(np.uint8)


def _brow(left: float, right: float) -> npt.NDArray[np.float64]:
    x = np.linspace(left, right, 5)
    return np.column_stack([x, 0.36 - 0.03 * np.sin(np.pi * (x - left) / (right - left))])


def _ring(x: float, y: float, radius_x: float, radius_y: float, points: int) -> npt.NDArray[np.float64]:
    """Clockwise in the picture from the leftmost point, as iBUG runs around eyes and lips."""
    angles = np.pi + 2 * np.pi * np.arange(points) / points
    return np.column_stack([x + radius_x * np.cos(angles), y + radius_y * np.sin(angles)])
