"""Which fakes are held against which reals: never those of two datasets or qualities together.

A *domain* is a dataset at a quality. Its fakes, all together and each manipulation by itself, meet its own reals. A
domain is in-domain where backbone or density learnt from reals of its dataset. DeeperForensics and others have fakes
alone, made of another dataset's reals: they meet those.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from difffake.errors import EvaluationError
from difffake.evaluation.results import OVERALL, VideoResult

Videos = tuple[VideoResult, ...]


class Domain(NamedTuple):
    """A dataset at a quality; None where the dataset has no qualities."""

    dataset: str
    compression: str | None

    @property
    def name(self) -> str:
        """dataset/compression."""
        return f"{self.dataset}/{self.compression}" if self.compression else self.dataset


@dataclass(frozen=True)
class Group:
    """Some fakes of a domain and the reals they are held against.

    Attributes:
        domain: of the fakes.
        is_in_domain: whether something was learnt from reals of the domain's dataset.
        name: overall, or a manipulation.
        reals: whatever their status.
        fakes: whatever their status.
        reals_from: the domain of the reals, None without any.
    """

    domain: Domain
    is_in_domain: bool
    name: str
    reals: Videos
    fakes: Videos
    reals_from: Domain | None


def group_videos(videos: Sequence[VideoResult], learnt_from: Collection[str]) -> tuple[Group, ...]:
    """All fakes of each domain, then each of its manipulations by name.

    Args:
        videos: every test video, whatever its status; domains keep the order of their first videos, those in-domain
            before the others.
        learnt_from: datasets whose reals trained the backbone or were fitted by the density.

    Raises:
        EvaluationError: there is no video, or two have one key.
    """
    if not videos:
        raise EvaluationError("there is no test video to evaluate; check the test split and the compression asked for")
    if len({video.video_key for video in videos}) < len(videos):
        keys = [video.video_key for video in videos]
        raise EvaluationError(f"the video {next(key for key in keys if keys.count(key) > 1)} is given twice")
    members: dict[Domain, list[VideoResult]] = {}
    for video in videos:
        members.setdefault(Domain(video.dataset, video.compression), []).append(video)
    reals = {domain: tuple(video for video in its_videos if video.label == 0) for domain, its_videos in members.items()}
    groups: list[Group] = []
    for domain in sorted(members, key=lambda domain: domain.dataset not in learnt_from):
        fakes = tuple(video for video in members[domain] if video.label == 1)
        lender = domain if reals[domain] else _lender(domain, fakes, reals)
        against = reals[lender] if lender is not None else ()
        by_name = {OVERALL: fakes}
        for name in sorted({fake.manipulation for fake in fakes if fake.manipulation is not None}):
            by_name[name] = tuple(fake for fake in fakes if fake.manipulation == name)
        is_in_domain = domain.dataset in learnt_from
        groups += [Group(domain, is_in_domain, name, against, chosen, lender) for name, chosen in by_name.items()]
    return tuple(groups)


def _lender(domain: Domain, fakes: Videos, reals: dict[Domain, Videos]) -> Domain | None:
    """The domain whose reals the fakes of a domain without reals were made of.

    The one with most of their originals; else one that shows the same people, at the same quality if there is one.
    Never another quality of the same dataset: against it compression alone would tell fakes from reals.
    """
    lenders = [lender for lender in reals if reals[lender] and lender.dataset != domain.dataset]
    originals = {fake.original_key for fake in fakes}
    people = {_people(fake.identity) for fake in fakes}

    def kinship(lender: Domain) -> tuple[int, bool, bool]:
        made_of = sum(real.video_key in originals for real in reals[lender])
        shares_people = not people.isdisjoint(_people(real.identity) for real in reals[lender])
        return made_of, shares_people, lender.compression == domain.compression

    best = max(lenders, key=kinship, default=None)
    return best if best is not None and any(kinship(best)[:2]) else None


def _people(identity: str) -> str:
    """The name space of a person's name, which datasets that show the same people share; or the name itself."""
    return identity.split(":", 1)[0]
