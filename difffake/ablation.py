"""An ablation as data: one experiment, the changes made to it, and the runs that follow, in their order."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, ValidationError, field_validator

from difffake.config import ExperimentConfig, Section, StageName, load_config, parse_config, read_mapping
from difffake.errors import ConfigError

BASE = "base"
"""The cell without a change."""

Overrides: TypeAlias = dict[str, Any]
"""Dotted key of `ExperimentConfig` → value."""

_GIVEN_OTHERWISE = {
    "name": "the ablation's own `name` is used",
    "seed": "list the seeds under `seeds`",
    "datasets": "every cell is judged on the same datasets: those of the base file, or of --dataset and --root",
    "promotion": "cells are compared with each other, none is registered",
    "runner": "results do not depend on it",
    "diagnostics": "cells are compared by their scores; examine a density with `difffake run`",
    "robustness": "cells are judged on the videos as they are; `difffake run` perturbs them",
}


class Ablation(Section):
    """What is varied around one experiment."""

    name: str = Field(pattern="^[A-Za-z0-9_.-]+$", description="Names the MLflow experiment and the report.")
    base: ExperimentConfig = Field(description="In the file: path of the experiment, relative to the file.")
    mode: Literal["one_at_a_time", "grid"] = Field(
        "one_at_a_time", description="one_at_a_time: the base and each change alone; grid: all combinations."
    )
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**31)], ...] = Field(
        min_length=1, description="Every cell is run with each; default: the base's seed."
    )
    axes: dict[str, dict[str, Overrides]] = Field(
        min_length=1,
        description="In the file: a dotted key with a list of values, or any name with named variants, each a mapping "
        "of dotted keys to values.",
    )

    @field_validator("axes", mode="before")
    @classmethod
    def _name_every_value(cls, axes: Any) -> Any:
        if not isinstance(axes, Mapping):
            raise ValueError("must be a mapping of axes")  # noqa: TRY004 - what pydantic reports
        return {str(axis): _named_values(str(axis), values) for axis, values in axes.items()}

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed is listed twice")
        return seeds


@dataclass(frozen=True)
class Cell:
    """One configuration of an ablation, to be run with every seed.

    Attributes:
        name: base, or what was chosen on each axis.
        differences: dotted key → value, where the configuration differs from the base's.
        config: validated, with the base's seed.
        merged: other names under which the same results were asked for.
    """

    name: str
    differences: Mapping[str, Any]
    config: ExperimentConfig
    merged: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlannedRun:
    """A cell under one seed.

    Attributes:
        cell: the cell.
        config: its configuration with the seed.
        makes: stages no earlier run of the plan makes; the others are shared.
    """

    cell: Cell
    config: ExperimentConfig
    makes: tuple[StageName, ...]

    @property
    def label(self) -> str:
        """Cell and seed."""
        return f"{self.cell.name}, seed {self.config.seed}"


def load_ablation(path: Path) -> Ablation:
    """Read and validate one ablation file, and the experiment it names.

    Raises:
        ConfigError: a file is missing or is no YAML mapping, or a key or value is not allowed.
    """
    content = read_mapping(path)
    if not isinstance(content.get("base"), str):
        raise ConfigError(f"{path} must name the experiment it varies, as base: FILE, relative to it")
    base = load_config(path.parent / content["base"])
    try:
        return Ablation.model_validate({"name": path.stem, "seeds": [base.seed]} | content | {"base": base})
    except ValidationError as error:
        faults = "\n".join(f"  {'.'.join(str(p) for p in f['loc'])}: {f['msg']}" for f in error.errors())
        raise ConfigError(f"{path} does not validate:\n{faults}") from error


def plan_cells(ablation: Ablation) -> tuple[Cell, ...]:
    """The base and every other cell, validated; cells that would give the same results are one.

    Raises:
        ConfigError: some cells are not allowed; names each with its key.
    """
    cells: dict[str, Cell] = {}
    faults: list[str] = []
    for name, overrides in _combinations(ablation):
        try:
            cell = _cell(ablation, name, overrides)
        except ConfigError as error:
            faults.append(str(error))
            continue
        key = json.dumps(_leaves(cell.config, is_effective=True))
        known = cells.get(key)
        cells[key] = cell if known is None else _merge(known, cell.name)
    if faults:
        raise ConfigError("\n".join(faults))
    return tuple(cells.values())


def plan_runs(ablation: Ablation) -> tuple[PlannedRun, ...]:
    """Every cell under every seed, ordered so that runs which share stages follow one another.

    Raises:
        ConfigError: as `plan_cells`.
    """
    wanted = [
        (cell, cell.config.model_copy(update={"seed": seed}))
        for cell in plan_cells(ablation)
        for seed in ablation.seeds
    ]
    keys = [stage_keys(config) for _, config in wanted]
    first = {stage: _ranks([key[stage] for key in keys]) for stage in keys[0]}
    order = sorted(range(len(wanted)), key=lambda run: [first[stage][key] for stage, key in keys[run].items()])
    made: set[tuple[StageName, str]] = set()
    runs = []
    for run in order:
        new = tuple(stage for stage, key in keys[run].items() if (stage, key) not in made)
        made |= {(stage, keys[run][stage]) for stage in new}
        runs.append(PlannedRun(*wanted[run], makes=new))
    return tuple(runs)


def stage_keys(config: ExperimentConfig) -> dict[StageName, str]:
    """Stage → text that is equal where two configurations of an ablation share the stage's result.

    Stages find results again by fingerprint, which also covers data and code; this is the part a plan can know.
    """
    effective = _leaves(config, is_effective=True)

    def of(*sections: str) -> list[Any]:
        return [[key, value] for key, value in effective.items() if key.partition(".")[0] in sections]

    usable_faces = [*of("data", "faces"), config.pairs.min_track_share]
    pseudo_fakes = [*usable_faces, config.seed, *of("pseudo_fakes"), config.backbone.validation_fakes_per_video]
    backbone = [*pseudo_fakes, *of("backbone")]
    pairs = [*usable_faces, config.seed, *of("pairs")]
    density = [backbone, pairs, of("density")]
    if config.density.against != "nothing":
        density.append(of("fusion"))
    fusion = [density, of("fusion")]
    calibration = [fusion, of("calibration")]
    # Whatever else there is comes after the detector.
    evaluation = [calibration, list(effective.items())]
    keys: dict[StageName, Any] = {
        "faces": of("data", "faces"),
        "pseudo_fakes": pseudo_fakes,
        "backbone": backbone,
        "embeddings": backbone,
        "pairs": pairs,
        "density": density,
        "fusion": fusion,
        "calibration": calibration,
        "evaluation": evaluation,
    }
    return {stage: json.dumps(key) for stage, key in keys.items()}


def show_differences(differences: Mapping[str, Any]) -> str:
    """Changed keys in one line."""
    return ", ".join(f"{key}={_label(value)}" for key, value in differences.items()) or "–"


def _named_values(axis: str, values: Any) -> dict[str, Overrides]:
    if isinstance(values, list) and values:
        return {_label(value): {axis: value} for value in values}
    if isinstance(values, Mapping) and values:
        named = {str(name): {} if overrides is None else overrides for name, overrides in values.items()}
        if all(isinstance(overrides, Mapping) for overrides in named.values()):
            return {name: {str(key): value for key, value in overrides.items()} for name, overrides in named.items()}
    raise ValueError(
        f"{axis!r} must be a list of values of the key it names, or named variants (name: {{key: value}}), "
        f"not {values!r:.80}"
    )


def _combinations(ablation: Ablation) -> Iterator[tuple[str, Overrides]]:
    yield BASE, {}
    choices = [
        [(f"{axis}={name}", overrides) for name, overrides in values.items()] for axis, values in ablation.axes.items()
    ]
    if ablation.mode == "one_at_a_time":
        yield from (choice for axis in choices for choice in axis)
        return
    for chosen in product(*choices):
        yield ", ".join(name for name, _ in chosen), _joined(chosen)


def _joined(chosen: Sequence[tuple[str, Overrides]]) -> Overrides:
    joined: Overrides = {}
    for name, overrides in chosen:
        if doubles := sorted(set(joined) & set(overrides)):
            raise ConfigError(f"{name} sets {doubles[0]}, which another axis sets too; in a grid each key has one axis")
        joined |= overrides
    return joined


def _cell(ablation: Ablation, name: str, overrides: Overrides) -> Cell:
    content = ablation.base.model_dump(mode="json")
    content |= {"name": ablation.name, "diagnostics": content["diagnostics"] | {"enabled": False}}
    for key, value in overrides.items():
        _override(content, key, value, name)
    config = parse_config(content, source=f"cell {name!r}")
    before = _leaves(ablation.base, is_effective=False)
    after = _leaves(config, is_effective=False)
    differences = {key: value for key, value in after.items() if before[key] != value}
    return Cell(name, differences, config)


def _override(content: dict[str, Any], key: str, value: Any, cell: str) -> None:
    *sections, last = key.split(".")
    top = (sections or [last])[0]
    if reason := _GIVEN_OTHERWISE.get(top):
        raise ConfigError(f"cell {cell!r}: {key} cannot be varied: {reason}")
    place = content
    for section in sections:
        place = place.setdefault(section, {})
        if not isinstance(place, dict):
            raise ConfigError(f"cell {cell!r}: {key}: {section} is a value, not a section")
    place[last] = value


def _merge(known: Cell, name: str) -> Cell:
    return Cell(known.name, known.differences, known.config, (*known.merged, name))


def _leaves(section: Section, *, is_effective: bool, prefix: str = "") -> dict[str, Any]:
    """Dotted key → JSON value of all an ablation may vary, or of what the results of this configuration depend on."""
    without = set(section.without_effect()) if is_effective else set()
    if not prefix:
        without |= set(_GIVEN_OTHERWISE)
    leaves: dict[str, Any] = {}
    for name, content in section.model_dump(mode="json", exclude=without).items():
        value = getattr(section, name)
        if isinstance(value, Section):
            leaves |= _leaves(value, is_effective=is_effective, prefix=f"{prefix}{name}.")
        else:
            leaves[f"{prefix}{name}"] = content
    return leaves


def _ranks(keys: Sequence[str]) -> dict[str, int]:
    return {key: rank for rank, key in enumerate(dict.fromkeys(keys))}


def _label(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
