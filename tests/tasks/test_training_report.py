"""The training report: a page that needs nothing beside it, and the videos it holds up as the worst."""

import base64
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_catalog.home import Home
from data_catalog.schemas import TableName
from difffake.config import DatasetSpec, EvaluationConfig, ExperimentConfig
from difffake.errors import DataError
from difffake.evaluation.results import DIFFERENTIAL, VideoResult
from difffake.evaluation.table import evaluate_videos
from tasks import training_page
from tasks.evaluation_files import PAIRS
from tasks.experiment import Experiment, StageRecord
from tasks.page import Provenance
from tasks.training_facts import MOST_WRONG, scored_videos, worst_errors
from tests.helpers.lake_rows import EXTRACTION, face, fill, outcome, video

NASTY = "<script>alert('x')</script>"
DETECTOR = "detector-under-test"
FACES = 6


def record(stage: str, **facts: Any) -> StageRecord:
    return StageRecord(stage=stage, fingerprint=stage, digest=DETECTOR, reused=False, summary=NASTY, facts=facts)


def score(video_key: str, value: float | None, **changes: Any) -> dict[str, Any]:
    is_scored = value is not None
    return {
        "video_key": video_key, "video_sha256": video_key, "detector": DETECTOR,
        "status": "scored" if is_scored else "abstained", "reason": "" if is_scored else f"too few {NASTY}",
        "score": value, "p_value": 0.5 if is_scored else None, "is_anomalous": value > 5 if is_scored else None,
        "fake_probability": 0.25 if is_scored else None, "track_id": 0, "tracks_judged": 1, "faces_used": FACES,
        "pairs_used": FACES - 1, **changes,
    }  # fmt: skip


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """Reals with scores 1 … 6, fakes with scores 3 … 7 and one the detector abstained on; above 5 is anomalous."""
    spec = DatasetSpec(name="d", adapter="folder", root="/videos", roles={"test": ("test",)})
    made = Experiment(ExperimentConfig(seed=7), Home(tmp_path_factory.mktemp("home")), (spec,))
    made.home.create()
    lake = made.lake
    reals = [video(f"d/real/{n}", f"real-{n}", split="test", identity=f"d:r{n}") for n in range(1, 7)]
    fakes = [
        video(f"d/fake/{n}", f"fake-{n}", split="test", label="fake", manipulation=f"swap {NASTY}", identity=f"d:f{n}")
        for n in range(3, 9)
    ]
    fill(lake, TableName.VIDEOS, [*reals, *fakes])
    contents = [row["sha256"] for row in (*reals, *fakes)]
    fill(lake, TableName.EXTRACTION_LOG, [outcome(content, faces_found=FACES) for content in contents])
    fill(lake, TableName.FACES, [face(content, number) for content in contents for number in range(FACES)])
    scores = [score(row["video_key"], float(row["name"])) for row in (*reals, *fakes[:-1])]
    scores += [score(fakes[-1]["video_key"], None), score("d/real/1", 99.0, detector="another")]
    scores += [score("d/gone", 99.0)]
    fill(lake, TableName.SCORES, scores)

    pairs = [
        {"video_key": row["video_key"], "track_id": 0, "base_id": f"{row['sha256']}-{n}",
         "partner_id": f"{row['sha256']}-0", "log_likelihood": float(n)}
        for row in (*reals, *fakes[:-1])
        for n in (3, 1, 5, 2, 4)
    ]  # fmt: skip
    with made.home.artefacts.staging("evaluation", "evaluation") as folder:
        pq.write_table(pa.Table.from_pylist(pairs), folder / PAIRS)
        made.home.artefacts.publish(folder, "evaluation", "evaluation", {})
    return made


def records(videos: list[dict[str, Any]]) -> dict[str, StageRecord]:
    results = [
        VideoResult(
            video_key=row["video_key"], dataset="d", compression=None, label=1 if row["label"] == "fake" else 0,
            manipulation=row["manipulation"], identity=row["identity"], scores={DIFFERENTIAL: row["score"]},
            p_values={}, status=row["status"], original_key=None,
        )
        for row in videos
    ]  # fmt: skip
    table = evaluate_videos(
        results, [DIFFERENTIAL], EvaluationConfig(bootstrap_resamples=50), 0, thresholds={DIFFERENTIAL: 5.5}
    )
    groups = [row.to_dict() for row in table]
    calibration = record("calibration", stated_false_positive_rate=0.05, warning=None, dependence=None)
    return {"calibration": calibration, "evaluation": record("evaluation", groups=groups)}


def page_of(experiment: Experiment, figures: list[Path]) -> str:
    videos = scored_videos(experiment, record("calibration"))
    errors = worst_errors(experiment, EXTRACTION, record("evaluation"), videos)
    provenance = Provenance("0123", datetime(2026, 11, 2, tzinfo=UTC), "abc", "http://127.0.0.1/run", "")
    cautions = [f"beware of {NASTY}"]
    return training_page.render_training(experiment, records(videos), cautions, figures, videos, errors, provenance)


def words(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page.partition("<body>")[2]))


def test_the_worst_are_the_most_anomalous_reals_and_the_most_natural_fakes(experiment: Experiment) -> None:
    videos = scored_videos(experiment, record("calibration"))
    assert len(videos) == 12
    errors = worst_errors(experiment, EXTRACTION, record("evaluation"), videos)
    assert [wrong.video["video_key"] for wrong in errors.reals] == [f"d/real/{n}" for n in (6, 5, 4, 3)]
    assert [wrong.video["video_key"] for wrong in errors.fakes] == [f"d/fake/{n}" for n in (3, 4, 5, 6)]
    assert len(errors.reals) == MOST_WRONG


def test_their_pairs_are_the_ends_of_the_likelihood_and_show_the_stored_crops(experiment: Experiment) -> None:
    videos = scored_videos(experiment, record("calibration"))
    worst = worst_errors(experiment, EXTRACTION, record("evaluation"), videos).reals[0]
    assert [pair.log_likelihood for pair in worst.least_natural] == [1.0, 2.0, 3.0]
    assert [pair.log_likelihood for pair in worst.most_natural] == [5.0, 4.0]
    shown = cv2.imdecode(np.frombuffer(worst.least_natural[0].jpeg, np.uint8), cv2.IMREAD_COLOR)
    stored = cv2.imdecode(np.frombuffer(face("real-6", 1)["crop_jpeg"], np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    assert stored is not None
    side = shown.shape[0]
    left = cv2.resize(stored, (side, side), interpolation=cv2.INTER_AREA)
    assert np.abs(shown[:, :side].astype(float) - left).mean() < 6


def test_a_face_that_is_gone_is_one_clear_error(experiment: Experiment) -> None:
    videos = scored_videos(experiment, record("calibration"))
    with pytest.raises(DataError, match="faces of test pairs are gone"):
        worst_errors(experiment, "another extraction", record("evaluation"), videos)


def test_the_page_stands_alone_escapes_all_and_says_what_came_out(experiment: Experiment, tmp_path: Path) -> None:
    figures = [tmp_path / name for name in ("roc.png", "novel_thing.png")]
    for figure in figures:
        figure.write_bytes(cv2.imencode(".png", np.zeros((4, 30, 3), np.uint8))[1].tobytes())
    page = page_of(experiment, figures)
    assert "<script" not in page
    sources = re.findall(r'src="([^"]*)"', page)
    assert len(sources) == 2 + 8 * 5
    assert all(source.startswith("data:image/") for source in sources)
    assert base64.b64decode(sources[0].partition(",")[2]) == figures[0].read_bytes()
    assert re.findall(r'href="([^"]*)"', page) == ["http://127.0.0.1/run"]
    assert 'width="20"' in page
    shown = words(page)
    for text in (
        "On 6 real and 5 fake videos of d",
        "accuses 1 of 6 reals (17%; 5% are promised) and finds 2 of 5 fakes (40%)",
        "1 of 12 videos have no score",
        "beware of &lt;script&gt;",
        "d/fake/8 too few &lt;script&gt;",
        "accused , score 6",
        "missed , score 3",
        "judged rightly , score 5",
        "Seed 7",
        "More figures",
    ):
        assert text in shown, text
    assert shown.index("How well it tells") < shown.index("More figures")


def test_absent_figures_leave_no_empty_section(experiment: Experiment) -> None:
    shown = words(page_of(experiment, []))
    assert "What disturbs it" not in shown
    assert "d (out-of-domain) all differential 6 5 11" in shown


def test_what_differs_from_the_paper_is_shown_beside_it(experiment: Experiment) -> None:
    shown = words(page_of(experiment, []))
    changed = shown.partition("What differs from the paper's values")[2].partition("All settings")[0]
    assert "seed 7 0" in changed
    assert "density.components" not in changed
    assert "density.components 3 3" in shown
