"""The stages from pairs to scores, on embeddings made by hand: every relation, and single embeddings."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from data_catalog import pair_drawing
from data_catalog.schemas import TableName
from difffake.config import Relation
from difffake.detector import Detector
from difffake.differential.combination import combine, single
from difffake.differential.density import build_density
from difffake.errors import DataError, DensityError
from tasks import pairs as pairs_task
from tasks import vectors
from tasks.calibration import STAGE as DETECTOR_STAGE
from tasks.calibration import calibrate
from tasks.density import fit, load_densities
from tasks.evaluation import evaluate
from tasks.experiment import Experiment, StageRecord, result
from tasks.fusion import fuse
from tasks.ingest import check_roles
from tasks.pairs import check_pairs, draw, read_pairs
from tests.helpers.embedded_lake import (
    DATASET,
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
from tests.helpers.lake_rows import face, fill, outcome, video

Records = dict[str, StageRecord]


def run(experiment: Experiment) -> Records:
    """Pairs, density, calibration and evaluation."""
    backbone = trained_backbone(experiment)
    pairs = result(draw.fn(experiment, EXTRACTION))
    check_pairs.fn(experiment, EXTRACTION, pairs)
    density = result(fit.fn(experiment, EXTRACTION, backbone, EMBEDDINGS, pairs))
    fusion = result(fuse.fn(experiment, EXTRACTION, backbone, EMBEDDINGS, pairs, density))
    detector = result(calibrate.fn(experiment, EXTRACTION, backbone, EMBEDDINGS, pairs, density, fusion))
    evaluated = result(evaluate.fn(experiment, EXTRACTION, detector, EMBEDDINGS, pairs))
    return {"pairs": pairs, "density": density, "calibration": detector, "evaluation": evaluated}


def features(experiment: Experiment) -> dict[str, Any]:
    rows = experiment.lake.read(TableName.EMBEDDINGS, ["face_id", "features"]).to_pylist()
    return {row["face_id"]: np.array(row["features"], np.float32) for row in rows}


def scores(experiment: Experiment, records: Records) -> dict[str, dict[str, Any]]:
    digest = records["calibration"].digest
    rows = experiment.lake.read(TableName.SCORES, None, {"detector": [digest]}).to_pylist()
    return {row["video_key"]: row for row in rows}


@pytest.mark.parametrize(("relation", "partners"), [("cross_video", 1), ("reference", 2)])
def test_pairs_across_videos_reach_density_calibration_and_scores(
    tmp_path: Path, relation: Relation, partners: int
) -> None:
    pairs_section = {"relation": relation, "references": 2}
    experiment = experiment_of(tmp_path, real_videos() + fake_videos(), pairs=pairs_section)
    check_roles.fn(experiment)
    records = run(experiment)

    pairs = read_pairs(experiment, records["pairs"].fingerprint, EXTRACTION).to_pylist()
    per_person = VIDEOS_PER_PERSON * FACES * partners
    counts = {"train": PEOPLE["train"], "density": PEOPLE["train"], "calibration": PEOPLE["val"]}
    # A fake has a partner in each of the two reals of its person that are not its original.
    test = PEOPLE["test"] * (per_person + FACES * partners)
    assert records["pairs"].facts["by_role"] == {role: n * per_person for role, n in counts.items()} | {"test": test}
    assert not any(row["partner_id"].startswith("fake") for row in pairs)
    assert all(row["video_sha256"] != row["partner_sha256"] for row in pairs)

    # The density is that of these differences, and a score that of its pairs, computed anew from the tables.
    known = features(experiment)

    def differences(rows: list[dict[str, Any]]) -> Any:
        bases, others = ([known[row[name]] for row in rows] for name in ("base_id", "partner_id"))
        return combine(bases, others, "squared", False)

    model = build_density(experiment.config.density, experiment.config.seed)
    model.fit(differences([row for row in pairs if row["role"] == "density"]))
    stored = scores(experiment, records)
    assert set(stored) == {row["video_key"] for row in real_videos() + fake_videos() if row["split"] == "test"}
    for key, row in stored.items():
        compared = [pair for pair in pairs if pair["role"] == "test" and pair["video_key"] == key]
        assert row["pairs_used"] == len(compared) == FACES * partners
        assert row["faces_used"] == FACES
        assert row["score"] == pytest.approx(-model.log_likelihood(differences(compared)).mean())
    assert records["evaluation"].facts["groups"][0]["auc"] > 0.9

    again = run(experiment)
    assert {stage: record.reused for stage, record in again.items()} == dict.fromkeys(records, True)
    detector = Detector.load(experiment.home.artefacts.folder(DETECTOR_STAGE, records["calibration"].fingerprint))
    assert detector.settings.compares_videos


def test_people_who_teach_the_density_are_calibrated_by_one_that_has_not_seen_them(tmp_path: Path) -> None:
    density = {"held_out_folds": 2}
    roles = {"train": ("train",), "density": ("train", "val"), "calibration": ("val",), "test": ("test",)}
    experiment = experiment_of(tmp_path, real_videos() + fake_videos(), density=density)
    experiment = replace(experiment, datasets=(DATASET.model_copy(update={"roles": roles}),))
    records = run(experiment)

    densities = load_densities(experiment, records["density"])
    people = {f"d/val/p{person}v{number}": person for person in range(PEOPLE["val"]) for number in range(3)}
    assert set(densities.fold_of_video) == set(people)
    assert sorted(densities.fold_of_video.values()) == [0] * 6 + [1] * 6
    folds = {person: {densities.fold_of_video[key] for key in people if people[key] == person} for person in range(4)}
    assert all(len(fold) == 1 for fold in folds.values())

    known = features(experiment)
    pairs = read_pairs(experiment, records["pairs"].fingerprint, EXTRACTION).to_pylist()

    def differences(rows: list[dict[str, Any]]) -> Any:
        return combine(*([known[row[name]] for row in rows] for name in ("base_id", "partner_id")), "squared", False)

    detector = Detector.load(experiment.home.artefacts.folder(DETECTOR_STAGE, records["calibration"].fingerprint))
    expected = []
    for key in people:
        fold = densities.fold_of_video[key]
        others = [p for p in pairs if p["role"] == "density" and densities.fold_of_video.get(p["video_key"]) != fold]
        model = build_density(experiment.config.density, experiment.config.seed).fit(differences(others))
        own = [p for p in pairs if p["role"] == "calibration" and p["video_key"] == key]
        expected.append(-model.log_likelihood(differences(own)).mean())
    assert detector.calibration is not None
    assert detector.calibration.scores == pytest.approx(sorted(expected))
    # What is scored later is scored by the density of everybody.
    everybody = build_density(experiment.config.density, experiment.config.seed)
    everybody.fit(differences([p for p in pairs if p["role"] == "density"]))
    assert detector.density.digest() == everybody.digest()


def test_another_test_video_refits_nothing(tmp_path: Path) -> None:
    videos = real_videos() + fake_videos()
    experiment = experiment_of(tmp_path, [row for row in videos if row["video_key"] != "d/fake/p0"])
    before = run(experiment)
    after = run(experiment_of(tmp_path, videos))
    assert (after["density"].reused, after["calibration"].reused) == (True, True)
    assert after["calibration"].digest == before["calibration"].digest
    assert not after["evaluation"].reused


def test_without_validation_videos_there_is_no_fusion_and_it_cannot_decide(tmp_path: Path) -> None:
    experiment = experiment_of(tmp_path, real_videos() + fake_videos())
    records = run(experiment)
    assert {row["fusion"] for row in scores(experiment, records).values()} == {None}
    with pytest.raises(DataError, match="role validation"):
        run(with_settings(experiment, calibration={"verdict": "fusion"}))


def test_a_new_video_of_a_known_person_draws_another_set_and_leaves_the_old_one(tmp_path: Path) -> None:
    experiment = experiment_of(tmp_path, real_videos(), pairs={"relation": "cross_video"})
    before = result(draw.fn(experiment, EXTRACTION))
    rows = read_pairs(experiment, before.fingerprint, EXTRACTION).to_pylist()
    fill(experiment.lake, TableName.VIDEOS, [video("d/train/new", "new", split="train", identity="d:train0")])
    fill(experiment.lake, TableName.EXTRACTION_LOG, [outcome("new", faces_found=FACES)])
    fill(experiment.lake, TableName.FACES, [face("new", number) for number in range(FACES)])
    after = result(draw.fn(experiment, EXTRACTION))

    assert after.fingerprint != before.fingerprint
    assert read_pairs(experiment, before.fingerprint, EXTRACTION).to_pylist() == rows
    drawn = read_pairs(experiment, after.fingerprint, EXTRACTION).to_pylist()
    others = [row for row in rows if "train-0-" not in row["base_id"]]
    assert [row for row in drawn if "train-0-" not in row["base_id"] and "new" not in row["base_id"]] == others
    assert any(row["partner_sha256"] == "new" for row in drawn)


def test_people_seen_once_abstain_with_the_reason(tmp_path: Path) -> None:
    alone = [
        video("d/test/alone", "alone", split="test", identity="d:alone"),
        video("d/fake/alone", "fake-alone", split="test", identity="d:alone", label="fake", manipulation="swap",
              original_key="d/test/alone"),
    ]  # fmt: skip
    videos = real_videos() + fake_videos() + alone
    experiment = experiment_of(tmp_path, videos, pairs={"relation": "cross_video"})
    records = run(experiment)

    stored = scores(experiment, records)
    for key in ("d/test/alone", "d/fake/alone"):
        assert (stored[key]["status"], stored[key]["score"]) == ("abstained", None)
        assert "no other real video of this person" in stored[key]["reason"]
    assert records["pairs"].facts["videos_without_pairs"] == {"test": 2}
    assert "no other real video: 2 test" in records["pairs"].summary
    assert sum(row["status"] == "scored" for row in stored.values()) == len(stored) - 2


def test_people_who_are_never_seen_twice_are_refused_before_anything_is_extracted(tmp_path: Path) -> None:
    experiment = experiment_of(tmp_path, real_videos(videos_per_person=1), pairs={"relation": "cross_video"})
    with pytest.raises(DataError, match=r"6 on which the density is fitted .* nobody twice.*--identities"):
        check_roles.fn(experiment)
    check_roles.fn(with_settings(experiment, pairs={"relation": "same_video"}))
    check_roles.fn(with_settings(experiment, density={"features": "embedding"}))


def test_single_embeddings_are_fitted_calibrated_and_scored(tmp_path: Path) -> None:
    density = {"features": "embedding", "l2_normalise": True}
    experiment = experiment_of(tmp_path, real_videos() + fake_videos(), density=density)
    records = run(experiment)

    known = features(experiment)
    train = [np.stack([known[f"train-{p}-{v}-{n}"] for n in range(FACES)]) for p in range(6) for v in range(3)]
    model = build_density(experiment.config.density, experiment.config.seed).fit(single(np.vstack(train), True))
    assert records["density"].facts["vectors"] == PEOPLE["train"] * VIDEOS_PER_PERSON * FACES
    assert "faces" in records["density"].summary
    for row in scores(experiment, records).values():
        faces = np.stack([known[f"{row['video_sha256']}-{n}"] for n in range(FACES)])
        assert row["score"] == pytest.approx(-model.log_likelihood(single(faces, True)).mean())
        assert (row["pairs_used"], row["faces_used"]) == (0, FACES)

    # Pairs play no part: another rule for them refits nothing.
    other_pairs = run(with_settings(experiment, pairs={"pool_size": 1, "half_up_to": 2}))
    assert other_pairs["pairs"].digest != records["pairs"].digest
    assert other_pairs["density"].reused
    combination = run(with_settings(experiment, density={"combination": "cubic"}))
    assert combination["density"].reused


def test_too_few_pairs_for_the_density_are_refused_before_the_network_is_trained(tmp_path: Path) -> None:
    experiment = experiment_of(tmp_path, real_videos(), density={"components": 60})
    pairs = result(draw.fn(experiment, EXTRACTION))
    assert pairs.facts["by_role"]["density"] == 54
    with pytest.raises(DensityError, match=r"54 vectors cannot fit 60 components: .*density\.components lower"):
        check_pairs.fn(experiment, EXTRACTION, pairs)
    # Of single faces there are twice as many.
    check_pairs.fn(with_settings(experiment, density={"features": "embedding"}), EXTRACTION, pairs)


def test_more_pairs_than_the_density_may_learn_from_are_drawn_by_their_names(tmp_path: Path) -> None:
    experiment = experiment_of(tmp_path, real_videos() + fake_videos())
    pairs = result(draw.fn(experiment, EXTRACTION))
    there = read_pairs(experiment, pairs.fingerprint, EXTRACTION).to_pylist()
    count = sum(row["role"] == "density" for row in there)

    backbone = trained_backbone(experiment)

    def fitted(**density: int) -> StageRecord:
        return result(fit.fn(with_settings(experiment, density=density), EXTRACTION, backbone, EMBEDDINGS, pairs))

    whole = fitted()
    assert whole.facts["vectors"] == count
    # A bound that binds nothing is no other density.
    assert fitted(max_vectors=count).fingerprint == whole.fingerprint
    some = fitted(max_vectors=count - 5)
    assert some.fingerprint != whole.fingerprint
    assert some.facts["vectors"] == count - 5
    fewer = fitted(max_vectors=count - 6)
    assert fewer.fingerprint not in (some.fingerprint, whole.fingerprint)


def test_vectors_read_in_parts_are_those_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = experiment_of(tmp_path, real_videos(), pairs={"relation": "reference", "references": 2})
    pairs = result(draw.fn(experiment, EXTRACTION))
    rows = read_pairs(experiment, pairs.fingerprint, EXTRACTION)
    faces = experiment.usable_faces(EXTRACTION)
    whole = vectors.read_vectors(experiment, EMBEDDINGS.fingerprint, faces, rows)
    assert len(set(whole.video_keys.tolist())) > 7
    monkeypatch.setattr(vectors, "_PEOPLE_AT_ONCE", 7)
    parts = vectors.read_vectors(experiment, EMBEDDINGS.fingerprint, faces, rows)
    np.testing.assert_array_equal(parts.values, whole.values)
    np.testing.assert_array_equal(parts.video_keys, whole.video_keys)


@pytest.mark.parametrize("relation", ["same_video", "cross_video"])
def test_ended_between_two_parts_the_next_run_draws_the_rest_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, relation: Relation
) -> None:
    monkeypatch.setattr(pair_drawing, "_FACES_AT_ONCE", 10)
    monkeypatch.setattr(pair_drawing, "_VIDEOS_AT_ONCE", 5)
    drawing = "draw_within" if relation == "same_video" else "draw_across"
    whole_drawing = getattr(pairs_task, drawing)

    def ended(*arguments: Any) -> Iterator[pa.Table]:
        yield next(whole_drawing(*arguments))
        raise KeyboardInterrupt

    def rows(experiment: Experiment) -> list[str]:
        return sorted(map(repr, experiment.lake.read(TableName.PAIRS).to_pylist()))

    undisturbed, disturbed = (
        experiment_of(tmp_path / name, real_videos(), pairs={"relation": relation}) for name in ("whole", "ended")
    )
    record = result(draw.fn(undisturbed, EXTRACTION))
    monkeypatch.setattr(pairs_task, drawing, ended)
    with pytest.raises(KeyboardInterrupt):
        draw.fn(disturbed, EXTRACTION)
    assert 0 < len(rows(disturbed)) < len(rows(undisturbed))
    monkeypatch.setattr(pairs_task, drawing, whole_drawing)
    again = result(draw.fn(disturbed, EXTRACTION))
    assert (again.fingerprint, again.digest, again.reused) == (record.fingerprint, record.digest, False)
    assert rows(disturbed) == rows(undisturbed)
    assert result(draw.fn(disturbed, EXTRACTION)).reused
    assert rows(disturbed) == rows(undisturbed)
