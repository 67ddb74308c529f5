from datetime import timedelta
from pathlib import Path

import pytest

from data_catalog.schemas import TableName
from tasks.announcements import new_faces, remember
from tasks.experiment import Experiment
from tests.helpers.embedded_lake import FACES, experiment_of, real_videos
from tests.helpers.lake_rows import EXTRACTION, fill, outcome, video

VIDEOS = real_videos()


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    return experiment_of(tmp_path / "home", VIDEOS)


def test_everything_is_new_until_it_is_announced_then_only_what_comes_after(experiment: Experiment) -> None:
    first = new_faces(experiment, EXTRACTION)
    assert (first.videos, first.faces) == (len(VIDEOS), FACES * len(VIDEOS))
    # A refresh that was killed before it could tell is made up for by the next.
    assert new_faces(experiment, EXTRACTION) == first
    assert first.last is not None
    remember(experiment, EXTRACTION, first.last)
    assert new_faces(experiment, EXTRACTION).videos == 0

    later = first.last + timedelta(seconds=1)
    fill(
        experiment.lake,
        TableName.VIDEOS,
        [video(f"d/train/{name}", name) for name in ("good", "faceless", "gone")],
    )
    experiment.lake.delete(TableName.VIDEOS, {"video_key": ["d/train/gone"]})
    outcomes = [
        outcome("good", faces_found=3, extracted_at=later),
        outcome("faceless", "no_face", extracted_at=later),
        outcome("gone", faces_found=9, extracted_at=later),
    ]
    fill(experiment.lake, TableName.EXTRACTION_LOG, outcomes)
    found = new_faces(experiment, EXTRACTION)
    assert (found.videos, found.faces, found.last) == (1, 3, later)


def test_another_extraction_has_been_announced_to_nobody(experiment: Experiment) -> None:
    first = new_faces(experiment, EXTRACTION)
    assert first.last is not None
    remember(experiment, "another", first.last)
    assert new_faces(experiment, EXTRACTION) == first
