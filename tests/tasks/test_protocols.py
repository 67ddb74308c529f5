"""The shipped protocols on miniature trees of their datasets: who is judged, in which domain, against whom."""

from pathlib import Path
from zlib import crc32

import numpy as np
import pytest

from data_catalog import inventory
from data_catalog.home import Home
from data_catalog.inventory import check_identities, take_inventory
from difffake.config import load_config
from difffake.evaluation.groups import Group, group_videos
from difffake.evaluation.results import DIFFERENTIAL
from difffake.scores import VideoScore
from difffake.video_writing import write_video
from tasks.experiment import Experiment
from tasks.judged_videos import judged_videos, result_of
from tests.helpers.layouts import LAYOUTS

PROTOCOLS = Path(__file__).parents[2] / "configs" / "protocols"
ROOTS = {
    "FACEFORENSICS_ROOT": "faceforensics",
    "CELEBDF_ROOT": "celebdf_v2",
    "DFDC_ROOT": "dfdc",
    "DFDC_PREVIEW_ROOT": "dfdc_preview",
    "DEEPERFORENSICS_ROOT": "deeperforensics",
    "FORGERYNET_ROOT": "forgerynet",
}


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("datasets")

    def write(path: Path) -> None:
        rng = np.random.default_rng(crc32(str(path.relative_to(folder)).encode()))
        write_video(path, list(rng.integers(0, 255, (3, 48, 64, 3)).astype(np.uint8)), fps=10, crf=40)

    for layout in ROOTS.values():
        LAYOUTS[layout](folder / layout, write)
    return {variable: str(folder / layout) for variable, layout in ROOTS.items()}


@pytest.fixture(autouse=True)
def environment(roots: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "_SETTLE_S", 0.0)
    for variable, root in roots.items():
        monkeypatch.setenv(variable, root)


def judged(protocol: str, home: Path) -> dict[tuple[str, str], Group]:
    """The groups of a protocol over the miniature trees, as the evaluation makes them."""
    config = load_config(PROTOCOLS / f"{protocol}.yaml")
    experiment = Experiment(config, Home(home), config.datasets)
    experiment.home.create()
    for spec in config.datasets:
        take_inventory(experiment.lake, spec, workers=1)
    check_identities(experiment.lake, experiment.roles())
    videos, learnt_from = judged_videos(experiment, "none yet")
    assert learnt_from == ["ff"]
    results = [result_of(row, VideoScore("failed"), {}) for row in videos.values()]
    assert all(result.scores[DIFFERENTIAL] is None for result in results)
    return {(group.domain.name, group.name): group for group in group_videos(results, learnt_from)}


def test_cross_manipulation(tmp_path: Path) -> None:
    groups = judged("ff_cross_manipulation", tmp_path)

    assert list(groups) == [("ff/c23", "overall"), ("ff/c23", "FaceShifter")]
    assert [fake.video_key for fake in groups["ff/c23", "FaceShifter"].fakes] == ["ff/FaceShifter/c23/020_021"]
    assert [real.video_key for real in groups["ff/c23", "FaceShifter"].reals] == ["ff/youtube/c23/020"]


def test_cross_quality(tmp_path: Path) -> None:
    groups = judged("cross_quality", tmp_path)

    # The calibration's quality first; there is no test video of raw quality in the tree.
    assert list(groups) == [
        ("ff/c23", "overall"),
        ("ff/c23", "FaceShifter"),
        ("ff/c40", "overall"),
        ("ff/c40", "NeuralTextures"),
    ]
    assert [real.video_key for real in groups["ff/c40", "overall"].reals] == ["ff/youtube/c40/021"]


def test_cross_dataset(tmp_path: Path) -> None:
    groups = judged("cross_dataset", tmp_path)
    overall = {domain: group for (domain, name), group in groups.items() if name == "overall"}

    assert [domain for domain, group in overall.items() if group.is_in_domain] == ["ff/c23"]
    assert list(overall) == [
        "ff/c23", "celebdf", "dfd/c23", "dfdc", "dfdc_preview", "deeperforensics", "forgerynet",
    ]  # fmt: skip
    assert all(group.reals and group.fakes for group in overall.values())
    borrowed = {name: group.reals_from.name for name, group in overall.items() if group.reals_from != group.domain}
    assert borrowed == {"deeperforensics": "ff/c23"}
    assert {video.dataset for group in overall.values() for video in (*group.reals, *group.fakes)} == {
        "ff", "celebdf", "dfd", "dfdc", "dfdc_preview", "deeperforensics", "forgerynet",
    }  # fmt: skip
