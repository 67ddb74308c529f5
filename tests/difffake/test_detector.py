import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from scipy.stats import binom

from difffake.backbone.checkpoints import save_weights
from difffake.backbone.embed import Embeddings, embed_crops
from difffake.config import PairsConfig, Relation
from difffake.detector import CALIBRATION, DENSITY, FUSION, WEIGHTS, Detector
from difffake.differential.combination import differences
from difffake.differential.density import GaussianMixtureDensity
from difffake.differential.pairs import draw_pairs_across
from difffake.errors import ArtefactError, DataError
from difffake.faces.extraction import extract_faces
from difffake.faces.finder import build_face_finder
from difffake.faces.records import FaceRecord
from difffake.judgement import PersonExamination
from difffake.locations import MANIFEST
from difffake.scores import Examination, VideoScore
from difffake.video_writing import write_video
from tests.helpers.detector import FUSED, NAMES, SETTINGS, embeddings, face_clip, saved_detector, small_detector
from tests.helpers.media import astronaut_rgb


@pytest.fixture(scope="module")
def detector() -> Detector:
    return small_detector()


@pytest.fixture
def folder(detector: Detector, tmp_path: Path) -> Path:
    return saved_detector(detector, tmp_path)


def test_the_score_is_minus_the_mean_log_likelihood_of_the_differences(detector: Detector) -> None:
    features = embeddings(7, 20, detector.backbone.embedding_dim)
    pairs = [("face0", "face1"), ("face2", "face3")]
    scored = detector.score_faces(NAMES, features, np.linspace(0, 1, 20, dtype=np.float32), pairs)
    squares = np.stack([(features[0] - features[1]) ** 2.0, (features[2] - features[3]) ** 2.0]).astype(np.float64)
    squares /= np.linalg.norm(squares, axis=1, keepdims=True)
    assert scored.score == pytest.approx(-detector.density.log_likelihood(squares).mean(), rel=1e-5)
    assert scored.fake_probability == pytest.approx(0.5)
    assert (scored.status, scored.faces_used, scored.pairs_used) == ("scored", 20, 2)


def test_the_fused_score_weighs_both(detector: Detector) -> None:
    features = embeddings(7, 20, detector.backbone.embedding_dim)
    scored = detector.score_faces(NAMES, features, np.full(20, 0.5, np.float32))
    assert scored.differential is not None
    # log(0.5 / 0.5) = 0: (0 − (−2)) / 4 · 0.5 = 0.25.
    assert scored.fusion == pytest.approx((scored.differential - 1) / 2 * 3 + 0.25)
    assert scored.score == scored.differential


def test_the_score_that_the_settings_name_decides(detector: Detector) -> None:
    settings = SETTINGS.model_copy(update={"verdict": "fusion"})
    fused = Detector(settings, detector.backbone, detector.density, FUSED, detector.calibrations)
    features = embeddings(7, 20, detector.backbone.embedding_dim)
    scored = fused.score_faces(NAMES, features, np.full(20, 0.5, np.float32))
    assert scored.score == scored.fusion
    assert scored.score is not None
    assert scored.p_value == fused.calibrations["fusion"].p_value(scored.score)
    with pytest.raises(ArtefactError, match="no fusion"):
        Detector(settings, detector.backbone, detector.density)


def test_unnatural_change_scores_higher(detector: Detector) -> None:
    width = detector.backbone.embedding_dim
    natural = embeddings(8, 20, width)
    unnatural = natural.copy()
    unnatural[:, 0] *= 30
    probability = np.zeros(20, np.float32)
    calm, wild = (detector.score_faces(NAMES, features, probability) for features in (natural, unnatural))
    assert calm.score is not None
    assert wild.score is not None
    assert wild.score > calm.score
    assert wild.p_value == pytest.approx(1 / 21)
    assert wild.is_anomalous


def test_a_stored_detector_scores_bit_for_bit_as_before(detector: Detector, folder: Path) -> None:
    features = embeddings(9, 20, detector.backbone.embedding_dim)
    probability = np.full(20, 0.25, np.float32)
    loaded = Detector.load(folder)
    assert loaded.score_faces(NAMES, features, probability) == detector.score_faces(NAMES, features, probability)
    assert loaded.provenance == {"made": "in a test"}


def test_a_stored_detector_names_no_path_of_the_machine_it_was_made_on(detector: Detector, tmp_path: Path) -> None:
    elsewhere = SETTINGS.model_copy(
        update={"faces": SETTINGS.faces.model_copy(update={"detector_weights": Path("/secret/place.pth")})}
    )
    save_weights(detector.backbone, tmp_path / "weights")
    detector.density.save(tmp_path / "density")
    Detector(elsewhere, detector.backbone, detector.density, None, detector.calibrations).save(
        tmp_path, tmp_path / "weights", tmp_path / "density"
    )
    assert "secret" not in (tmp_path / MANIFEST).read_text()


@pytest.mark.parametrize("name", [WEIGHTS, DENSITY, FUSION, CALIBRATION])
def test_an_altered_or_missing_file_is_refused(folder: Path, name: str) -> None:
    with (folder / name).open("ab") as file:
        file.write(b"x")
    with pytest.raises(ArtefactError, match=name):
        Detector.load(folder)
    (folder / name).unlink()
    with pytest.raises(ArtefactError, match=name):
        Detector.load(folder)


def test_a_folder_that_is_no_detector_or_of_another_version_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="not a detector folder"):
        Detector.load(tmp_path / "nowhere")
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(manifest | {"version": 99}))
    with pytest.raises(ArtefactError, match="version"):
        Detector.load(folder)
    (folder / MANIFEST).write_text(json.dumps(manifest | {"settings": {}}))
    with pytest.raises(ArtefactError, match="settings"):
        Detector.load(folder)


def test_other_face_models_than_it_was_made_with_are_refused(detector: Detector, tmp_path: Path) -> None:
    changed = SETTINGS.model_copy(update={"face_models": {"blazeface": "another"}})
    other = Detector(changed, detector.backbone, detector.density, None, detector.calibrations)
    with pytest.raises(ArtefactError, match="face models"):
        other.score(tmp_path / "any.mp4")


def test_without_calibration_it_cannot_be_saved(detector: Detector, tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="calibration"):
        Detector(SETTINGS, detector.backbone, detector.density).save(tmp_path, tmp_path, tmp_path)


def test_one_face_gives_no_pair_and_so_no_verdict(detector: Detector) -> None:
    outcome = detector.score_faces(["a"], embeddings(1, 1, detector.backbone.embedding_dim), np.ones(1, np.float32))
    assert (outcome.status, outcome.score, outcome.p_value, outcome.faces_used) == ("abstained", None, None, 1)


def test_files_are_scored_or_say_why_not(detector: Detector, tmp_path: Path) -> None:
    face = astronaut_rgb()[0:256, 100:356]
    write_video(tmp_path / "face.mp4", [np.roll(face, 2 * step, axis=1) for step in range(8)], fps=8, crf=18)
    write_video(tmp_path / "sky.mp4", [np.full((128, 128, 3), 200, np.uint8)] * 8, fps=8, crf=18)
    (tmp_path / "text.mp4").write_text("no video")
    good = detector.score(tmp_path / "face.mp4", device="cpu")
    assert (good.status, good.faces_used, good.pairs_used) == ("scored", 6, 3)
    assert detector.score(tmp_path / "face.mp4", device="cpu") == good
    assert detector.score(tmp_path / "sky.mp4").status == "abstained"
    for name in ("text.mp4", "missing.mp4"):
        outcome = detector.score(tmp_path / name)
        assert outcome.status == "failed"
        assert outcome.reason


def like(detector: Detector, **changes: Any) -> Detector:
    """The same detector under other settings."""
    settings = detector.settings.model_copy(update=changes)
    return Detector(settings, detector.backbone, detector.density, None, detector.calibrations)


def test_single_embeddings_score_minus_the_mean_log_likelihood_of_the_faces(detector: Detector, tmp_path: Path) -> None:
    width = detector.backbone.embedding_dim
    density = GaussianMixtureDensity(components=2, covariance="diag", covariance_floor=1e-4).fit(
        np.vstack([embeddings(seed, 20, width).astype(np.float64) for seed in range(20)])
    )
    changed = SETTINGS.model_copy(update={"features": "embedding", "l2_normalise": False})
    single = Detector(changed, detector.backbone, density, None, detector.calibrations)
    features = embeddings(7, 20, width)
    scored = single.score_faces(NAMES, features, np.full(20, 0.5, np.float32))

    assert scored.score == pytest.approx(-density.log_likelihood(features.astype(np.float64)).mean())
    assert (scored.status, scored.faces_used, scored.pairs_used) == ("scored", 20, 0)
    alone = single.score_faces(["a"], features[:1], np.full(1, 0.5, np.float32))
    assert alone.score == pytest.approx(-density.log_likelihood(features[:1].astype(np.float64))[0])

    folder = tmp_path / "stored"
    folder.mkdir()
    save_weights(detector.backbone, tmp_path / "weights")
    density.save(tmp_path / "density")
    single.save(folder, tmp_path / "weights", tmp_path / "density")
    loaded = Detector.load(folder)
    assert loaded.score_faces(NAMES, features, np.full(20, 0.5, np.float32)) == scored
    good = loaded.score(face_clip(tmp_path / "face.mp4", 0), device="cpu")
    assert (good.status, good.faces_used, good.pairs_used) == ("scored", 6, 0)


def test_a_detector_that_compares_videos_abstains_without_references(detector: Detector, tmp_path: Path) -> None:
    across = like(detector, pairs=PairsConfig(relation="cross_video"))
    outcome = across.score(face_clip(tmp_path / "judged.mp4", 0), device="cpu")

    assert (outcome.status, outcome.score, outcome.faces_used) == ("abstained", None, 6)
    assert "give some as references" in outcome.reason


@pytest.mark.parametrize("relation", ["cross_video", "reference"])
def test_references_are_extracted_embedded_and_compared_by_the_rule(
    detector: Detector, tmp_path: Path, relation: Relation
) -> None:
    config = PairsConfig(relation=relation, references=2)
    across = like(detector, pairs=config)
    judged = face_clip(tmp_path / "judged.mp4", 0)
    references = [face_clip(tmp_path / f"reference{n}.mp4", 20 * n) for n in (1, 2, 3)]
    scored = across.score(judged, "cpu", references)

    faces: dict[str, list[FaceRecord]] = {}
    finder = build_face_finder(SETTINGS.faces)
    for path in (judged, *references):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        faces[content] = list(extract_faces(path, content, "test", SETTINGS.faces, finder).faces)
    content, *others = faces
    bases = [face.face_id for face in faces[content]]
    pairs = draw_pairs_across(
        bases, {other: [face.face_id for face in faces[other]] for other in others}, config, SETTINGS.seed
    )
    everyone = [face for members in faces.values() for face in members]
    crops = [face.crop_jpeg for face in everyone]
    features = embed_crops(detector.backbone, crops, len(crops), torch.device("cpu")).features
    vectors = differences([face.face_id for face in everyone], features, pairs, "squared", True)

    assert scored.score == pytest.approx(-detector.density.log_likelihood(vectors).mean(), rel=1e-4)
    assert scored.pairs_used == len(pairs) == len(bases) * (1 if relation == "cross_video" else 2)
    assert (scored.status, scored.faces_used) == ("scored", 6)
    assert (scored.outcome.track_id, scored.outcome.tracks_judged, scored.comparison) == (0, 1, None)
    assert across.score(judged, "cpu", references[::-1]) == scored


def test_copies_of_the_video_and_files_without_a_face_are_no_references(
    detector: Detector, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    across = like(detector, pairs=PairsConfig(relation="cross_video"))
    judged = face_clip(tmp_path / "judged.mp4", 0)
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(judged.read_bytes())
    unusable = [copy, tmp_path / "missing.mp4"]
    outcome = across.score(judged, "cpu", unusable)

    assert outcome.status == "abstained"
    assert "copy.mp4 is no reference: it is the judged video itself" in outcome.reason
    assert "missing.mp4 is no reference (unreadable" in outcome.reason
    caplog.clear()
    good = face_clip(tmp_path / "good.mp4", 30)
    with_unusable, alone = (across.score(judged, "cpu", some) for some in ([*unusable, good], [good]))
    assert with_unusable.outcome == alone.outcome
    assert set(with_unusable.cautions) - set(alone.cautions) == {
        sentence for sentence in with_unusable.cautions if "is no reference" in sentence
    }
    assert "copy.mp4 is no reference" in caplog.text


def test_references_beside_a_detector_that_judges_a_video_alone_are_compared_with_each_other(
    detector: Detector, tmp_path: Path
) -> None:
    judged = face_clip(tmp_path / "judged.mp4", 0)
    references = [face_clip(tmp_path / f"reference{n}.mp4", 20 * n) for n in (1, 2, 3)]
    alone, compared = detector.score(judged, "cpu"), detector.score(judged, "cpu", references)
    assert compared.outcome == alone.outcome
    assert alone.comparison is None
    assert compared.comparison is not None

    # By hand: every file against all the others, and the judged one's rank among them.
    across = like(detector, pairs=SETTINGS.pairs.model_copy(update={"relation": "reference", "references": 4}))
    expected = across.score(judged, "cpu", references)
    assert compared.comparison.score == pytest.approx(expected.score, rel=1e-4)
    assert (compared.comparison.pairs, compared.comparison.references) == (expected.pairs_used, 3)
    files = [judged, *references]
    among = [across.score(one, "cpu", [other for other in files if other != one]).score for one in references]
    assert expected.score is not None
    higher = sum(score is not None and score >= expected.score for score in among)
    assert compared.comparison.p_value == (1 + higher) / 4

    single = detector.score(judged, "cpu", references[:1])
    assert single.comparison is not None
    assert single.comparison.p_value is None
    assert any("give two or more" in caution for caution in single.cautions)


def test_a_detector_that_judges_faces_singly_refuses_references(detector: Detector, tmp_path: Path) -> None:
    single = like(detector, features="embedding", pairs=PairsConfig(relation="reference"))
    with pytest.raises(DataError, match="every face singly"):
        single.score(tmp_path / "any.mp4", references=[tmp_path / "other.mp4"])


def test_threads_that_share_a_detector_get_what_one_alone_gets(
    detector: Detector, folder: Path, tmp_path: Path
) -> None:
    shared = Detector.load(folder)
    clips = [face_clip(tmp_path / f"{number}.mp4", 11 * number) for number in range(4)]
    alone = {clip: detector.score(clip, "cpu") for clip in clips}
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda clip: shared.score(clip, "cpu"), clips * 3))
    for clip, judged in zip(clips * 3, together, strict=True):
        assert judged == alone[clip]


def test_many_files_are_judged_one_after_the_other(detector: Detector, tmp_path: Path) -> None:
    clips = [face_clip(tmp_path / "a.mp4"), tmp_path / "missing.mp4", face_clip(tmp_path / "b.mp4", 30)]
    judged = list(detector.score_many(clips, "cpu"))
    assert [judgement.status for judgement in judged] == ["scored", "failed", "scored"]
    assert judged[0] == detector.score(clips[0], "cpu")


def test_the_package_offers_the_detector_and_says_what_it_lacks() -> None:
    import difffake

    assert difffake.Detector is Detector
    assert {"Detector", "InputLimits", "Judgement"} <= set(difffake.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Detektor'"):
        _ = difffake.Detektor


@pytest.mark.parametrize("count", [2, 3])
def test_a_real_video_is_as_seldom_far_from_its_references_as_the_p_value_says(detector: Detector, count: int) -> None:
    """Files whose faces are drawn alike are exchangeable: the smallest p-value comes to one in n + 1."""
    rng, width = np.random.default_rng(count), detector.backbone.embedding_dim
    drawn: dict[str, np.ndarray] = {}

    class Drawn(Detector):
        def _embed(self, faces: Sequence[FaceRecord], device: torch.device) -> Embeddings:  # noqa: ARG002
            return Embeddings(np.stack([drawn[face.face_id] for face in faces]), None)

    judge = Drawn(detector.settings, detector.backbone, detector.density)
    draws, smallest = 600, 0
    for draw in range(draws):
        files = {
            f"{draw}-{number}": [a_face(f"{draw}-{number}-{face}") for face in range(3)] for number in range(count + 1)
        }
        for faces in files.values():
            centre = rng.normal(size=width) * rng.gamma(2.0)
            drawn |= {face.face_id: (centre + rng.normal(size=width)).astype(np.float32) for face in faces}
        judged, *references = files
        features = np.stack([drawn[face.face_id] for face in files[judged]])
        score = VideoScore("scored", score=0.0, track_id=0)
        names = [face.face_id for face in files[judged]]
        person = PersonExamination(Examination(score, (), np.empty(0), names, None), files[judged], features)
        compared = judge._compare(person, judged, {name: files[name] for name in references}, torch.device("cpu"))
        assert compared.pairs == 3 * count
        smallest += compared.p_value == 1 / (count + 1)
    low, high = binom.interval(0.9999, draws, 1 / (count + 1))
    assert low <= smallest <= high


def a_face(name: str) -> FaceRecord:
    box, points = np.zeros(4, np.float32), np.zeros((68, 2), np.float32)
    return FaceRecord(name, 0, 0.0, 0, 1.0, box, 1.0, points, b"", np.zeros((2, 3)), 1.0)


def test_a_file_that_cannot_be_read_is_a_row_and_a_cut_manifest_an_error(detector: Detector, folder: Path) -> None:
    judged = detector.score("/proc/self/mem", "cpu")
    assert (judged.status, judged.people) == ("failed", ())
    assert judged.reason.startswith("unreadable: ")
    (folder / MANIFEST).write_text('{"version": 2}')
    with pytest.raises(ArtefactError, match="lacks files, provenance, settings"):
        Detector.load(folder)


def test_references_may_be_named_by_text_and_are_read_once(
    detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = like(detector)
    suspects = [face_clip(tmp_path / f"{number}.mp4", 9 * number) for number in range(2)]
    reference = face_clip(tmp_path / "reference.mp4", 40)
    read: list[str] = []
    extract = fresh._extract

    def counted(path: Path, *more: Any) -> Any:
        read.append(path.name)
        return extract(path, *more)

    monkeypatch.setattr(fresh, "_extract", counted)
    for suspect in suspects:
        by_text = fresh.score(suspect, "cpu", str(reference))
        assert by_text == fresh.score(suspect, "cpu", [reference])
    assert read.count("reference.mp4") == 1


def test_what_is_wrong_with_references_is_said_of_a_file_not_judged(detector: Detector, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    cv2.imwrite(str(photo), cv2.cvtColor(astronaut_rgb()[0:256, 100:356], cv2.COLOR_RGB2BGR))
    (tmp_path / "junk.mp4").write_text("no video")
    judged = detector.score(photo, "cpu", [face_clip(tmp_path / "reference.mp4"), tmp_path / "junk.mp4"])
    assert judged.status == "abstained"
    assert judged.comparison is not None
    said = [caution for caution in judged.cautions if "is no reference" in caution]
    assert [caution.partition(" ")[0] for caution in said] == ["junk.mp4"]


def test_with_spread_pairs_the_same_pictures_have_the_same_score_whatever_the_bytes_beside_them(
    detector: Detector, tmp_path: Path
) -> None:
    clip = face_clip(tmp_path / "clip.mp4")
    longer = tmp_path / "longer.mp4"
    longer.write_bytes(clip.read_bytes() + b"\0\0\0")
    scores = {}
    for draw in ("pool", "spread"):
        settings = SETTINGS.model_copy(update={"pairs": PairsConfig(draw=draw)})
        other = Detector(settings, detector.backbone, detector.density)
        scores[draw] = [other.score(path, "cpu").outcome.differential for path in (clip, longer)]
    assert scores["spread"][1] == pytest.approx(scores["spread"][0], rel=1e-12)
    # Drawn by the file's digest they are other pairs.
    assert abs(scores["pool"][1] - scores["pool"][0]) > 1e-6 * abs(scores["pool"][0])
