"""The headline of an evaluation: in each domain and for each score, the video-level AUC over all fakes."""

from collections.abc import Mapping
from typing import Any

from difffake.evaluation.comparison import ScoreResult
from difffake.evaluation.results import OVERALL
from tasks.evaluation import video_rows


def headline(facts: Mapping[str, Any]) -> tuple[ScoreResult, ...]:
    """The facts of the evaluation stage as one result a domain and score."""
    return tuple(
        ScoreResult(
            domain=row["domain"],
            score=row["score"],
            auc=row["auc"],
            auc_low=row["auc_low"],
            auc_high=row["auc_high"],
            reason=row["reasons"].get("auc") or row["reasons"].get("auc_low"),
        )
        for row in video_rows(facts)
        if row["group"] == OVERALL
    )
