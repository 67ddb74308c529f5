"""From stored crops to the pixels a network sees."""

import cv2
import numpy as np

from difffake.errors import ArtefactError
from difffake.faces.records import RgbImage


def decode_crop(jpeg: bytes, name: str) -> RgbImage:
    """Decode a stored crop to (S, S, 3) uint8 RGB; `name` tells the face in the message.

    Raises:
        ArtefactError: the bytes are not a picture.
    """
    bgr = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) if jpeg else None
    if bgr is None:
        raise ArtefactError(f"the crop of face {name} ({len(jpeg)} bytes) is not a picture: extract its video again")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def resize_to_input(image: RgbImage, input_size_px: int) -> RgbImage:
    """Resize a square picture to the network's input: by area when shrinking, linearly when enlarging."""
    if image.shape[:2] == (input_size_px, input_size_px):
        return image
    by = cv2.INTER_AREA if len(image) > input_size_px else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (input_size_px, input_size_px), interpolation=by), np.uint8)
