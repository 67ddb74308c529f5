"""`difffake ablate` as its users run it, on the home of a finished run: only the density and what follows is new."""

import csv
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run

from data_catalog.home import Home
from tests.flows.conftest import Bench

pytestmark = [pytest.mark.xdist_group("ablate"), pytest.mark.slow]

AXES = {
    "density.combination": ["squared", "absolute"],
    "size": {"too_large": {"density.model": "ppca", "density.subspace_dimensions": 5000}},
}


def study(bench: Bench, name: str, **content: object) -> Path:
    bench.config("base")
    path = bench.folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({"base": "base.yaml", **content}))
    return path


def ablate(bench: Bench, home: Path, config: Path, *more: str) -> subprocess.CompletedProcess[str]:
    data = [
        "--dataset",
        "faceforensics",
        "--root",
        str(bench.footage.root),
        "--identities",
        str(bench.footage.identities),
    ]
    return bench.call("ablate", "--config", str(config), *data, "--home", str(home), *more)


def rows(home: Path, name: str, file: str) -> list[dict[str, str]]:
    with (home / "reports" / name / file).open(encoding="utf-8") as table:
        return list(csv.DictReader(table))


def mlflow_runs(home: Path, name: str) -> tuple[Run, list[Run]]:
    client = MlflowClient(Home(home).mlflow_uri)
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert len(children) == len(runs) - 1
    return parent, children


@pytest.fixture(scope="module")
def ablated(bench: Bench, finished: tuple[Path, Any]) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A home whose ablation has a cell that works and one that asks for more dimensions than there are pairs."""
    home = bench.folder / "ablated"
    shutil.copytree(finished[0], home)
    return home, ablate(bench, home, study(bench, "study", axes=AXES))


def test_cells_are_compared_and_a_failed_one_is_a_row_with_its_reason(
    finished: tuple[Path, Any], ablated: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    home, run = ablated
    assert run.returncode == 1
    assert "Traceback" not in run.stderr + run.stdout
    table = rows(home, "study", "comparison.csv")
    assert {row["score"] for row in table} == {"differential", "fake_probability", "fusion"}
    compared = {row["cell"]: row for row in table if row["score"] == "differential"}
    assert list(compared) == ["base", "density.combination=absolute", "size=too_large"]
    base, absolute, failed = compared.values()
    stages = {"faces", "pseudo_fakes", "backbone", "embeddings", "pairs"}
    assert set(base["reused"].split()) >= stages | {"density", "evaluation"}
    assert set(absolute["reused"].split()) == stages
    assert float(absolute["difference_mean"]) == pytest.approx(float(absolute["auc_mean"]) - float(base["auc_mean"]))
    assert failed["auc_mean"] == ""
    assert "5000" in failed["reason"]
    assert failed["reason"].split(":")[0] in run.stdout

    # What reads the network alone does not change with the density, and the base is the finished run's configuration.
    alone = [row["auc_mean"] for row in table if row["score"] == "fake_probability"]
    assert alone[0] == alone[1]
    client = MlflowClient(Home(finished[0]).mlflow_uri)
    champion = client.get_run(client.get_model_version_by_alias("difffake", "champion").run_id)
    assert float(base["auc_mean"]) == champion.data.metrics["overall.auc"]


def test_every_cell_is_a_nested_run_and_nothing_is_registered(
    finished: tuple[Path, Any], ablated: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    home, _ = ablated
    parent, children = mlflow_runs(home, "study")
    status = {run.info.run_name: run.info.status for run in children}
    assert status == {
        "base, seed 0": "FINISHED",
        "density.combination=absolute, seed 0": "FINISHED",
        "size=too_large, seed 0": "FAILED",
    }
    absolute = next(run for run in children if "absolute" in run.info.run_name)
    assert absolute.data.params["density.combination"] == "absolute"
    assert "overall.auc" in absolute.data.metrics
    client = MlflowClient(Home(home).mlflow_uri)
    assert {item.path for item in client.list_artifacts(parent.info.run_id, "figures")} == {"figures/comparison.png"}
    assert "comparison.json" in {item.path for item in client.list_artifacts(parent.info.run_id)}
    assert "has seen the test fakes" in parent.data.tags["mlflow.note.content"]
    before = MlflowClient(Home(finished[0]).mlflow_uri).search_model_versions("name = 'difffake'")
    assert len(client.search_model_versions("name = 'difffake'")) == len(before)


def test_run_again_it_goes_on_in_the_same_runs_and_redoes_only_what_failed(
    bench: Bench, ablated: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    home = bench.folder / "ablated-again"
    shutil.copytree(ablated[0], home)
    before = rows(home, "study", "comparison.csv")
    densities = {path.name: path.stat().st_mtime_ns for path in (home / "artefacts" / "density").iterdir()}
    parent, children = mlflow_runs(home, "study")
    run = ablate(bench, home, study(bench, "study", axes=AXES))
    assert run.returncode == 1
    assert {path.name: path.stat().st_mtime_ns for path in (home / "artefacts" / "density").iterdir()} == densities
    assert rows(home, "study", "comparison.csv") == before
    parent_again, children_again = mlflow_runs(home, "study")
    assert parent_again.info.run_id == parent.info.run_id
    assert {run.info.run_id for run in children_again} == {run.info.run_id for run in children}


def test_seeds_share_faces_and_give_a_spread(
    bench: Bench, ablated: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    home = bench.folder / "ablated-seeds"
    shutil.copytree(ablated[0], home)
    config = study(bench, "seeds", seeds=[0, 1], axes={"density.combination": ["absolute"]})
    run = ablate(bench, home, config)
    assert run.returncode == 0, run.stderr
    measured = [row for row in rows(home, "seeds", "runs.csv") if row["score"] == "differential"]
    assert [(row["seed"], row["cell"]) for row in measured] == [
        (seed, cell) for seed in ("0", "1") for cell in ("base", "density.combination=absolute")
    ]
    assert all("faces" in row["reused"].split() for row in measured)
    assert ["backbone" in row["reused"].split() for row in measured] == [True, True, False, True]
    base, absolute = (row for row in rows(home, "seeds", "comparison.csv") if row["score"] == "differential")
    aucs = [float(row["auc"]) for row in measured if row["cell"] == "base"]
    assert float(base["auc_mean"]) == pytest.approx(sum(aucs) / 2)
    assert float(absolute["auc_sd"]) >= 0
    parent, _ = mlflow_runs(home, "seeds")
    assert parent.info.status == "FINISHED"


def test_a_dry_run_shows_the_plan_and_touches_nothing(bench: Bench, tmp_path: Path) -> None:
    config = study(bench, "dry", seeds=[0, 1], axes=AXES)
    run = ablate(replace(bench, database=None), tmp_path / "home", config, "--dry-run")
    assert run.returncode == 0, run.stderr
    assert "dry: 6 runs" in run.stdout
    assert "backbone 2" in run.stdout
    assert "density 6" in run.stdout
    assert not (tmp_path / "home").exists()


def test_a_faulty_cell_is_refused_before_anything_runs(bench: Bench, tmp_path: Path) -> None:
    faulty = study(bench, "faulty", axes={"density.components": [2, 0]})
    run = ablate(replace(bench, database=None), tmp_path / "home", faulty)
    assert run.returncode == 1
    message = " ".join(run.stderr.split())
    assert "cell 'density.components=0' does not validate: density.components: Input should be greater" in message
    assert not (tmp_path / "home").exists()
