"""Diagnostics: a fitted density and real videos in, what it is worth beside other mixtures and on other reals out.

Fakes are never read here.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_catalog.fingerprints import digest_names, fingerprint
from difffake.detector import DENSITY
from difffake.differential.density import DensityModel, load_density
from difffake.differential.diagnostics import (
    STAGE_VERSION,
    Grid,
    GridCell,
    HeldOut,
    convergence,
    grid_warnings,
    held_out_scores,
    likelihood_grid,
)
from difffake.differential.drift import HELD_OUT, QUANTILES, DriftRow, RealScores, Scores, drift_warnings, score_drift
from difffake.evaluation.diagnostics_figure import diagnostics_figure
from difffake.evaluation.plot_style import png
from difffake.randomness import derive_rng
from tasks.density import STAGE as DENSITY_STAGE
from tasks.experiment import ROLES, Experiment, StageRecord, made, progress, reused, stage_task
from tasks.pairs import read_pairs
from tasks.vectors import VideoVectors, read_vectors

STAGE = "diagnostics"
GRID_TABLE = "density_grid.csv"
DRIFT_TABLE = "density_drift.csv"
FIGURE = "density_diagnostics.png"


@stage_task(STAGE)
def examine(
    experiment: Experiment, extraction: str, embeddings: StageRecord, pairs: StageRecord, fitted: StageRecord
) -> StageRecord:
    """Compare the density with other mixtures on unseen people, and its reals with other reals."""
    config = experiment.config
    people = _people(experiment)
    rows = _real_rows(experiment, extraction, pairs, people)
    inputs = {
        "density": fitted.digest,
        "settings": fingerprint(DENSITY_STAGE, 1, config.density, {}),
        "backbone": embeddings.fingerprint,
        "rows": digest_names(f"{row} {people[row['video_key']]}" for row in rows.to_pylist()),
        "seed": config.seed,
    }
    name = fingerprint(STAGE, STAGE_VERSION, config.diagnostics, inputs)
    store = experiment.home.artefacts
    found = store.find(STAGE, name)
    if found is not None and STAGE not in experiment.force:
        return reused(STAGE, name, found, _summary(found.facts))
    model = load_density(store.require(DENSITY_STAGE, fitted.fingerprint).path(DENSITY))
    own = _vectors(experiment, embeddings, rows.filter(pc.is_in(rows["role"], pa.array(config.density.fit_on))))
    groups = np.array([people[key] for key in own.video_keys])
    with progress(STAGE, "mixtures") as report:
        grid = likelihood_grid(own.values, groups, config.diagnostics, config.density, config.seed, report)
    held_out = held_out_scores(own.values, groups, config.diagnostics, config.density, config.seed)
    scored = _groups(experiment, embeddings, model, rows, people, own, held_out)
    drift = score_drift(-model.log_likelihood(own.values), held_out.scores, scored)
    facts = _facts(config.density.fit_on, model, grid, held_out, drift)
    with store.staging(STAGE, name) as folder:
        columns = [column.name for column in fields(GridCell)]
        _write_table(columns, [_flat_cell(cell) for cell in grid.cells], folder / GRID_TABLE)
        flat = [_flat(row) for row in drift]
        _write_table(list(flat[0]), flat, folder / DRIFT_TABLE)
        figure = diagnostics_figure(
            grid, facts["convergence"], facts["weights"], drift, config.density.fit_on, facts["held_out"]
        )
        (folder / FIGURE).write_bytes(png(figure))
        artefact = store.publish(folder, STAGE, name, facts)
    return made(STAGE, name, artefact, _summary(facts))


def _people(experiment: Experiment) -> dict[str, str]:
    """The person of every real video that has a role."""
    roles = experiment.roles()
    reals = roles.filter(pc.equal(roles["label"], "real"))
    return dict(zip(reals["video_key"].to_pylist(), reals["identity"].to_pylist(), strict=True))


def _real_rows(experiment: Experiment, extraction: str, pairs: StageRecord, people: dict[str, str]) -> pa.Table:
    """The pairs of real videos, or their faces where the density is fitted on single embeddings."""
    if experiment.config.density.features == "embedding":
        rows = experiment.usable_faces(extraction)
    else:
        rows = read_pairs(experiment, pairs.fingerprint, extraction)
    return rows.filter(pc.is_in(rows["video_key"], pa.array(list(people), pa.string())))


def _vectors(experiment: Experiment, embeddings: StageRecord, rows: pa.Table) -> VideoVectors:
    return read_vectors(experiment, embeddings.fingerprint, rows, rows)


def _groups(
    experiment: Experiment,
    embeddings: StageRecord,
    model: DensityModel,
    rows: pa.Table,
    people: dict[str, str],
    own: VideoVectors,
    held_out: HeldOut,
) -> Iterator[RealScores]:
    """Scores by dataset and role, of at most so many vectors; those of held-out people after the density's own.

    Other roles that show nothing but the density's own videos are left out.
    """
    fit_on = experiment.config.density.fit_on
    for dataset in sorted(experiment.names):
        is_of_dataset = pc.starts_with(rows["video_key"], f"{dataset}/")
        for role in ROLES:
            chosen = rows.filter(pc.and_(is_of_dataset, pc.equal(rows["role"], role)))
            is_new = bool(set(chosen["video_key"].to_pylist()) - set(own.video_keys.tolist()))
            if is_new or (chosen.num_rows and role in fit_on):
                chosen = _sample(experiment, chosen, f"{dataset}/{role}")
                vectors = _vectors(experiment, embeddings, chosen)
                yield _real_scores(dataset, role, -model.log_likelihood(vectors.values), vectors.video_keys, people)
            is_own = np.char.startswith(own.video_keys, f"{dataset}/")
            if role == fit_on[-1] and held_out.scores.size and is_own.any():
                yield _real_scores(dataset, HELD_OUT, held_out.scores[is_own], own.video_keys[is_own], people)


def _sample(experiment: Experiment, rows: pa.Table, name: str) -> pa.Table:
    most = experiment.config.diagnostics.most_vectors
    if rows.num_rows <= most:
        return rows
    chosen = derive_rng(experiment.config.seed, STAGE, name).choice(rows.num_rows, most, replace=False)
    return rows.take(pa.array(np.sort(chosen)))


def _real_scores(dataset: str, role: str, scores: Scores, video_keys: Any, people: dict[str, str]) -> RealScores:
    videos = set(video_keys.tolist())
    return RealScores(dataset, role, scores, len(videos), len({people[key] for key in videos}))


def _facts(
    fit_on: Sequence[str], model: DensityModel, grid: Grid, held_out: HeldOut, drift: Sequence[DriftRow]
) -> dict[str, Any]:
    return {
        "grid": [asdict(cell) for cell in grid.cells],
        "grid_vectors": grid.vectors,
        "grid_dimensions": grid.dimensions,
        "grid_folds": grid.folds,
        "grid_reason": grid.reason,
        "best": asdict(grid.best) if grid.best is not None else None,
        "training": model.facts_.mean_log_likelihood,
        "held_out": -float(held_out.scores.mean()) if held_out.scores.size else None,
        "held_out_reason": held_out.reason,
        "convergence": list(convergence(model)),
        "weights": list(getattr(model.facts_, "weights", ())),
        "drift": [asdict(row) for row in drift],
        "warnings": [*model.facts_.warnings, *grid_warnings(grid, held_out), *drift_warnings(drift, fit_on)],
    }


def _flat_cell(cell: GridCell) -> dict[str, Any]:
    return asdict(cell) | {"held_out_by_fold": " ".join(str(value) for value in cell.held_out_by_fold)}


def _flat(row: DriftRow) -> dict[str, Any]:
    columns = asdict(row)
    quantiles = columns.pop("quantiles")
    return columns | {f"quantile_{share:.2f}": value for share, value in zip(QUANTILES, quantiles, strict=True)}


def _write_table(columns: Sequence[str], rows: Sequence[dict[str, Any]], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def _summary(facts: dict[str, Any]) -> str:
    best = facts["best"]
    if best is None:
        return f"no mixture compared: {facts['grid_reason'] or 'none could be fitted'}"
    text = (
        f"unseen people likeliest under {best['components']} {best['covariance']}: {best['held_out']:.4g} nats a vector"
    )
    return text if facts["held_out"] is None else f"{text}, configured density {facts['held_out']:.4g}"
