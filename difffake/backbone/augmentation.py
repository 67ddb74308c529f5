"""What happens alike to a real face and its pseudo-fake before the network sees them (not in the paper).

Pseudo-fakes are made of clean crops; footage that is judged has other colours, is smaller, softer and compressed. Both
pictures of a pair get the same draw, so nothing that is drawn here tells them apart.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
from av.codec.context import Flags
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from difffake.config import AugmentationName
from difffake.faces.crop_jpeg import decode_crop
from difffake.faces.records import FloatArray, RgbImage

FLIP_JPEG_QUALITY = (40, 100)

# Of `robust` at strength 1; at strength s the bounds are s times as far from no change, and so are the shares of
# pictures that are changed.
MOST_ROTATION_DEGREES = 12.0
MOST_LOG_SCALE = 0.2
MOST_SHIFT_SIDES = 0.06
MOST_BRIGHTNESS = 0.2
MOST_CONTRAST = 0.3
MOST_LOG_GAMMA = 0.4
MOST_SATURATION = 0.6
LEAST_SIZE_SHARE = 0.3
MOST_BLUR_SIGMA_PX = 2.0
MOST_NOISE_LEVELS = 10.0
LEAST_JPEG_QUALITY = 30
H264_QP = (20, 44)
"""Quantisers of H.264: of pictures coded by themselves, near the constant rate factor of a video of the same quality;
published FaceForensics++ has 23 and 40."""

GEOMETRY_SHARE, COLOUR_SHARE, SIZE_SHARE, BLUR_SHARE, NOISE_SHARE, GREY_SHARE = 1.0, 1.0, 0.8, 0.3, 0.3, 0.1
COMPRESSION_SHARE = 0.9
"""At every strength above 0: hardly any footage is not compressed."""
H264_SHARE = 0.6

_CODECS_KEPT = 96
# Sides that H.264 codes are multiples of a macroblock: so are few sizes enough.
_MACROBLOCK_PX = 16


@dataclass(frozen=True)
class Geometry:
    """Turn and scale about the middle, then a shift in shares of the side; the border is mirrored."""

    rotation_degrees: float
    scale: float
    shift_x: float
    shift_y: float


@dataclass(frozen=True)
class Colour:
    """Contrast about middle grey and brightness, gamma, then saturation."""

    brightness: float
    contrast: float
    gamma: float
    saturation: float


@dataclass(frozen=True)
class Compression:
    """How a picture is coded: JPEG by its quality, 1 to 100; H.264 by its quantiser, 0 to 51."""

    codec: Literal["jpeg", "h264"]
    level: int


@dataclass(frozen=True)
class Augmentation:
    """Everything that is done to a picture, in this order; None, 0 and 1 change nothing.

    Attributes:
        size_share: side at which the picture is compressed, as a share of its own.
        noise_levels: standard deviation of white noise, in grey levels.
        noise_seed: of that noise.
    """

    is_mirrored: bool = False
    geometry: Geometry | None = None
    colour: Colour | None = None
    blur_sigma_px: float = 0.0
    size_share: float = 1.0
    noise_levels: float = 0.0
    noise_seed: int = 0
    compression: Compression | None = None


def draw_augmentation(name: AugmentationName, strength: float, rng: np.random.Generator) -> Augmentation:
    """What a configuration asks for; none: nothing is done, and no random number is drawn."""
    return Augmentation() if name == "none" else _DRAWS[name](strength, rng)


def draw_flip_jpeg(_: float, rng: np.random.Generator) -> Augmentation:
    """A mirror half of the time, and a JPEG quality of 40 to 100."""
    is_mirrored = bool(rng.random() < 0.5)
    quality = int(rng.integers(*FLIP_JPEG_QUALITY, endpoint=True))
    return Augmentation(is_mirrored=is_mirrored, compression=Compression("jpeg", quality))


def draw_robust(strength: float, rng: np.random.Generator) -> Augmentation:
    """A mirror half of the time, and every other change with a probability and within bounds that grow with strength.

    Args:
        strength: in [0, 1].
        rng: source of what is drawn.
    """
    is_mirrored = bool(rng.random() < 0.5)
    if strength == 0:
        return Augmentation(is_mirrored=is_mirrored)

    def happens(share: float) -> bool:
        return bool(rng.random() < share)

    def within(most: float) -> float:
        return float(rng.uniform(-most * strength, most * strength))

    geometry = Geometry(
        within(MOST_ROTATION_DEGREES), float(np.exp(within(MOST_LOG_SCALE))), within(MOST_SHIFT_SIDES),
        within(MOST_SHIFT_SIDES),
    ) if happens(GEOMETRY_SHARE * strength) else None  # fmt: skip
    is_grey = happens(GREY_SHARE * strength)
    colour = Colour(
        within(MOST_BRIGHTNESS), within(MOST_CONTRAST), float(np.exp(within(MOST_LOG_GAMMA))),
        0.0 if is_grey else 1 + within(MOST_SATURATION),
    ) if happens(COLOUR_SHARE * strength) or is_grey else None  # fmt: skip
    return Augmentation(
        is_mirrored=is_mirrored,
        geometry=geometry,
        colour=colour,
        blur_sigma_px=float(rng.uniform(0.3, 0.3 + (MOST_BLUR_SIGMA_PX - 0.3) * strength))
        if happens(BLUR_SHARE * strength)
        else 0.0,
        size_share=float(rng.uniform(1 - (1 - LEAST_SIZE_SHARE) * strength, 1))
        if happens(SIZE_SHARE * strength)
        else 1.0,
        noise_levels=float(rng.uniform(1, 1 + (MOST_NOISE_LEVELS - 1) * strength))
        if happens(NOISE_SHARE * strength)
        else 0.0,
        noise_seed=int(rng.integers(2**32)),
        compression=_draw_compression(strength, rng) if happens(COMPRESSION_SHARE) else None,
    )


def _draw_compression(strength: float, rng: np.random.Generator) -> Compression:
    if rng.random() < H264_SHARE:
        best, worst = H264_QP
        # Even quantisers alone: neighbours look alike, and each has an encoder of its own.
        return Compression("h264", best + 2 * int(rng.integers(round((worst - best) * strength / 2) + 1)))
    return Compression("jpeg", int(rng.integers(100 - round((100 - LEAST_JPEG_QUALITY) * strength), 101)))


def augment(image_rgb: RgbImage, drawn: Augmentation) -> RgbImage:
    """Apply what was drawn to a (S, S, 3) uint8 RGB picture; equal arguments give equal bits."""
    image = np.ascontiguousarray(image_rgb[:, ::-1]) if drawn.is_mirrored else image_rgb
    if drawn.geometry is not None:
        image = _move(image, drawn.geometry)
    if drawn.colour is not None:
        image = _recolour(image, drawn.colour)
    if drawn.blur_sigma_px > 0:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), drawn.blur_sigma_px), np.uint8)
    side_px = len(image)
    is_coded_as_video = drawn.compression is not None and drawn.compression.codec == "h264"
    small_px = _coded_side_px(side_px * drawn.size_share) if is_coded_as_video else round(side_px * drawn.size_share)
    image = _resized(image, max(8, small_px))
    if drawn.noise_levels > 0:
        image = _add_noise(image, drawn.noise_levels, drawn.noise_seed)
    if drawn.compression is not None:
        image = _CODECS[drawn.compression.codec](image, drawn.compression.level)
    return _resized(image, side_px)


def augment_mask(mask: FloatArray, drawn: Augmentation) -> FloatArray:
    """A (S, S) float32 mask moved as its picture; 0 enters from outside."""
    moved = np.ascontiguousarray(mask[:, ::-1]) if drawn.is_mirrored else mask
    if drawn.geometry is None:
        return moved
    side_px = len(moved)
    matrix = _matrix(drawn.geometry, side_px)
    return np.asarray(cv2.warpAffine(moved, matrix, (side_px, side_px), flags=cv2.INTER_LINEAR), np.float32)


def _coded_side_px(wanted_px: float) -> int:
    return max(2, round(wanted_px / _MACROBLOCK_PX)) * _MACROBLOCK_PX


def _move(image: RgbImage, geometry: Geometry) -> RgbImage:
    side_px = len(image)
    moved = cv2.warpAffine(
        image,
        _matrix(geometry, side_px),
        (side_px, side_px),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return np.asarray(moved, np.uint8)


def _matrix(geometry: Geometry, side_px: int) -> npt.NDArray[np.float64]:
    middle = (side_px - 1) / 2
    matrix = cv2.getRotationMatrix2D((middle, middle), geometry.rotation_degrees, geometry.scale)
    matrix[:, 2] += np.array([geometry.shift_x, geometry.shift_y]) * side_px
    return np.asarray(matrix, np.float64)


def _recolour(image: RgbImage, colour: Colour) -> RgbImage:
    levels = np.linspace(0, 1, 256)
    bright = np.clip(0.5 + (1 + colour.contrast) * (levels - 0.5) + colour.brightness, 0, 1)
    table = np.rint(255 * bright**colour.gamma).astype(np.uint8)
    image = np.asarray(cv2.LUT(image, table), np.uint8)
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    mixed = cv2.addWeighted(image, colour.saturation, grey, 1 - colour.saturation, 0)
    return np.asarray(mixed, np.uint8)


def _add_noise(image: RgbImage, levels: float, seed: int) -> RgbImage:
    return np.asarray(cv2.add(image, _noise(image.shape[0], levels, seed), dtype=cv2.CV_8U), np.uint8)


@lru_cache(maxsize=1)
def _noise(side_px: int, levels: float, seed: int) -> npt.NDArray[np.int16]:
    """White noise, (S, S, 3); both pictures of a pair ask for it one after the other."""
    noise = np.random.default_rng(seed).standard_normal((side_px, side_px, 3), dtype=np.float32)
    return np.asarray(np.rint(noise * np.float32(levels)), np.int16)


def _resized(image: RgbImage, side_px: int) -> RgbImage:
    if len(image) == side_px:
        return image
    by = cv2.INTER_AREA if len(image) > side_px else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (side_px, side_px), interpolation=by), np.uint8)


def _as_jpeg(image: RgbImage, quality: int) -> RgbImage:
    bgr = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2BGR)
    _, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return decode_crop(jpeg.tobytes(), name="under augmentation")


def _as_h264(image: RgbImage, qp: int) -> RgbImage:
    return _h264_codec(len(image), qp, threading.get_ident()).code(image)


class _H264Codec:
    """Codes and decodes single pictures of one size at one quantiser; each as if there had been none before."""

    def __init__(self, side_px: int, qp: int) -> None:
        self._encoder = VideoCodecContext.create("libx264", "w")
        self._encoder.width = self._encoder.height = side_px
        self._encoder.pix_fmt = "yuv420p"
        self._encoder.time_base = Fraction(1, 25)
        self._encoder.thread_count = 1
        # Key frames alone at a constant quantiser: no picture depends on one before.
        self._encoder.options = {
            "qp": str(qp),
            "preset": "superfast",
            "tune": "zerolatency",
            "x264-params": "keyint=1:log-level=none",
        }
        self._decoder = VideoCodecContext.create("h264", "r")
        self._decoder.thread_count = 1
        # A picture comes out when it went in, not when the next one does.
        self._decoder.flags |= Flags.low_delay
        self._coded = 0

    def code(self, image: RgbImage) -> RgbImage:
        """A (S, S, 3) uint8 RGB picture as it looks after coding."""
        frame = VideoFrame.from_ndarray(_as_yuv420(image), format="yuv420p")
        frame.pts = self._coded
        self._coded += 1
        (decoded,) = [shown for packet in self._encoder.encode(frame) for shown in self._decoder.decode(packet)]
        return np.asarray(cv2.cvtColor(decoded.to_ndarray(), cv2.COLOR_YUV2RGB_I420), np.uint8)


def _as_yuv420(image: RgbImage) -> npt.NDArray[np.uint8]:
    """(3 S / 2, S) uint8: luma, then both chroma planes at half the size."""
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420), np.uint8)


@lru_cache(maxsize=_CODECS_KEPT)
def _h264_codec(side_px: int, qp: int, _thread: int) -> _H264Codec:
    return _H264Codec(side_px, qp)


_CODECS: dict[str, Callable[[RgbImage, int], RgbImage]] = {"jpeg": _as_jpeg, "h264": _as_h264}

_DRAWS: dict[AugmentationName, Callable[[float, np.random.Generator], Augmentation]] = {
    "flip_jpeg": draw_flip_jpeg,
    "robust": draw_robust,
}
