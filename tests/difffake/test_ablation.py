import itertools
from pathlib import Path

import pytest
import yaml

from difffake.ablation import BASE, Ablation, load_ablation, plan_cells, plan_runs, show_differences, stage_keys
from difffake.config import ExperimentConfig
from difffake.errors import ConfigError

ABLATIONS = Path(__file__).resolve().parents[2] / "configs" / "ablations"


def ablation(**content: object) -> Ablation:
    return Ablation.model_validate({"name": "study", "base": ExperimentConfig(), "seeds": [0]} | content)


def names(plan: Ablation) -> list[str]:
    return [cell.name for cell in plan_cells(plan)]


def test_one_at_a_time_is_the_base_and_each_change_alone() -> None:
    plan = ablation(axes={"density.components": [1, 5], "backbone.model": ["resnet50"]})
    assert names(plan) == [BASE, "density.components=1", "density.components=5", "backbone.model=resnet50"]
    last = plan_cells(plan)[-1]
    assert last.config.backbone.model == "resnet50"
    assert last.config.density.components == 3
    assert last.differences == {"backbone.model": "resnet50"}
    assert last.config.name == "study"
    assert not last.config.diagnostics.enabled


def test_a_grid_is_all_combinations_beside_the_base() -> None:
    plan = ablation(mode="grid", axes={"density.components": [1, 2], "density.covariance": ["diag", "tied", "full"]})
    cells = plan_cells(plan)
    assert len(cells) == 1 + 2 * 3
    found = {(cell.config.density.components, cell.config.density.covariance) for cell in cells}
    assert found == {(3, "full")} | {(k, shape) for k in (1, 2) for shape in ("diag", "tied", "full")}
    assert cells[1].name == "density.components=1, density.covariance=diag"


def test_named_variants_change_several_keys_at_once_and_whole_mappings() -> None:
    variants = {
        "sbi": {"pseudo_fakes.mask_weights": {"full_face": 1.0}},
        "grey": {"pseudo_fakes.colour_strength": "strong", "pseudo_fakes.scale": 0.9},
        "as_is": {},
    }
    base, sbi, grey = plan_cells(ablation(axes={"masks": variants}))
    assert base.merged == ("masks=as_is",)
    assert sbi.config.pseudo_fakes.mask_weights == {"full_face": 1.0}
    assert show_differences(grey.differences) == "pseudo_fakes.colour_strength=strong, pseudo_fakes.scale=0.9"


def test_cells_with_equal_results_are_one() -> None:
    # The base's value; a setting of a model that is not chosen; a field results do not depend on.
    axes = {
        "density.components": [3],
        "density.neighbours": [7],
        "backbone.embed_batch": [8],
        "density.covariance": ["diag"],
    }
    base, diag = plan_cells(ablation(axes=axes))
    assert base.merged == ("density.components=3", "density.neighbours=7", "backbone.embed_batch=8")
    assert diag.merged == ()


def test_every_faulty_cell_is_named_with_its_key_at_once() -> None:
    axes = {
        "density.components": [1, 0],
        "density.componets": [1],
        "masks": {"none": {"pseudo_fakes.mask_weights": {}}},
    }
    with pytest.raises(ConfigError) as caught:
        plan_cells(ablation(axes=axes))
    text = str(caught.value)
    assert "cell 'density.components=0' does not validate:\n  density.components: Input should be greater" in text
    assert "cell 'density.componets=1' does not validate:\n  density.componets: unknown key" in text
    assert "cell 'masks=none'" in text
    assert "density.components=1'" not in text


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"seed": [1, 2]}, "seed cannot be varied: list the seeds under `seeds`"),
        ({"runner.workers": [1]}, "runner.workers cannot be varied: results do not depend on it"),
        ({"diagnostics.folds": [2]}, "cells are compared by their scores"),
        ({"seed_of.x": [1]}, "seed_of: unknown key"),
        ({"density.model.x": [1]}, "density.model.x: model is a value, not a section"),
    ],
)
def test_what_cannot_be_varied_is_refused(axes: dict[str, list[object]], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_cells(ablation(axes=axes))
    assert message in str(caught.value)


def test_a_grid_refuses_two_axes_that_set_one_key() -> None:
    with pytest.raises(ConfigError, match=r"b=y sets density\.nu, which another axis sets too"):
        plan_cells(ablation(mode="grid", axes={"a": {"x": {"density.nu": 0.1}}, "b": {"y": {"density.nu": 0.2}}}))


def test_runs_that_share_stages_follow_one_another_and_make_only_what_is_new() -> None:
    plan = ablation(seeds=[0, 1], axes={"backbone.epochs": [2], "density.components": [1], "faces.crop_size_px": [96]})
    runs = plan_runs(plan)
    assert len(runs) == 2 * 4
    whole = ("faces", "pseudo_fakes", "backbone", "embeddings", "pairs", "density", "fusion", "calibration",
             "evaluation")  # fmt: skip
    makes = {run.label: run.makes for run in runs}
    assert makes["base, seed 0"] == whole
    assert makes["base, seed 1"] == whole[1:]
    assert makes["density.components=1, seed 1"] == whole[5:]
    assert makes["backbone.epochs=2, seed 0"] == ("backbone", "embeddings", *whole[5:])
    assert makes["faces.crop_size_px=96, seed 0"] == whole
    for stage in ("faces", "backbone"):
        keys = [stage_keys(run.config)[stage] for run in runs]
        changes = sum(before != after for before, after in itertools.pairwise(keys))
        assert changes == len(set(keys)) - 1, f"runs that share {stage} are apart"


def test_a_pair_setting_leaves_the_backbone_alone_unless_it_chooses_faces() -> None:
    keys = [
        stage_keys(ExperimentConfig.model_validate({"pairs": pairs}))
        for pairs in ({}, {"pool_size": 4}, {"min_track_share": 0.5})
    ]
    assert keys[0]["backbone"] == keys[1]["backbone"] != keys[2]["backbone"]
    assert len({key["pairs"] for key in keys}) == 3


def test_a_file_names_its_base_beside_it_and_takes_name_and_seed_from_them(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("seed: 7\ndensity: {components: 2}\n")
    folder = tmp_path / "ablations"
    folder.mkdir()
    path = folder / "shape.yaml"
    path.write_text(yaml.safe_dump({"base": "../base.yaml", "axes": {"density.covariance": ["diag"]}}))
    plan = load_ablation(path)
    assert (plan.name, plan.seeds, plan.base.density.components) == ("shape", (7,), 2)
    # As a deployment hands it to the flow.
    assert Ablation.model_validate_json(plan.model_dump_json()) == plan


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"axes": {"density.nu": [0.1]}}, "must name the experiment it varies, as base: FILE"),
        ({"base": "missing.yaml", "axes": {"density.nu": [0.1]}}, "cannot read the configuration"),
        ({"base": "base.yaml"}, "axes: Field required"),
        ({"base": "base.yaml", "axes": {"density.nu": 0.1}}, "'density.nu' must be a list of values"),
        ({"base": "base.yaml", "axes": {"masks": {"a": 3}}}, "'masks' must be a list of values"),
        ({"base": "base.yaml", "axes": {"density.nu": [0.1]}, "seeds": [1, 1]}, "a seed is listed twice"),
        ({"base": "base.yaml", "axes": {"density.nu": [0.1]}, "sedes": [1]}, "sedes: Extra inputs are not permitted"),
    ],
)
def test_a_faulty_file_is_one_clear_message(tmp_path: Path, content: dict[str, object], message: str) -> None:
    (tmp_path / "base.yaml").write_text("seed: 0\n")
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError) as caught:
        load_ablation(path)
    assert message in str(caught.value)


@pytest.mark.parametrize("path", sorted(ABLATIONS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_ablations_that_come_with_the_package_are_valid(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FACEFORENSICS_ROOT", "REALS_ROOT", "DFDC_ROOT", "UADFV_ROOT"):
        monkeypatch.setenv(name, "/nowhere")
    runs = plan_runs(load_ablation(path))
    cells = {run.cell.name: run.cell for run in runs}
    assert len(cells) > 5
    # What is equal is the value the base has, one on each axis; every other change is a cell of its own.
    assert all(len(cell.merged) <= 1 for name, cell in cells.items() if name != "base")
