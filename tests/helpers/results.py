"""Test videos made up for evaluations."""

from collections.abc import Mapping

import numpy as np

from difffake.evaluation.results import DIFFERENTIAL, VideoResult, VideoStatus


def video(
    identity: str,
    score: float | None,
    manipulation: str | None = None,
    *,
    label: int | None = None,
    status: VideoStatus = "scored",
    p_value: float | None = None,
    dataset: str = "ff",
    compression: str | None = "c23",
    original_key: str | None = None,
    others: Mapping[str, float | None] | None = None,
    name: str = "",
) -> VideoResult:
    """A real, or a fake if it has a manipulation or the label 1; `others` are scores beside the differential one."""
    is_fake = label if label is not None else int(manipulation is not None)
    return VideoResult(
        video_key="/".join(
            (dataset, manipulation or ("fake" if is_fake else "real"), compression or "", identity, name)
        ),
        dataset=dataset,
        compression=compression,
        label=1 if is_fake else 0,
        manipulation=manipulation,
        identity=identity,
        scores={} if status != "scored" else {DIFFERENTIAL: score, **(others or {})},
        p_values={} if p_value is None else {DIFFERENTIAL: p_value},
        status=status,
        original_key=original_key,
    )


def many(strengths: Mapping[str, float], people: int = 60, seed: int = 0) -> list[VideoResult]:
    """A real of each person and a fake of each by each manipulation, which lie `strengths` above the reals."""
    rng = np.random.default_rng(seed)
    names = [f"person_{index}" for index in range(people)]
    videos = [video(name, float(rng.normal())) for name in names]
    for manipulation, strength in strengths.items():
        videos += [video(name, float(rng.normal() + strength), manipulation) for name in names]
    return videos
