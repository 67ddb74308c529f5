"""Why a verdict may not hold for a file, a sentence each."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from difffake.differential.calibration import Calibration
from difffake.differential.conditions import Conditions, measure_faces, measure_video, side_px
from difffake.faces.identity import SAME_PERSON, Distances
from difffake.faces.records import Extraction
from difffake.judgement import ReferenceComparison
from difffake.references import References
from difffake.stillness import hardly_moves


def recording_cautions(path: Path, outcome: Extraction, track_id: int, conditions: Conditions | None) -> Iterator[str]:
    """What is unlike the videos of the calibration, and whether the person who decides moves at all.

    Args:
        path: the file.
        outcome: its faces.
        track_id: the person whose score is the video's.
        conditions: of the calibration's videos, where the detector has them.
    """
    faces = [face for face in outcome.faces if face.track_id == track_id]
    whose = "the main person's face" if track_id == 0 else f"the face of person {track_id}, whose score decides,"
    if outcome.video is not None and hardly_moves(np.stack([face.landmarks_px for face in faces])):
        yield f"{whose} hardly moves: a still picture has no change to judge"
    if conditions is None:
        return
    values = measure_faces([side_px(face) for face in faces], [face.sharpness for face in faces])
    if (video := outcome.video) is not None:
        values |= measure_video(video.width, video.height, video.frames, video.fps, path.stat().st_size)
    yield from conditions.unlike(values)


def calibration_cautions(calibration: Calibration | None) -> Iterator[str]:
    """What the calibration itself warns of."""
    if calibration is not None and calibration.warning is not None:
        yield calibration.warning


def reference_cautions(
    found: References, comparison: ReferenceComparison | None, apart: Distances | None
) -> Iterator[str]:
    """What is wrong with references, and what is known of whether they show the person they were compared with.

    Args:
        found: the references.
        comparison: with them, beside a detector that judges a video by itself.
        apart: of the person that was compared; None: no recogniser looked.
    """
    yield from found.refused
    if not found.faces:
        return
    if comparison is not None and comparison.p_value is None:
        yield "one reference alone cannot say how much real footage of this person varies: give two or more"
    if apart is None:
        yield (
            "that the references show the person they are compared with was taken on trust: the extra `identity`, "
            "which looks, is not installed"
        )
        return
    if comparison is not None and comparison.person != 0:
        number = comparison.person
        yield f"the references look most like person {number}, who was compared with them, not the main person"
    for content, distance in apart.by_reference.items():
        if distance >= SAME_PERSON:
            name = found.names.get(content, content)
            yield (
                f"the reference {name} may show somebody else: its faces are {distance:.2f} from those of the person "
                f"it was compared with, and those of one person are less than {SAME_PERSON:g} apart"
            )
