"""Which faces an epoch shows, and in which batches."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from difffake.config import BackboneConfig
from difffake.faces.records import FaceSet
from difffake.randomness import derive_seed


def choose_faces(faces: FaceSet, per_video: int, seed: int, *purpose: str | int) -> list[int]:
    """Rows of at most `per_video` faces of each video, drawn without replacement, in random order.

    Every face gets two random ranks that depend on seed, purpose and its name alone, one to be chosen and one for the
    order; so neither the order of `faces` nor the other videos change which faces of a video are chosen.
    """
    by_video: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for row, (face_id, video_key) in enumerate(zip(faces.face_ids, faces.video_keys, strict=True)):
        by_video[video_key].append((derive_seed(seed, "choice", *purpose, face_id), row))
    chosen = [row for ranked in by_video.values() for _, row in sorted(ranked)[:per_video]]
    return sorted(chosen, key=lambda row: derive_seed(seed, "order", *purpose, faces.face_ids[row]))


def plan_epoch(faces: FaceSet, config: BackboneConfig, seed: int, epoch: int) -> list[tuple[int, ...]]:
    """Rows of each batch of an epoch: at most `batch_pairs`, in batches whose sizes differ by one at most."""
    chosen = choose_faces(faces, config.faces_per_video_per_epoch, seed, "epoch", epoch)
    if config.contrast_weight:
        chosen = in_twos(chosen, faces.video_keys)
    batches = -(-len(chosen) // config.batch_pairs)
    return [tuple(int(row) for row in rows) for rows in np.array_split(np.array(chosen), batches)]


def in_twos(rows: list[int], video_keys: Sequence[str]) -> list[int]:
    """The rows in their order, but every second one of a video right behind the one before it.

    Args:
        rows: of faces, each once.
        video_keys: of all faces.
    """
    waiting: dict[str, list[int]] = {}
    twos: list[list[int]] = []
    for row in rows:
        video_key = video_keys[row]
        if video_key in waiting:
            waiting.pop(video_key).append(row)
        else:
            twos.append([row])
            waiting[video_key] = twos[-1]
    return [row for two in twos for row in two]
