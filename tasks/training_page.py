"""The page of a training: verdict, figures, errors, configuration and data as one HTML file."""

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib.metadata import version
from pathlib import Path
from typing import Any

from data_catalog.schemas import TableName
from difffake.config import ExperimentConfig
from difffake.evaluation.plot_style import number
from difffake.evaluation.results import OVERALL
from difffake.evaluation.verdict import verdict
from tasks import backbone, calibration, evaluation, pseudo_fakes
from tasks.experiment import Experiment, StageRecord
from tasks.page import Listing, Provenance, Table, Tile, inline, png_width_px, render
from tasks.tracking import flatten
from tasks.training_facts import PairView, Row, WorstErrors, WrongVideo

_PACKAGES = ("difffake", "torch", "timm", "scikit-learn", "numpy", "opencv-python-headless", "av", "mlflow", "prefect")
_MOST_LISTED = 200
_PIXELS_PER_CSS_PIXEL = 1.5
"""Figures are drawn at 150 dots an inch, and stay sharp on fine screens."""


@dataclass(frozen=True)
class Section:
    """Some figures under one heading, by their files' names or patterns of them."""

    title: str
    note: str
    names: tuple[str, ...]


RESULTS = Section(
    "How well it tells fakes from reals",
    "Fakes and reals are compared within a domain (dataset and quality); intervals are over people.",
    (evaluation.ROC, evaluation.AUCS),
)
SCORES = Section(
    "How the scores lie",
    "Every video is a dot, many are a histogram too; higher is more anomalous.",
    ("scores*.png",),
)
ROBUSTNESS = Section(
    "What disturbs it", "The same test videos, perturbed, under the same detector.", ("robustness*.png",)
)
CALIBRATION = Section(
    "What a score means",
    "Held-out real videos turn a score into a p-value: the share of reals at least as anomalous.",
    (calibration.FIGURE, evaluation.FALSE_POSITIVES, evaluation.EXAMPLES),
)
LEARNING = Section(
    "What it learnt from, and how",
    "Pseudo-fakes are made of real training faces alone; fresh ones every epoch, these are examples.",
    (pseudo_fakes.SHEET, backbone.CURVES),
)
DENSITY = Section("The density of natural change", "No fake is read here.", ("density*.png", "diagnostics*.png"))
SECTIONS = (RESULTS, SCORES, ROBUSTNESS, CALIBRATION, LEARNING, DENSITY)

_RESULT_HEAD = (
    "domain", "fakes", "score", "real", "fake", "people", "AUC [interval]", "AP", "EER", "TPR at 1 %", "5 %", "10 %",
    "bal. acc.", "scored",
)  # fmt: skip


def render_training(
    experiment: Experiment,
    records: Mapping[str, StageRecord],
    cautions: Sequence[str],
    figures: Sequence[Path],
    videos: Sequence[Row],
    errors: WorstErrors,
    provenance: Provenance,
) -> str:
    """The whole page as HTML.

    Args:
        experiment: what was run.
        records: what its stages did.
        cautions: warnings of the stages, in words.
        figures: PNG files of the stages; those this page knows stand in their sections, others at the end.
        videos: the test videos with their scores.
        errors: the worst of them.
        provenance: where the page comes from.
    """
    config = experiment.config
    rows = records["evaluation"].facts["groups"]
    stated = records["calibration"].facts["stated_false_positive_rate"]
    pictures = [path for path in figures if path.suffix == ".png"]
    return render(
        "training_report.html.j2",
        name=config.name,
        names=experiment.names,
        verdict=verdict(rows, stated, config.evaluation.confidence),
        tiles=_tiles(rows, stated),
        cautions=cautions,
        results=_results(row for row in rows if row["level"] == "video"),
        samples=_results(row for row in rows if row["level"] != "video"),
        sections=[*_sections(pictures)],
        errors=[
            ("Reals it finds most anomalous", "accused", [_error(video) for video in errors.reals]),
            ("Fakes it finds most natural", "missed", [_error(video) for video in errors.fakes]),
        ],
        unscored=_unscored(videos),
        stages=_stages(records),
        changed=_settings(config, only_changed=True),
        settings=_settings(config, only_changed=False),
        datasets=_datasets(experiment),
        versions=[(table.value, experiment.lake.version(table)) for table in TableName],
        lake=str(experiment.lake.folder),
        seed=config.seed,
        packages=[(package, version(package)) for package in _PACKAGES],
        machine=f"Python {platform.python_version()}, {platform.platform()}, {os.cpu_count()} processors",
        provenance=provenance,
    )


def _tiles(rows: Sequence[Row], stated: float) -> list[Tile]:
    overall = [row for row in rows if row["level"] == "video" and row["group"] == OVERALL]
    head = overall[0]
    tiles = [
        Tile(f"AUC, {row['score']}", _number(row["auc"]), "", _interval(row) or "no interval")
        for row in overall
        if row["domain"] == head["domain"]
    ]
    counted = f"{head['n_real']} real, {head['n_fake']} fake, {head['n_identities']} people"
    tiles.append(Tile("test videos", f"{head['n_real'] + head['n_fake']:,}", "", counted))
    if head["false_positive_rate_at_threshold"] is not None:
        accused, found = head["false_positive_rate_at_threshold"], head["true_positive_rate_at_threshold"]
        tiles.append(Tile("reals accused", f"{accused:.0%}", "", f"{stated:.0%} promised"))
        tiles.append(Tile("fakes found", "–" if found is None else f"{found:.0%}", "", "at that threshold"))
    return tiles


def _results(rows: Iterable[Row]) -> Table:
    lines = []
    for row in rows:
        place = row["domain"] if row["in_domain"] else f"{row['domain']} (out-of-domain)"
        borrowed = row["reals_from"] not in (None, row["domain"])
        lines.append(
            (
                place,
                "all" if row["group"] == OVERALL else row["group"],
                row["score"] if row["level"] == "video" else f"{row['score']}, by {row['level']}",
                f"{row['n_real']} of {row['reals_from']}" if borrowed else row["n_real"],
                row["n_fake"],
                row["n_identities"],
                f"{_number(row['auc'])} {_interval(row)}".strip(),
                *(_number(row[name]) for name in ("average_precision", "equal_error_rate")),
                *(_number(row[f"true_positive_rate_at_{rate}_percent"]) for rate in (1, 5, 10)),
                _number(row["balanced_accuracy_at_threshold"]),
                _coverage(row),
            )
        )
    return Table(_RESULT_HEAD, lines, texts=3)


def _sections(pictures: Sequence[Path]) -> Iterable[tuple[Section, list[tuple[str, str, int]]]]:
    """Each section with its pictures, as (words, data, width), and one of all that no section knows."""
    left = list(pictures)
    for section in SECTIONS:
        chosen = [path for name in section.names for path in left if fnmatch(path.name, name)]
        left = [path for path in left if path not in chosen]
        # The results have a table as well.
        if chosen or section is RESULTS:
            yield section, [_picture(path) for path in chosen]
    if left:
        yield Section("More figures", "", ()), [_picture(path) for path in left]


def _picture(path: Path) -> tuple[str, str, int]:
    png = path.read_bytes()
    return path.stem.replace("_", " "), inline(png), round(png_width_px(png) / _PIXELS_PER_CSS_PIXEL)


def _error(wrong: WrongVideo) -> dict[str, Any]:
    video = wrong.video
    return {
        "video": video,
        "is_wrong": None if video["is_anomalous"] is None else video["is_anomalous"] == (video["label"] == "real"),
        "score": number(video["score"]),
        "p_value": _number(video["p_value"]),
        "fake_probability": _number(video["fake_probability"]),
        "ends": [(words, _pairs(views)) for words, views in (("least natural", wrong.least_natural),
                                                             ("most natural", wrong.most_natural))],
    }  # fmt: skip


def _pairs(views: Sequence[PairView]) -> list[tuple[str, str]]:
    return [(inline(view.jpeg), number(view.log_likelihood)) for view in views]


def _unscored(videos: Sequence[Row]) -> Listing:
    missing = [video for video in videos if video["status"] != "scored"]
    rows = [(video["status"], video["label"], video["video_key"], video["reason"]) for video in missing]
    table = Table(("status", "label", "video", "reason"), rows[:_MOST_LISTED], texts=4)
    return Listing("Test videos without a score", table, len(rows))


def _stages(records: Mapping[str, StageRecord]) -> Table:
    head = ("stage", "fingerprint", "digest", "outcome", "what", "seconds")
    rows = [
        (stage, one.fingerprint, one.digest, "reused" if one.reused else "done", one.summary, f"{one.seconds:.1f}")
        for stage, one in records.items()
    ]
    return Table(head, rows, texts=5)


def _settings(config: ExperimentConfig, *, only_changed: bool) -> Table:
    """Dotted keys with their values and the paper's; the datasets have a table of their own."""
    values = flatten(config.model_dump(mode="json", exclude={"name", "datasets"}))
    defaults = flatten(ExperimentConfig().model_dump(mode="json"))
    rows = [
        (key, _setting(value), _setting(defaults.get(key)))
        for key, value in values.items()
        if not only_changed or value != defaults.get(key)
    ]
    return Table(("key", "value", "the paper's"), rows, texts=3)


def _datasets(experiment: Experiment) -> Table:
    rows = [
        (dataset.name, dataset.adapter, dataset.root, _setting(dataset.model_dump(mode="json")["roles"]))
        for dataset in experiment.datasets
    ]
    return Table(("dataset", "layout", "folder", "roles"), rows, texts=4)


def _setting(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "true" if value else "false"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}".replace("-", "−")


def _interval(row: Row) -> str:
    low, high = row["auc_low"], row["auc_high"]
    return f"[{low:.3f}, {high:.3f}]" if low is not None and high is not None else ""


def _coverage(row: Row) -> str:
    total = row["n_scored"] + row["n_abstained"] + row["n_failed"]
    return f"{row['n_scored']} of {total}"
