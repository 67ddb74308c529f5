import numpy as np
import pytest

from difffake.config import PromotionConfig
from difffake.errors import EvaluationError
from difffake.evaluation.promotion import Comparison, JudgedVideo, compare

RESAMPLES = 400


def videos(champion_noise: float, challenger_noise: float, people: int = 40, seed: int = 0) -> list[JudgedVideo]:
    """A real and a fake of each person, parted by 1 and blurred by some noise under each detector."""
    rng = np.random.default_rng(seed)
    return [
        JudgedVideo(
            label,
            f"person {person}",
            label + challenger_noise * rng.standard_normal(),
            label + champion_noise * rng.standard_normal(),
        )
        for person in range(people)
        for label in (0, 1)
    ]


def decide(*domains: list[JudgedVideo], **settings: object) -> Comparison:
    config = PromotionConfig.model_validate(settings)
    named = {f"domain {number}": members for number, members in enumerate(domains)}
    return compare(named, config, RESAMPLES, seed=0)


def test_a_clearly_better_challenger_is_better_and_a_worse_one_is_not() -> None:
    better = decide(videos(champion_noise=3, challenger_noise=0.3))
    assert better.outcome == "better"
    (change,) = better.domains
    assert change.low is not None
    assert change.high is not None
    assert 0 < change.low <= change.change <= change.high
    assert decide(videos(champion_noise=0.3, challenger_noise=3)).outcome == "not better"


def test_equal_detectors_take_each_others_place_by_chance_only() -> None:
    outcomes = [decide(videos(1, 1, seed=seed)).outcome for seed in range(60)]
    # One side of a 95 % interval: 2.5 % each.
    assert outcomes.count("better") <= 6


def test_the_figure_alone_is_enough_if_the_rule_says_so() -> None:
    slightly = videos(champion_noise=1.05, challenger_noise=1, people=12, seed=3)
    (change,) = decide(slightly).domains
    assert change.change is not None
    assert change.change > 0
    assert change.low is not None
    assert change.low < 0
    assert decide(slightly).outcome == "not better"
    assert decide(slightly, rule="figure").outcome == "better"
    assert decide(slightly, rule="figure", margin=change.change).outcome == "not better"


def test_the_margin_is_demanded_of_the_lower_end() -> None:
    members = videos(champion_noise=3, challenger_noise=0.3)
    (change,) = decide(members).domains
    assert change.low is not None
    assert decide(members, margin=change.low - 0.001).outcome == "better"
    assert decide(members, margin=change.low).outcome == "not better"


def test_a_figure_is_of_videos_that_both_score_and_losses_count_against_the_challenger() -> None:
    members = videos(champion_noise=3, challenger_noise=0.3)
    lost = [JudgedVideo(video.label, video.identity, None, video.champion) for video in members[:8]]
    mixed = [*lost, *members[8:]]
    refused = decide(mixed)
    assert refused.outcome == "not better"
    assert "8 more of 80 videos are left unscored" in refused.why
    assert refused.domains[0].videos == 72
    assert refused.domains[0].change == decide(members[8:]).domains[0].change
    assert decide(mixed, most_lost=0.1).outcome == "better"


def test_the_first_domain_decides_and_others_are_shown_apart() -> None:
    better, worse = videos(3, 0.3), videos(0.3, 3)
    comparison = decide(better, worse)
    assert comparison.outcome == "better"
    assert [change.domain for change in comparison.domains] == ["domain 0", "domain 1"]
    assert comparison.domains[1].change is not None
    assert comparison.domains[1].change < 0
    assert decide(worse, better).outcome == "not better"


@pytest.mark.parametrize(("label", "missing"), [(0, "no fake"), (1, "no real")])
def test_one_class_alone_decides_nothing(label: int, missing: str) -> None:
    members = [video for video in videos(3, 0.3) if video.label == label]
    refused = decide(members)
    assert refused.outcome == "not better"
    assert missing in refused.why
    assert refused.domains[0].challenger_auc is None


def test_without_an_interval_nothing_is_promoted_by_it() -> None:
    one_person = [JudgedVideo(label, "one", label, 1 - label) for label in (0, 1)]
    refused = decide(one_person)
    assert refused.outcome == "not better"
    assert "no interval" in refused.why
    assert decide(one_person, rule="figure").outcome == "better"


def test_nothing_to_compare_is_an_error() -> None:
    with pytest.raises(EvaluationError, match="no test video"):
        compare({}, PromotionConfig(), RESAMPLES, 0)
