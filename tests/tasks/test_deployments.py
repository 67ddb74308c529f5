from pathlib import Path
from typing import Any

import pytest
import yaml

from data_catalog.home import Home
from difffake.config import DatasetSpec
from difffake.errors import ConfigError, ServiceError
from tasks.announcements import resource_id
from tasks.deployments import CHECKOUT, TEMPLATE, deploy, fill_in, make_from

FF = DatasetSpec(name="ff", adapter="faceforensics", root="/data/ff")
DFDC = DatasetSpec(name="dfdc", adapter="dfdc", root="s3://videos/dfdc", roles={"test": ("train",)})


def template() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(TEMPLATE.read_text())
    return content


def filled(home: Home, suspects: str | None = None, *, are_scheduled: bool = False) -> dict[str, dict[str, Any]]:
    content = fill_in(template(), Path("team.yaml"), [FF, DFDC], home, suspects, are_scheduled=are_scheduled)
    directory = content["pull"][0]["prefect.deployments.steps.set_working_directory"]["directory"]
    assert directory == str(CHECKOUT)
    return {deployment["name"]: deployment for deployment in content["deployments"]}


def test_every_dataset_has_a_refresh_of_its_own_with_its_place(tmp_path: Path) -> None:
    made = filled(Home(tmp_path))
    assert list(made) == [
        "refresh-ff",
        "refresh-dfdc",
        "train-on-new-faces",
        "end-to-end",
        "ask-for-approval",
        "maintain",
    ]
    (dataset,) = made["refresh-dfdc"]["parameters"]["datasets"]
    assert DatasetSpec.model_validate(dataset) == DFDC
    assert made["refresh-dfdc"]["tags"] == ["difffake", "data", "dfdc"]
    for name in ("refresh-ff", "end-to-end"):
        assert made[name]["parameters"]["config"] == str(Path("team.yaml").resolve())
        assert made[name]["parameters"]["home"] == str(tmp_path)
    # The template is left alone.
    assert template()["deployments"][0]["name"] == "refresh"


def test_suspects_are_scored_only_where_there_is_a_place_for_them(tmp_path: Path) -> None:
    made = filled(Home(tmp_path), "s3://sent/in")
    (dataset,) = made["score-batch"]["parameters"]["datasets"]
    assert (dataset["adapter"], dataset["root"]) == ("suspects", "s3://sent/in")


@pytest.mark.parametrize("are_scheduled", [True, False])
def test_schedules_are_as_they_were_asked_for(tmp_path: Path, are_scheduled: bool) -> None:
    made = filled(Home(tmp_path), "/sent", are_scheduled=are_scheduled)
    states = {
        name: schedule["active"] for name, deployment in made.items() for schedule in deployment.get("schedules", ())
    }
    assert states == dict.fromkeys(
        ("refresh-ff", "refresh-dfdc", "end-to-end", "score-batch", "maintain"), are_scheduled
    )


def test_another_work_folders_faces_start_no_training_here(tmp_path: Path) -> None:
    here, there = Home(tmp_path / "a", None), Home(tmp_path / "b", None)
    (trigger,) = filled(here)["train-on-new-faces"]["triggers"]
    assert trigger["match"] == {"prefect.resource.id": resource_id(here)}
    assert resource_id(here) != resource_id(there)
    shared = [Home(tmp_path / name, "s3://lake/tables") for name in "ab"]
    assert resource_id(shared[0]) == resource_id(shared[1])
    assert filled(shared[0])["refresh-ff"]["parameters"]["lake"] == "s3://lake/tables"


def test_runs_of_one_kind_never_go_on_together(tmp_path: Path) -> None:
    made = filled(Home(tmp_path), "/sent")
    limits = {name: deployment.get("concurrency_limit") for name, deployment in made.items()}
    assert limits.pop("ask-for-approval") is None
    # The newest faces are waited for, not dropped.
    assert limits.pop("train-on-new-faces") == {"limit": 1, "collision_strategy": "ENQUEUE"}
    assert all(limit == {"limit": 1, "collision_strategy": "CANCEL_NEW"} for limit in limits.values())


def test_nothing_is_deployed_without_a_dataset(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="names no dataset"):
        deploy(Path("empty.yaml"), [], Home(tmp_path), None, 1, are_scheduled=False)


def test_deployments_that_take_for_ever_are_given_up_with_what_to_do() -> None:
    with pytest.raises(ServiceError, match=r"not made within 0\.05 s: see the server's log"):
        make_from(TEMPLATE, timeout_s=0.05)
