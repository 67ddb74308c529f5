"""The diagnostics stage on embeddings made by hand: its tables, its independence of fakes, its limits."""

import csv
from pathlib import Path

import pytest

from data_catalog.schemas import TableName
from tasks.density import fit
from tasks.diagnostics import DRIFT_TABLE, FIGURE, GRID_TABLE, STAGE, examine
from tasks.experiment import Experiment, StageRecord, result
from tasks.pairs import draw
from tests.helpers.embedded_lake import (
    EMBEDDINGS,
    EXTRACTION,
    FACES,
    PEOPLE,
    VIDEOS_PER_PERSON,
    experiment_of,
    fake_videos,
    real_videos,
    trained_backbone,
    with_settings,
)

SMALL = {"components": (1, 2), "covariances": ("diag", "full")}


def run(experiment: Experiment) -> StageRecord:
    pairs = result(draw.fn(experiment, EXTRACTION))
    density = result(fit.fn(experiment, EXTRACTION, trained_backbone(experiment), EMBEDDINGS, pairs))
    return result(examine.fn(experiment, EXTRACTION, EMBEDDINGS, pairs, density))


def test_tables_and_figure_tell_of_every_cell_and_every_role(tmp_path: Path) -> None:
    experiment = experiment_of(tmp_path, real_videos() + fake_videos(), diagnostics=SMALL)
    record = run(experiment)

    artefact = experiment.home.artefacts.require(STAGE, record.fingerprint)
    cells = list(csv.DictReader(artefact.path(GRID_TABLE).open(encoding="utf-8")))
    assert [(cell["covariance"], cell["components"]) for cell in cells] == [
        ("diag", "1"), ("diag", "2"), ("full", "1"), ("full", "2"),
    ]  # fmt: skip
    drift = {row["role"]: row for row in csv.DictReader(artefact.path(DRIFT_TABLE).open(encoding="utf-8"))}
    assert list(drift) == ["density", "held out", "calibration", "test"]
    pairs = VIDEOS_PER_PERSON * FACES // 2
    assert int(drift["density"]["count"]) == int(drift["held out"]["count"]) == PEOPLE["train"] * pairs
    assert (drift["test"]["videos"], drift["test"]["people"]) == ("12", "4")
    # The density's own reals do not drift from themselves.
    assert float(drift["density"]["shift"]) == pytest.approx(0)
    assert float(drift["density"]["ks_statistic"]) == 0
    assert record.facts["training"] == pytest.approx(-float(drift["density"]["mean"]))
    assert record.facts["held_out"] == pytest.approx(-float(drift["held out"]["mean"]))
    assert len(record.facts["weights"]) == 2
    assert artefact.path(FIGURE).stat().st_size > 10_000
    assert run(experiment).reused
    # A Gaussian mixture has no neighbours.
    assert run(with_settings(experiment, density={"neighbours": 9})).reused


def test_fakes_are_never_read(tmp_path: Path) -> None:
    experiment = experiment_of(tmp_path, real_videos() + fake_videos(), diagnostics=SMALL)
    with_fakes = run(experiment)
    fakes = [row["sha256"] for row in fake_videos()]
    assert experiment.lake.delete(TableName.EMBEDDINGS, {"video_sha256": fakes}) == len(fakes) * FACES
    forced = Experiment(experiment.config, experiment.home, experiment.datasets, frozenset({STAGE}))

    assert run(forced).model_copy(update={"seconds": 0}) == with_fakes.model_copy(update={"seconds": 0})


@pytest.mark.parametrize(
    "sections",
    [{"density": {"features": "embedding"}}, {"pairs": {"relation": "reference"}}, {"density": {"model": "ocsvm"}}],
)
def test_every_kind_of_density_is_examined(tmp_path: Path, sections: dict[str, dict[str, str]]) -> None:
    experiment = with_settings(experiment_of(tmp_path, real_videos(), diagnostics=SMALL), **sections)
    record = run(experiment)

    assert all(cell["status"] == "fitted" for cell in record.facts["grid"])
    if sections.get("density") == {"model": "ocsvm"}:
        assert record.facts["held_out_reason"] == "the model ocsvm has no likelihood"
        assert record.facts["weights"] == record.facts["convergence"] == []
    if sections.get("density") == {"features": "embedding"}:
        assert record.facts["grid_vectors"] == PEOPLE["train"] * VIDEOS_PER_PERSON * FACES


def test_a_floor_above_the_variance_is_said_with_the_remedy(tmp_path: Path) -> None:
    density = {"covariance_floor": 100.0, "covariance_floor_unit": "data_variance"}
    record = run(experiment_of(tmp_path, real_videos(), density=density, diagnostics=SMALL))

    assert any("covariance floor" in text and "lower density.covariance_floor" in text
               for text in record.facts["warnings"])  # fmt: skip


def test_groups_are_looked_at_up_to_a_limit(tmp_path: Path) -> None:
    experiment = experiment_of(tmp_path, real_videos(videos_per_person=12), diagnostics=SMALL | {"most_vectors": 100})
    record = run(experiment)

    assert {row["role"]: row["count"] for row in record.facts["drift"]} == {
        "density": 100, "held out": 216, "calibration": 100, "test": 100,
    }  # fmt: skip
    assert record.facts["grid_vectors"] == 100
