"""A row of the evaluation's table: one score on one group of fakes, flat, with a reason for every figure it lacks."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from difffake.evaluation.bootstrap import Interval
from difffake.evaluation.metrics import MetricSet
from difffake.evaluation.results import Level

AT_THRESHOLD = "balanced_accuracy_at_threshold"
"""Has an interval as well, where there is a threshold."""

METRICS = tuple(field.name for field in fields(MetricSet))
ALL_VIDEOS = "_all_videos"
"""Suffix of the figures in which a video without a score counts as judged as wrongly as can be."""

ROW_KEY = ("domain", "group", "level", "score")
"""The columns that name a row."""

Cell = float | int | str | None


@dataclass(frozen=True, kw_only=True)
class EvaluationRow:
    """The figures of one score on one group of fakes and its reals; what is undefined is None, `reasons` says why.

    Attributes:
        domain: dataset/quality of the fakes.
        in_domain: whether backbone or density learnt from reals of that dataset.
        group: overall (all fakes of the domain), or a manipulation.
        level: what is counted: videos, or the pairs or frames of the scored videos.
        score: its name.
        n_real: reals with this score, at the level.
        n_fake: fakes of the group with this score, at the level.
        n_identities: people in them.
        metrics: None without both reals and fakes.
        intervals: by names of metrics.
        threshold: of the calibration, for videos; scores at or above it are called fake.
        false_positive_rate_at_threshold: share of reals called fake: what became of the calibration's promise.
        true_positive_rate_at_threshold: share of fakes called fake.
        balanced_accuracy_at_threshold: mean of the shares of reals and of fakes called rightly.
        metrics_all_videos: of videos, those without this score at worst (`metrics.with_unscored_at_worst`).
        balanced_accuracy_at_threshold_all_videos: likewise: the unscored reals accused, the unscored fakes missed.
        median_p_value_real: near 0.5 where the calibration holds for these reals.
        median_p_value_fake: near 0 for a good detector.
        n_scored: videos of the group, reals and fakes, with this score.
        n_abstained: those the detector abstained on, or that lack this score alone.
        n_failed: those that could not be read.
        coverage_real: share of the real videos with this score.
        coverage_fake: share of the group's fake videos with this score.
        reals_from: domain of the reals; another where the fakes' own has none.
        dataset: of the fakes.
        compression: quality of the fakes, None in a dataset without qualities.
    """

    domain: str
    in_domain: bool
    group: str
    level: Level
    score: str
    n_real: int
    n_fake: int
    n_identities: int
    metrics: MetricSet | None
    intervals: Mapping[str, Interval]
    threshold: float | None
    false_positive_rate_at_threshold: float | None
    true_positive_rate_at_threshold: float | None
    balanced_accuracy_at_threshold: float | None
    metrics_all_videos: MetricSet | None = None
    balanced_accuracy_at_threshold_all_videos: float | None = None
    median_p_value_real: float | None = None
    median_p_value_fake: float | None = None
    n_scored: int
    n_abstained: int
    n_failed: int
    coverage_real: float | None
    coverage_fake: float | None
    reals_from: str | None
    dataset: str
    compression: str | None

    @property
    def reasons(self) -> dict[str, str]:
        """Why each column of `to_dict` that is None is so."""
        possible = self._reasons_if_missing()
        return {name: possible[name] for name, value in self._columns().items() if value is None}

    def to_dict(self) -> dict[str, Cell | dict[str, str]]:
        """Flat columns of JSON's types, and `reasons`."""
        return {**self._columns(), "reasons": self.reasons}

    def _columns(self) -> dict[str, Cell]:
        columns: dict[str, Cell] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "metrics":
                for name in METRICS:
                    columns[name] = getattr(value, name, None)
                    columns |= self._ends(name)
            elif field.name == "metrics_all_videos":
                columns |= {f"{name}{ALL_VIDEOS}": getattr(value, name, None) for name in METRICS}
            elif field.name != "intervals":
                columns[field.name] = value
                columns |= self._ends(field.name)
        any_interval = self.intervals["auc"]
        columns["bootstrap_resamples_used"] = any_interval.resamples_used
        columns["bootstrap_resamples_undefined"] = any_interval.resamples_undefined
        return columns

    def _ends(self, name: str) -> dict[str, Cell]:
        interval = self.intervals.get(name)
        return {} if interval is None else {f"{name}_low": interval.low, f"{name}_high": interval.high}

    def _reasons_if_missing(self) -> dict[str, str]:
        no_real = f"no real {self.level} was scored"
        no_fake = f"no fake {self.level} was scored"
        if self.reals_from is None:
            no_real = "the domain has no real video, and there is none its fakes were made of"
        one_class = no_fake if self.n_real else no_real
        no_class_at_all = "there is no fake video" if self.reals_from else no_real
        of_videos = None if self.level == "video" else f"a figure of videos, not of {self.level}s"
        no_threshold = of_videos or ("the score has no threshold" if self.threshold is None else None)
        no_p_value = of_videos or "not every scored video has a p-value"
        return {
            "compression": "the dataset has no qualities",
            "reals_from": no_real,
            "coverage_real": "there is no real video",
            "coverage_fake": "there is no fake video",
            "threshold": no_threshold or "",
            "false_positive_rate_at_threshold": no_threshold or no_real,
            "true_positive_rate_at_threshold": no_threshold or no_fake,
            AT_THRESHOLD: no_threshold or one_class,
            f"{AT_THRESHOLD}{ALL_VIDEOS}": no_threshold or no_class_at_all,
            "median_p_value_real": no_p_value if self.n_real else no_real,
            "median_p_value_fake": no_p_value if self.n_fake else no_fake,
            **dict.fromkeys(METRICS, one_class),
            **dict.fromkeys((f"{name}{ALL_VIDEOS}" for name in METRICS), of_videos or no_class_at_all),
            **{
                f"{name}_{end}": (name == AT_THRESHOLD and no_threshold) or interval.reason or one_class
                for name, interval in self.intervals.items()
                for end in ("low", "high")
            },
        }
