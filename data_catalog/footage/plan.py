"""What a build will hold: video ids, pairs, splits and file names, in the layout of FaceForensics++."""

import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from data_catalog.footage.face_swap import Blending
from data_catalog.footage.media import SPLITS, FootageMedia, Person, Split, Take
from difffake.config import Compression
from difffake.errors import ConfigError, DataError

# FaceForensics++ names its qualities after the H.264 constant rate factor; raw is visually lossless.
CRF: Mapping[Compression, int] = {"raw": 0, "c23": 23, "c40": 40}
_MOST_VIDEOS = 1000  # ids have three digits


@dataclass(frozen=True)
class FootageConfig:
    """How the clips are made.

    Attributes:
        seed: of camera motion, light, noise and the choice of blending.
        frames: frames in a clip.
        fps: frames per second of a clip.
        size_px: side of the square clips, even.
        compression: quality, by its name in FaceForensics++.
        blendings: one of these is drawn for each fake.
    """

    seed: int = 0
    frames: int = 40
    fps: float = 20.0
    size_px: int = 360
    compression: Compression = "c23"
    blendings: tuple[Blending, ...] = ("feather", "poisson")

    def __post_init__(self) -> None:
        if self.frames < 1 or not 0 < self.fps < float("inf"):
            raise ConfigError(f"a clip needs at least 1 frame and a rate above 0, not {self.frames} and {self.fps}")
        if self.size_px < 64 or self.size_px % 2:
            raise ConfigError(f"size_px must be even (H.264 halves the colour planes) and at least 64: {self.size_px}")
        if not self.blendings:
            raise ConfigError("blendings is empty: name at least one of feather, poisson")


@dataclass(frozen=True)
class PlannedClip:
    """A real clip to be made.

    Attributes:
        video_id: three digits, as in the file name.
        person: who is seen; None in a faceless clip.
        take_index: which take of the person; with the name it seeds the clip, so that other people don't change it.
        take: its material.
    """

    video_id: str
    person: str | None
    take_index: int
    take: Take


@dataclass(frozen=True)
class PlannedPair:
    """Two clips of one split whose faces are swapped both ways, unless they have none."""

    split: Split
    first: PlannedClip
    second: PlannedClip

    @property
    def has_faces(self) -> bool:
        return self.first.person is not None

    def files(self, compression: Compression) -> tuple[str, ...]:
        """Paths below the root: both reals, then both fakes."""
        a, b = self.first.video_id, self.second.video_id
        reals = (real_path(a, compression), real_path(b, compression))
        fakes = (fake_path(a, b, compression), fake_path(b, a, compression))
        return reals + fakes if self.has_faces else reals


def real_path(video_id: str, compression: Compression) -> str:
    """Where a real clip lies below the root."""
    return f"original_sequences/youtube/{compression}/videos/{video_id}.mp4"


def fake_path(target_id: str, source_id: str, compression: Compression) -> str:
    """Where the clip of the target with the source's face lies below the root."""
    return f"manipulated_sequences/FaceSwap/{compression}/videos/{target_id}_{source_id}.mp4"


def plan_pairs(media: FootageMedia) -> tuple[PlannedPair, ...]:
    """Ids in the order of splits and people, and pairs that always show two different people.

    Faceless clips follow the training people and are paired with each other: they enter the training split as the
    official lists would have them, without a fake.

    Raises:
        DataError: people named twice, an odd number of clips, or one person with more than half of a split's clips.
    """
    repeated = [name for name, count in Counter(person.name for person in media.people).items() if count > 1]
    if repeated:
        raise DataError(f"people must have one entry and so one split each; repeated: {', '.join(repeated)}")
    if len(media.faceless) % 2:
        raise DataError(f"faceless clips are paired with each other: give an even number, not {len(media.faceless)}")
    ids = (f"{number:03d}" for number in itertools.count())
    pairs: list[PlannedPair] = []
    for split in SPLITS:
        people = [person for person in media.people if person.split == split]
        _check_split(split, people)
        clips = {p.name: [PlannedClip(next(ids), p.name, i, take) for i, take in enumerate(p.takes)] for p in people}
        pairs += [PlannedPair(split, first, second) for first, second in _match(clips)]
        if split == "train":
            faceless = [PlannedClip(next(ids), None, i, take) for i, take in enumerate(media.faceless)]
            pairs += [PlannedPair(split, *two) for two in zip(faceless[::2], faceless[1::2], strict=True)]
    if 2 * len(pairs) > _MOST_VIDEOS:
        raise DataError(f"{2 * len(pairs)} clips do not fit three-digit ids: give at most {_MOST_VIDEOS} takes")
    return tuple(pairs)


def _check_split(split: Split, people: list[Person]) -> None:
    clips = sum(len(person.takes) for person in people)
    most = max((len(person.takes) for person in people), default=0)
    if clips % 2 or 2 * most > clips:
        raise DataError(
            f"the {split} split has {clips} clips, {most} of them of one person: swaps between different people need "
            "an even number, of which no person has more than half"
        )


def _match(clips: Mapping[str, list[PlannedClip]]) -> list[tuple[PlannedClip, PlannedClip]]:
    """All clips in twos of different people, who meet as many others as possible.

    Always taking a clip of whoever has most left keeps everyone at no more than half, so that none is left alone.
    """
    left = {name: list(own) for name, own in clips.items()}
    met: Counter[frozenset[str]] = Counter()
    pairs = []
    while any(left.values()):
        first = max(left, key=lambda name: len(left[name]))
        others = [name for name in left if left[name] and name != first]
        second = min(others, key=lambda name: (met[frozenset((first, name))], -len(left[name])))
        met[frozenset((first, second))] += 1
        pairs.append((left[first].pop(0), left[second].pop(0)))
    return pairs
