"""From crops to the pixels a network sees."""

import cv2
import numpy as np

from difffake.faces.records import RgbImage


def resize_to_input(image: RgbImage, input_size_px: int) -> RgbImage:
    """Resize a square picture to the network's input: by area when shrinking, linearly when enlarging."""
    if image.shape[:2] == (input_size_px, input_size_px):
        return image
    by = cv2.INTER_AREA if len(image) > input_size_px else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (input_size_px, input_size_px), interpolation=by), np.uint8)
