"""A photo or a window of video becomes a clip: a hand-held camera, drifting light, sensor noise.

Everything but the noise is applied before a face is swapped, the noise after it, so that a real clip and its fake share
one history and differ by the swap alone.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from data_catalog.footage.media import Take, read_take
from difffake.faces.records import RgbImage

Homography = npt.NDArray[np.float64]

_FREQUENCIES_HZ = ((0.1, 0.3), (0.3, 0.7), (0.7, 1.4))
# Real clips move by themselves: the camera adds only a little.
_VIDEO_STRENGTH = 0.35
_NOISE_GREY_LEVELS = (1.0, 2.5)


@dataclass(frozen=True)
class Drift:
    """A smooth function of time: an offset plus slow sinusoids whose amplitudes fall as one over their frequency."""

    offset: float
    amplitudes: tuple[float, ...]
    frequencies_hz: tuple[float, ...]
    phases_rad: tuple[float, ...]

    def at(self, time_s: float) -> float:
        """Its value, within the sum of the amplitudes of the offset."""
        waves = zip(self.amplitudes, self.frequencies_hz, self.phases_rad, strict=True)
        return self.offset + sum(a * math.sin(2 * math.pi * f * time_s + phase) for a, f, phase in waves)

    @property
    def largest_change_per_s(self) -> float:
        """A bound on the absolute value of its derivative."""
        return sum(2 * math.pi * f * a for a, f in zip(self.amplitudes, self.frequencies_hz, strict=True))


def draw_drift(rng: np.random.Generator, amplitude: float, largest_offset: float = 0.0) -> Drift:
    """A drift that stays within `amplitude` of an offset drawn from ±`largest_offset`."""
    frequencies = [rng.uniform(low, high) for low, high in _FREQUENCIES_HZ]
    weights = 1 / np.array(frequencies)
    return Drift(
        offset=rng.uniform(-largest_offset, largest_offset),
        amplitudes=tuple((amplitude * weights / weights.sum()).tolist()),
        frequencies_hz=tuple(frequencies),
        phases_rad=tuple(rng.uniform(0, 2 * np.pi, len(frequencies)).tolist()),
    )


@dataclass(frozen=True)
class CameraMotion:
    """How camera and light move through one clip.

    Attributes:
        pan_x: shift of the view, as a share of its side.
        pan_y: likewise.
        log_zoom: natural logarithm of the magnification.
        roll_rad: rotation around the optical axis.
        tilt_x: perspective; the relative change of magnification from the left edge of the view to the right.
        tilt_y: likewise from the top to the bottom.
        log_gain: natural logarithm of the exposure.
        log_gamma: natural logarithm of the tone curve's exponent.
        log_warmth: natural logarithm of red gain over 1, of 1 over blue gain.
    """

    pan_x: Drift
    pan_y: Drift
    log_zoom: Drift
    roll_rad: Drift
    tilt_x: Drift
    tilt_y: Drift
    log_gain: Drift
    log_gamma: Drift
    log_warmth: Drift


def draw_motion(rng: np.random.Generator, strength: float = 1.0) -> CameraMotion:
    """A hand-held camera; `strength` scales its movement, 1 for a photo, not what differs from clip to clip."""
    return CameraMotion(
        pan_x=draw_drift(rng, 0.05 * strength),
        pan_y=draw_drift(rng, 0.04 * strength),
        log_zoom=draw_drift(rng, 0.07 * strength, largest_offset=0.06),
        roll_rad=draw_drift(rng, 0.05 * strength, largest_offset=0.04),
        tilt_x=draw_drift(rng, 0.14 * strength),
        tilt_y=draw_drift(rng, 0.10 * strength),
        log_gain=draw_drift(rng, 0.06 * strength, largest_offset=0.08),
        log_gamma=draw_drift(rng, 0.06 * strength, largest_offset=0.10),
        log_warmth=draw_drift(rng, 0.02 * strength, largest_offset=0.04),
    )


def camera_homography(motion: CameraMotion, take: Take, time_s: float, size_px: int) -> Homography:
    """The (3, 3) map from pixels of the clip's frame at `time_s` to pixels of the medium."""
    to_view = np.array([[1 / size_px, 0, 0.5 / size_px - 0.5], [0, 1 / size_px, 0.5 / size_px - 0.5], [0, 0, 1]])
    tilt = np.array([[1, 0, 0], [0, 1, 0], [motion.tilt_x.at(time_s), motion.tilt_y.at(time_s), 1]])
    angle, scale = motion.roll_rad.at(time_s), np.exp(-motion.log_zoom.at(time_s))
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    pose = np.array([[cos, -sin, motion.pan_x.at(time_s)], [sin, cos, motion.pan_y.at(time_s)], [0, 0, 1]])
    x, y = take.centre_xy_px
    to_medium = np.array([[take.side_px, 0, x - 0.5], [0, take.side_px, y - 0.5], [0, 0, 1]])
    homography: Homography = to_medium @ pose @ tilt @ to_view
    return homography


def tone_table(motion: CameraMotion, time_s: float) -> npt.NDArray[np.uint8]:
    """What the light at `time_s` makes of every grey level of red, green and blue: (256, 1, 3) uint8."""
    level = np.linspace(0, 1, 256)[:, None, None] ** np.exp(motion.log_gamma.at(time_s))
    warmth = motion.log_warmth.at(time_s)
    gain = np.exp(motion.log_gain.at(time_s) + np.array([warmth, 0.0, -warmth]))
    table: npt.NDArray[np.uint8] = np.rint(255 * np.clip(level * gain, 0, 1)).astype(np.uint8)
    return table


def render_take(take: Take, frames: int, fps: float, size_px: int, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """The clip before its sensor noise: (frames, size_px, size_px, 3) uint8.

    Raises:
        DataError: the medium cannot be decoded or is too short.
    """
    motion = draw_motion(rng, strength=1.0 if take.start_s is None else _VIDEO_STRENGTH)
    clip = np.empty((frames, size_px, size_px, 3), dtype=np.uint8)
    shown: RgbImage | None = None
    for index, rgb in enumerate(read_take(take, frames, fps)):
        if rgb is not shown:
            shown, (small, to_small) = rgb, _shrink(rgb, size_px / take.side_px)
        homography = to_small @ camera_homography(motion, take, index / fps, size_px)
        view = cv2.warpPerspective(
            small,
            homography,
            (size_px, size_px),
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        clip[index] = cv2.LUT(view, tone_table(motion, index / fps))
    return clip


def add_sensor_noise(frames: Iterable[RgbImage], rng: np.random.Generator) -> Iterator[RgbImage]:
    """Independent Gaussian noise on every sample; its standard deviation, in grey levels, is drawn once a clip."""
    sigma = rng.uniform(*_NOISE_GREY_LEVELS)
    for rgb in frames:
        noise = np.float32(sigma) * rng.standard_normal(rgb.shape, dtype=np.float32)
        yield np.asarray(cv2.add(rgb, noise, dtype=cv2.CV_8U), dtype=np.uint8)


def _shrink(rgb: RgbImage, scale: float) -> tuple[RgbImage, Homography]:
    """The image at `scale` if that is below 1, by area averaging, and the map from its pixels to the small one's.

    Without it a small view of a large photo would alias.
    """
    if scale >= 1:
        return rgb, np.eye(3)
    height, width = rgb.shape[:2]
    small_height, small_width = max(round(height * scale), 1), max(round(width * scale), 1)
    small = np.asarray(cv2.resize(rgb, (small_width, small_height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    x_scale, y_scale = small_width / width, small_height / height
    return small, np.array([[x_scale, 0, x_scale / 2 - 0.5], [0, y_scale, y_scale / 2 - 0.5], [0, 0, 1]])
