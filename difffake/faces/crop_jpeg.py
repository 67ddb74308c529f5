"""Crops as they are stored: JPEG, and back."""

import cv2
import numpy as np

from difffake.errors import ArtefactError
from difffake.faces.records import RgbImage


def encode_crop(crop: RgbImage, jpeg_quality: int) -> bytes:
    """JPEG bytes (4:4:4, so that blending seams in the colours survive) of an (S, S, 3) uint8 RGB crop."""
    options = [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality]
    options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR), options)
    return encoded.tobytes()


def decode_crop(jpeg: bytes, name: str) -> RgbImage:
    """Decode a stored crop to (S, S, 3) uint8 RGB; `name` tells the face in the message.

    Raises:
        ArtefactError: the bytes are not a picture.
    """
    bgr = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) if jpeg else None
    if bgr is None:
        raise ArtefactError(f"the crop of face {name} ({len(jpeg)} bytes) is not a picture: extract its video again")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
