"""The check of identities: how often faces of one person are taken for one, and of two for two."""

from itertools import combinations, permutations
from pathlib import Path

import numpy as np

from benchmarks.measure import Figure
from benchmarks.media import sample_folder
from difffake.config import FacesConfig
from difffake.errors import DataError
from difffake.faces.extraction import extract_faces
from difffake.faces.finder import build_face_finder
from difffake.faces.identity import SAME_PERSON, Descriptor, FaceRecogniser

_FACES = FacesConfig(detector="blazeface")
_PEOPLE, _PHOTOS = 25, 6


def run() -> list[Figure]:
    """Shares of pairs of photos below the distance that stands for one person.

    Raises:
        DataError: the recogniser or the photos are not there.
    """
    recogniser, folder = FaceRecogniser.find(), sample_folder() / "face_crops" / "lfw"
    if recogniser is None or not folder.is_dir():
        raise DataError(
            f"wants photos of people in {folder}, and uv run --extra identity python -m benchmarks identity"
        )
    people = [
        described for person in sorted(folder.iterdir())[:_PEOPLE] if (described := _describe(recogniser, person))
    ]
    same = [np.linalg.norm(one - other) for of_one in people for one, other in combinations(of_one, 2)]
    # The first photo of one and the second of the other, so that no photo of a pair is used twice.
    different = [np.linalg.norm(one[0] - other[1]) for one, other in permutations(people, 2) if len(other) > 1]
    return [
        Figure(f"{what}, taken for one person", 100 * float(np.mean(np.array(pairs) < SAME_PERSON)), "%",
               note=f"{len(pairs)} pairs of photos, {len(people)} people of LFW")
        for what, pairs in (("one person", same), ("two people", different))
    ]  # fmt: skip


def _describe(recogniser: FaceRecogniser, person: Path) -> list[Descriptor]:
    finder = build_face_finder(_FACES)
    found = []
    for photo in sorted(person.iterdir())[:_PHOTOS]:
        faces = extract_faces(photo, str(photo), "benchmark", _FACES, finder, "photo").faces
        found += [recogniser.describe(faces[:1])] if faces else []
    return found
