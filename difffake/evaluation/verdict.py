"""The verdict of an evaluation, in sentences: what a reader must know before any figure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from difffake.evaluation.results import DIFFERENTIAL, FAKE_PROBABILITY, OVERALL

_MEANINGS = {
    DIFFERENTIAL: "the differential score",
    FAKE_PROBABILITY: "the backbone's own fake probability",
    "fusion": "the fusion of the two",
}
_SURPRISE = 0.05
"""More false accusations than promised are reported as a fault if luck gives as many less often than this."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Verdict:
    """Sentences on the headline, and whether its interval lies above chance."""

    is_better_than_chance: bool
    sentences: tuple[str, ...]


def verdict(rows: Sequence[Row], stated_false_positive_rate: float, confidence: float) -> Verdict:
    """What the table says of all fakes of each domain, the headline first.

    Args:
        rows: `EvaluationRow.to_dict` of the table.
        stated_false_positive_rate: of the calibration.
        confidence: of the intervals.
    """
    overall = [row for row in rows if row["level"] == "video" and row["group"] == OVERALL]
    head = overall[0]
    beside = [row for row in overall[1:] if row["domain"] == head["domain"]]
    elsewhere = [row for row in overall if row["domain"] != head["domain"] and row["score"] == head["score"]]
    is_better = head["auc_low"] is not None and head["auc_low"] > 0.5
    sentences = [
        _headline(head),
        *_against_chance(head, confidence),
        *_at_threshold(head, stated_false_positive_rate),
        *(_beside(row, head) for row in beside if row["auc"] is not None and head["auc"] is not None),
        *(_elsewhere(row) for row in elsewhere),
        *_coverage(head),
    ]
    return Verdict(is_better, tuple(sentences))


def _headline(row: Row) -> str:
    if row["auc"] is None:
        return f"There is no AUC on {row['domain']}: {row['reasons']['auc']}."
    learnt = "whose reals it learnt from" if row["in_domain"] else "of which it has learnt nothing"
    return (
        f"On {_counted(row)} of {row['domain']}, {learnt}, {_meaning(row)} ranks a fake above a real in "
        f"{row['auc']:.1%} of all comparisons (AUC {row['auc']:.3f})."
    )


def _against_chance(row: Row, confidence: float) -> list[str]:
    if row["auc"] is None:
        return []
    low, high = row["auc_low"], row["auc_high"]
    if low is None or high is None:
        return [f"How far that would move with other people is not known: {row['reasons']['auc_low']}."]
    interval = f"With other people it would lie between {low:.3f} and {high:.3f} ({confidence:.0%} interval)"
    if low > 0.5:
        return [f"{interval}: better than chance."]
    if high < 0.5:
        return [f"{interval}: fakes look more natural to it than reals do."]
    return [f"{interval}, which includes 0.5: on these videos it cannot be told from chance."]


def _at_threshold(row: Row, stated: float) -> list[str]:
    accused, found = row["false_positive_rate_at_threshold"], row["true_positive_rate_at_threshold"]
    if accused is None or found is None:
        return []
    count = round(accused * row["n_real"])
    text = (
        f"At its threshold it accuses {count} of {row['n_real']} reals ({accused:.0%}; {stated:.0%} are promised) and "
        f"finds {round(found * row['n_fake'])} of {row['n_fake']} fakes ({found:.0%})."
    )
    # Takes half a second to import.
    from scipy.stats import binom

    # P(X ≥ count) of a binomial: videos of one person are alike, so luck reaches further than this says.
    if binom.sf(count - 1, row["n_real"], stated) < _SURPRISE:
        text += " That is more than luck explains: the calibration does not hold for these reals."
    return [text]


def _beside(row: Row, head: Row) -> str:
    change = row["auc"] - head["auc"]
    held = "the same" if abs(change) < 5e-4 else f"{abs(change):.3f} {'more' if change > 0 else 'less'}"
    text = f"{_meaning(row)} has {row['auc']:.3f} on the same videos, {held}."
    return text[0].upper() + text[1:]


def _elsewhere(row: Row) -> str:
    where = f"On {_counted(row)} of {row['domain']}, {'in-domain' if row['in_domain'] else 'out-of-domain'}"
    if row["auc"] is None:
        return f"{where}: no AUC, {row['reasons']['auc']}."
    low, high = row["auc_low"], row["auc_high"]
    interval = f" [{low:.3f}, {high:.3f}]" if low is not None and high is not None else ""
    return f"{where}: AUC {row['auc']:.3f}{interval}."


def _coverage(row: Row) -> list[str]:
    missing = row["n_abstained"] + row["n_failed"]
    if not missing:
        return []
    counted = f"{missing} of {missing + row['n_scored']} videos have no score"
    worst = row["auc_all_videos"]
    return [f"{counted}; counting each as judged wrongly, AUC {worst:.3f}." if worst is not None else f"{counted}."]


def _counted(row: Row) -> str:
    reals = f"{row['n_real']} real"
    if row["reals_from"] not in (None, row["domain"]):
        reals += f" (of {row['reals_from']})"
    return f"{reals} and {row['n_fake']} fake videos"


def _meaning(row: Row) -> str:
    return _MEANINGS.get(row["score"], f"the score {row['score']}")
