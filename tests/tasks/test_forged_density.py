"""Densities against forged copies: which pairs they are of, how many, and whose."""

from pathlib import Path
from typing import Any

import numpy as np

from data_catalog.faces import EmbeddedFaces
from difffake.config import parse_config
from difffake.differential.pairs import draw_pairs
from tasks import forged_copies
from tasks.density import _forged_vectors
from tasks.experiment import Experiment, of_roles, result
from tasks.forged_copies import ARTEFACT, compared, copy_settings, embed_copies, evenly, pairs_of_copy
from tasks.pairs import draw, pairs_of_roles
from tasks.vectors import VideoVectors
from tests.helpers.embedded_lake import EXTRACTION, FACES, experiment_of, real_videos, trained_backbone

SPREAD: dict[str, dict[str, Any]] = {
    "pairs": {"draw": "spread"},
    "density": {"against": "pseudo_fakes", "model": "ledoit_wolf", "fit_on": ["density"]},
}


def experiment_with_copies(folder: Path, **fusion: Any) -> Experiment:
    return experiment_of(folder, real_videos(1), **SPREAD, fusion={"copies_per_video": 2} | fusion)


def forged(experiment: Experiment) -> VideoVectors:
    backbone = trained_backbone(experiment, is_trained=True)
    pairs = result(draw.fn(experiment, EXTRACTION))
    faces = of_roles(experiment.usable_faces(EXTRACTION), ("density",))
    return _forged_vectors(experiment, backbone, faces, pairs_of_roles(experiment, pairs, EXTRACTION, ("density",)))


def test_every_copy_is_paired_as_a_video_of_its_own(tmp_path: Path) -> None:
    experiment = experiment_with_copies(tmp_path / "all")
    vectors = forged(experiment)
    videos = sorted(set(vectors.video_keys.tolist()))
    assert len(videos) == 6
    pairs = len(draw_pairs([str(number) for number in range(FACES)], experiment.config.pairs, 0))
    assert len(vectors.values) == len(videos) * 2 * pairs
    fewer = forged(experiment_with_copies(tmp_path / "four", faces_per_copy=4))
    of_four = len(draw_pairs(list("abcd"), experiment.config.pairs, 0))
    assert len(fewer.values) == len(videos) * 2 * of_four


def test_no_more_vectors_than_the_density_may_learn_from(tmp_path: Path) -> None:
    experiment = experiment_of(
        tmp_path, real_videos(1), pairs={"draw": "spread"}, fusion={"copies_per_video": 2},
        density=SPREAD["density"] | {"max_vectors": 60},
    )  # fmt: skip
    vectors = forged(experiment)
    assert 48 <= len(vectors.values) <= 72
    assert len(set(vectors.video_keys.tolist())) == 6


def test_a_fold_leaves_its_peoples_copies_out() -> None:
    vectors = VideoVectors(np.arange(8.0).reshape(4, 2), np.array(["a", "b", "a", "c"]))
    left = vectors.without({"a": 0, "b": 1}, 0)
    assert left.video_keys.tolist() == ["b", "c"]
    np.testing.assert_array_equal(left.values, [[2, 3], [6, 7]])


def test_pairs_of_a_copy_follow_the_frames_it_has() -> None:
    config = parse_config({"pairs": {"draw": "spread"}}, "a test")
    copy = EmbeddedFaces(np.array(["a", "c", "d"]), np.zeros((3, 2), np.float32), np.zeros(3, np.float32))
    assert pairs_of_copy(config, copy, ["d", "b", "a", "c"]) == [("a", "c"), ("d", "a"), ("d", "c")]


def test_across_videos_a_copy_is_compared_with_what_its_faces_were(tmp_path: Path) -> None:
    experiment = experiment_of(tmp_path, real_videos(1), pairs={"relation": "cross_video"})
    copy = EmbeddedFaces(np.array(["a", "c"]), np.ones((2, 2), np.float32), np.ones(2, np.float32))
    known = EmbeddedFaces(np.array(["a", "b", "c", "x"]), np.zeros((4, 2), np.float32), np.zeros(4, np.float32))
    pairs = [("a", "x"), ("b", "x"), ("c", "x")]
    joined, left = compared(experiment, copy, ["a", "b", "c"], known, pairs)
    assert left == [("a", "x"), ("c", "x")]
    assert joined.face_ids.tolist() == ["a", "c", "x"]
    np.testing.assert_array_equal(joined.features[:, 0], [1, 1, 0])


def test_faces_of_a_copy_are_spread_and_the_first_is_among_them() -> None:
    members = [(str(number),) for number in range(40)]
    assert [int(name) for (name,) in evenly(members, 8)] == [0, 5, 10, 15, 20, 25, 30, 35]
    assert evenly(members, None) == members
    assert evenly(members[:5], 8) == members[:5]


def test_copies_from_before_there_was_a_choice_keep_their_names() -> None:
    assert copy_settings(parse_config({}, "a test")) == [4, 0.005]
    assert copy_settings(parse_config({"fusion": {"faces_per_copy": 9}}, "a test")) == [4, 0.005, 9]


def test_copies_are_kept_some_people_at_a_time(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(forged_copies, "_PEOPLE_AT_ONCE", 2)
    experiment = experiment_with_copies(tmp_path)
    backbone = trained_backbone(experiment, is_trained=True)
    faces = of_roles(experiment.usable_faces(EXTRACTION), ("density",))
    first = embed_copies(experiment, backbone, faces, is_forced=False)
    parts = sorted((experiment.home.artefacts.root / ARTEFACT).glob("*/embeddings.parquet"))
    assert len(parts) == 3
    # What a killed run had made stays; the rest is made again, to the same bits.
    kept = {part: part.stat().st_mtime_ns for part in parts[:2]}
    parts[2].unlink()
    again = embed_copies(experiment, backbone, faces, is_forced=False)
    assert {part: part.stat().st_mtime_ns for part in kept} == kept
    assert again.keys() == first.keys()
    for person, copies in first.items():
        for ours, theirs in zip(copies, again[person], strict=True):
            np.testing.assert_array_equal(ours.features, theirs.features)
