import cv2
import numpy as np
import pytest

from difffake.errors import DataError
from difffake.evaluation.pair_pictures import pair_picture


def jpeg(colour_bgr: tuple[int, int, int], side_px: int = 120) -> bytes:
    return cv2.imencode(".jpg", np.full((side_px, side_px, 3), colour_bgr, np.uint8))[1].tobytes()


def test_two_crops_stand_side_by_side_base_first() -> None:
    picture = pair_picture(jpeg((200, 0, 0)), jpeg((0, 0, 200), side_px=80), side_px=40)
    pixels = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    assert pixels.shape == (40, 82, 3)
    assert np.abs(pixels[20, 10].astype(int) - (200, 0, 0)).max() < 12
    assert np.abs(pixels[20, 70].astype(int) - (0, 0, 200)).max() < 12


def test_what_is_no_picture_is_an_error() -> None:
    with pytest.raises(DataError, match="is not a JPEG"):
        pair_picture(b"nothing", jpeg((0, 0, 0)), 40)
