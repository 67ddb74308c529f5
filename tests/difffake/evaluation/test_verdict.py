from typing import Any

import pytest

from difffake.evaluation.verdict import verdict


def row(**changes: Any) -> dict[str, Any]:
    figures = {
        "domain": "ff/c23", "in_domain": True, "group": "overall", "level": "video", "score": "differential",
        "n_real": 20, "n_fake": 40, "n_scored": 60, "n_abstained": 0, "n_failed": 0, "reals_from": "ff/c23",
        "auc": 0.84, "auc_low": 0.75, "auc_high": 0.91, "auc_all_videos": 0.84,
        "false_positive_rate_at_threshold": 0.05, "true_positive_rate_at_threshold": 0.5, "reasons": {},
    }  # fmt: skip
    return figures | changes


def test_the_headline_says_what_was_counted_and_how_sure_it_is() -> None:
    told = verdict([row(), row(group="Deepfakes", auc=0.1)], 0.05, 0.95)
    assert told.is_better_than_chance
    assert told.sentences == (
        "On 20 real and 40 fake videos of ff/c23, whose reals it learnt from, the differential score ranks a fake "
        "above a real in 84.0% of all comparisons (AUC 0.840).",
        "With other people it would lie between 0.750 and 0.910 (95% interval): better than chance.",
        "At its threshold it accuses 1 of 20 reals (5%; 5% are promised) and finds 20 of 40 fakes (50%).",
    )


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.45, 0.6, "it cannot be told from chance"), (0.1, 0.4, "fakes look more natural to it than reals do")],
)
def test_an_interval_that_reaches_chance_is_no_success(low: float, high: float, words: str) -> None:
    told = verdict([row(auc=0.5, auc_low=low, auc_high=high)], 0.05, 0.95)
    assert not told.is_better_than_chance
    assert words in told.sentences[1]


def test_what_is_missing_is_said_with_its_reason() -> None:
    alone = row(auc=1.0, auc_low=None, auc_high=None, reasons={"auc_low": "the reals show a single person"})
    told = verdict([alone], 0.05, 0.95)
    assert not told.is_better_than_chance
    assert "is not known: the reals show a single person." in told.sentences[1]
    nothing = row(auc=None, auc_low=None, auc_high=None, true_positive_rate_at_threshold=None,
                  reasons={"auc": "no fake video was scored"})  # fmt: skip
    assert verdict([nothing], 0.05, 0.95).sentences == ("There is no AUC on ff/c23: no fake video was scored.",)


@pytest.mark.parametrize(("accused", "is_told"), [(3, False), (4, True)])
def test_more_false_accusations_than_luck_explains_are_a_fault(accused: int, is_told: bool) -> None:
    # Of 20 at 5 %: three or more come by luck in 7.5 % of all cases, four or more in 1.6 %.
    told = verdict([row(false_positive_rate_at_threshold=accused / 20)], 0.05, 0.95)
    assert ("more than luck explains" in told.sentences[2]) is is_told


def test_other_scores_and_domains_stand_beside_the_headline_and_are_never_averaged() -> None:
    rows = [
        row(),
        row(score="fake_probability", auc=0.80),
        row(score="fusion", auc=0.87),
        row(domain="celebdf", in_domain=False, reals_from="celebdf", auc=0.7, auc_low=0.6, auc_high=0.8),
        row(domain="faceshifter", in_domain=False, auc=0.6, auc_low=None, auc_high=None),
        row(level="pair", auc=0.99),
    ]
    told = verdict(rows, 0.05, 0.95).sentences[3:]
    assert told == (
        "The backbone's own fake probability has 0.800 on the same videos, 0.040 less.",
        "The fusion of the two has 0.870 on the same videos, 0.030 more.",
        "On 20 real and 40 fake videos of celebdf, out-of-domain: AUC 0.700 [0.600, 0.800].",
        "On 20 real (of ff/c23) and 40 fake videos of faceshifter, out-of-domain: AUC 0.600.",
    )


def test_videos_without_a_score_are_counted() -> None:
    told = verdict([row(n_scored=55, n_abstained=3, n_failed=2, auc_all_videos=0.77)], 0.05, 0.95)
    assert told.sentences[-1] == "5 of 60 videos have no score; counting each as judged wrongly, AUC 0.770."
