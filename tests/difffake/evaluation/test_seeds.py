"""Mean and spread over seeds, by hand."""

from typing import Any

import pytest

from difffake.config import EvaluationConfig
from difffake.errors import EvaluationError
from difffake.evaluation.results import DIFFERENTIAL
from difffake.evaluation.seeds import AGGREGATED, aggregate_seeds
from difffake.evaluation.table import evaluate_videos
from tests.helpers.results import many, video

Table = list[dict[str, Any]]


def _table(shift: float, threshold: float | None = 1.0) -> Table:
    videos = [video("ann", 0.0), video("bob", 2.0), video("ann", 1.0 + shift, "swap"), video("bob", 3.0, "swap")]
    thresholds = {} if threshold is None else {DIFFERENTIAL: threshold}
    rows = evaluate_videos(videos, [DIFFERENTIAL], EvaluationConfig(bootstrap_resamples=0), 0, thresholds=thresholds)
    return [row.to_dict() for row in rows]


def _one(rows: Table, group: str, metric: str) -> dict[str, Any]:
    (row,) = (row for row in rows if (row["group"], row["metric"]) == (group, metric))
    return row


def test_by_hand() -> None:
    # The first fake at 1, 1, 3 and −1: AUC 3/4, 3/4, 1 and 1/2.
    rows = aggregate_seeds({seed: _table(shift) for seed, shift in enumerate([0.0, 0.0, 2.0, -2.0])})
    auc = _one(rows, "overall", "auc")

    assert auc["mean"] == 0.75
    # Deviations 0, 0, 1/4, −1/4: √((1/16 + 1/16) / 3).
    assert auc["standard_deviation"] == pytest.approx((2 / 16 / 3) ** 0.5)
    assert (auc["minimum"], auc["maximum"], auc["n_seeds"], auc["n_seeds_without"]) == (0.5, 1.0, 4, 0)
    assert auc["note"] is None
    assert (auc["domain"], auc["in_domain"], auc["level"], auc["score"]) == ("ff/c23", False, "video", DIFFERENTIAL)
    assert _one(rows, "swap", "auc") == auc | {"group": "swap"}
    assert {row["metric"] for row in rows} == set(AGGREGATED)


def test_few_seeds_are_said_to_be_few_and_missing_figures_are_counted() -> None:
    rows = aggregate_seeds({0: _table(0.0), 1: _table(0.0, threshold=None), 7: _table(0.0, threshold=None)})
    at_threshold = _one(rows, "overall", "balanced_accuracy_at_threshold")

    assert (at_threshold["n_seeds"], at_threshold["n_seeds_without"]) == (1, 2)
    assert at_threshold["standard_deviation"] is None
    assert "1 of at least 3 seeds" in at_threshold["note"]
    assert _one(rows, "overall", "auc")["note"] is None
    without = aggregate_seeds({0: _table(0.0, threshold=None)})
    assert "balanced_accuracy_at_threshold" not in {row["metric"] for row in without}


def test_tables_of_other_videos_do_not_mix() -> None:
    config = EvaluationConfig(bootstrap_resamples=0)
    fewer = [row.to_dict() for row in evaluate_videos(many({"swap": 1.0}, 5), [DIFFERENTIAL], config, 0)]
    with pytest.raises(EvaluationError, match="has 4 test videos under seed 0 and 10 under 3"):
        aggregate_seeds({0: _table(0.0), 3: fewer})
    other = [row.to_dict() for row in evaluate_videos(many({"blend": 1.0}, 2), [DIFFERENTIAL], config, 0)]
    with pytest.raises(EvaluationError, match="seeds 0 and 1 have different rows, such as ff/c23/blend/video"):
        aggregate_seeds({0: _table(0.0), 1: other})
    with pytest.raises(EvaluationError, match="no table"):
        aggregate_seeds({})
