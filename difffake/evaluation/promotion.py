"""Whether a new detector is better than the one in use: a paired comparison on the same test videos."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from difffake.config import PromotionConfig
from difffake.errors import EvaluationError
from difffake.evaluation.bootstrap import bootstrap_auc_change
from difffake.evaluation.metrics import auc

Outcome = Literal["better", "not better"]


@dataclass(frozen=True)
class JudgedVideo:
    """A test video under both detectors.

    Attributes:
        label: 1 fake, 0 real.
        identity: the person.
        challenger: the new detector's score, higher is more anomalous; None if it gave none.
        champion: the score of the detector in use, likewise.
    """

    label: int
    identity: str
    challenger: float | None
    champion: float | None


@dataclass(frozen=True)
class DomainChange:
    """How the AUC of one domain changes from champion to challenger, on the videos that both score.

    Attributes:
        domain: dataset and quality.
        videos: scored by both.
        only_champion: scored by the champion alone.
        only_challenger: scored by the challenger alone.
        challenger_auc: None if a class is missing.
        champion_auc: likewise.
        change: challenger minus champion.
        low: lower end of its paired interval over people; None if not estimable.
        high: upper end.
        reason: why something is None.
    """

    domain: str
    videos: int
    only_champion: int
    only_challenger: int
    challenger_auc: float | None = None
    champion_auc: float | None = None
    change: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return dict(vars(self))


@dataclass(frozen=True)
class Comparison:
    """What the comparison says: the first domain decides, the others are shown."""

    outcome: Outcome
    why: str
    domains: tuple[DomainChange, ...]


def compare(
    domains: Mapping[str, Sequence[JudgedVideo]], config: PromotionConfig, resamples: int, seed: int
) -> Comparison:
    """Decide by the first domain whether the challenger is better by the margin.

    Better is a change of AUC above the margin: its lower end over people (`rule: interval`), or the figure itself
    (`rule: figure`). A challenger that leaves more videos unscored than allowed is not better, whatever its AUC.

    Args:
        domains: the test videos of each dataset and quality, which are never pooled; the first decides.
        config: rule, margin, confidence.
        resamples: bootstrap draws over identities.
        seed: of the draws.

    Raises:
        EvaluationError: no video was given.
    """
    if not domains:
        raise EvaluationError("no test video was given: champion and challenger cannot be compared")
    changes = tuple(_change(domain, members, config, resamples, seed) for domain, members in domains.items())
    outcome, why = _decide(changes[0], len(next(iter(domains.values()))), config)
    return Comparison(outcome, why, changes)


def _change(
    domain: str, videos: Sequence[JudgedVideo], config: PromotionConfig, resamples: int, seed: int
) -> DomainChange:
    both = [video for video in videos if video.challenger is not None and video.champion is not None]
    only_champion = sum(video.challenger is None and video.champion is not None for video in videos)
    only_challenger = sum(video.champion is None and video.challenger is not None for video in videos)
    counted = DomainChange(domain, len(both), only_champion, only_challenger)
    labels = np.array([video.label for video in both])
    if len(set(labels.tolist())) < 2:
        missing = "fake" if 1 not in labels else "real"
        return replace(counted, reason=f"both detectors score no {missing} video of it")
    new, old = ([getattr(video, who) for video in both] for who in ("challenger", "champion"))
    new_auc, old_auc = auc(labels, new), auc(labels, old)
    people = [video.identity for video in both]
    rng = np.random.default_rng(seed)
    interval = bootstrap_auc_change(labels, new, old, people, resamples, config.confidence, rng)
    return replace(
        counted,
        challenger_auc=new_auc,
        champion_auc=old_auc,
        change=new_auc - old_auc,
        low=interval.low,
        high=interval.high,
        reason=interval.reason,
    )


def _decide(headline: DomainChange, videos: int, config: PromotionConfig) -> tuple[Outcome, str]:
    if headline.change is None:
        return "not better", f"{headline.domain}: {headline.reason}"
    told = (
        f"AUC {headline.challenger_auc:.3f} against {headline.champion_auc:.3f} on the same {headline.videos} videos "
        f"of {headline.domain}"
    )
    lost = headline.only_champion - headline.only_challenger
    if lost > config.most_lost * videos:
        return "not better", f"{told}, but {lost} more of {videos} videos are left unscored"
    if config.rule == "figure":
        is_better = headline.change > config.margin
        return ("better" if is_better else "not better"), f"{told}: {headline.change:+.3f}, margin {config.margin:g}"
    if headline.low is None or headline.high is None:
        return "not better", f"{told}: {headline.change:+.3f}, no interval over people ({headline.reason})"
    interval = f"{headline.change:+.3f} [{headline.low:+.3f}, {headline.high:+.3f}], margin {config.margin:g}"
    return ("better" if headline.low > config.margin else "not better"), f"{told}: {interval}"
