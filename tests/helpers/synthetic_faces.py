"""Sets of synthetic faces, encoded as the lake holds them."""

import cv2
import numpy as np

from difffake.faces.records import FaceSet
from tests.helpers.landmarks import canonical_landmarks, textured_face


def synthetic_faces(videos: int, faces_per_video: int, size_px: int = 64, name: str = "v") -> FaceSet:
    """Textured pictures with the landmarks of an upright face; every face differs, names tell video and face."""
    count = videos * faces_per_video
    return FaceSet(
        face_ids=tuple(f"{name}{row // faces_per_video}/{row % faces_per_video}" for row in range(count)),
        video_keys=tuple(f"{name}{row // faces_per_video}" for row in range(count)),
        crops_jpeg=tuple(encode(textured_face(size_px, seed=row)) for row in range(count)),
        landmarks_crop_px=np.repeat(canonical_landmarks(size_px)[None], count, axis=0),
    )


def encode(rgb: np.ndarray) -> bytes:
    """JPEG bytes of an RGB picture, as extraction stores crops (quality 95, 4:4:4)."""
    parameters = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), parameters)[1].tobytes()
