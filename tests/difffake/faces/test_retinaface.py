"""RetinaFace with random weights: the real network, its files and their digests; no download."""

import hashlib
import http.server
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from retinaface import pre_trained_models
from retinaface.predict_single import Model

from difffake.config import FacesConfig
from difffake.errors import WeightsError
from difffake.faces.finder import build_face_finder
from difffake.faces.records import RgbImage
from difffake.faces.retinaface import RetinaFaceDetector
from difffake.faces.retinaface_weights import RELEASE_NAME, load_retinaface_weights

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:torchvision")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Two spinning threads on a busy machine run at a tenth of the speed of one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def network() -> Model:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Model(max_size=96)
    model.eval()
    return model


@pytest.fixture(scope="module")
def weights(network: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("retinaface") / "retinaface.pth"
    torch.save(network.model.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def picture() -> RgbImage:
    return np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def detector(weights: Path) -> RetinaFaceDetector:
    return RetinaFaceDetector(weights, max_side_px=96, min_score=0.0)


def test_detections_equal_those_of_the_package(network: Model, detector: RetinaFaceDetector, picture: RgbImage) -> None:
    """The package rounds boxes and scores to two digits."""
    reference = network.predict_jsons(picture, confidence_threshold=0.0, nms_threshold=0.4)
    faces = detector.detect(picture)
    assert len(faces) == len(reference) > 3
    np.testing.assert_allclose([face.bbox_xyxy_px for face in faces], [face["bbox"] for face in reference], atol=0.02)
    np.testing.assert_allclose([face.score for face in faces], [face["score"] for face in reference], atol=0.006)
    points = [face["landmarks"] for face in reference]
    np.testing.assert_allclose([face.keypoints_px for face in faces], points, atol=0.02)
    scores = [face.score for face in faces]
    assert scores == sorted(scores, reverse=True)
    assert faces[0].keypoints_px.shape == (5, 2)
    assert faces[0].bbox_xyxy_px.dtype == faces[0].keypoints_px.dtype == np.float32


def test_a_shrunk_picture_gives_boxes_in_its_own_pixels(detector: RetinaFaceDetector, picture: RgbImage) -> None:
    large = np.repeat(np.repeat(picture, 4, axis=0), 4, axis=1)
    small_boxes = np.array([face.bbox_xyxy_px for face in detector.detect(picture)])
    large_boxes = np.array([face.bbox_xyxy_px for face in detector.detect(large)])
    np.testing.assert_allclose(large_boxes, 4 * small_boxes, rtol=1e-4, atol=1e-2)


def test_the_finder_of_the_configuration_uses_the_file_and_the_bound(weights: Path, picture: RgbImage) -> None:
    config = FacesConfig(detector_weights=weights, detector_weights_sha256=sha256(weights), detector_min_score=1.0)
    finder = build_face_finder(config)
    assert finder.fingerprint_parts()["retinaface"] == sha256(weights)
    assert finder.find([picture]) == [[]]


def test_a_zip_with_one_weights_file_inside(weights: Path, tmp_path: Path) -> None:
    archive = tmp_path / "weights.zip"
    with zipfile.ZipFile(archive, "w") as target:
        target.write(weights, "retinaface.pth")
    for digest in (sha256(archive), sha256(weights), None):
        state, inner_digest = load_retinaface_weights(archive, digest)
        assert inner_digest == sha256(weights), "a zip and its content name the same detector"
        assert len(state) > 300


def test_another_digest_is_refused_with_what_was_seen(weights: Path) -> None:
    with pytest.raises(WeightsError, match=rf"sha256 {sha256(weights)}.*expected one that starts with {'0' * 64}"):
        RetinaFaceDetector(weights, "0" * 64)


def test_missing_and_corrupt_files(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"cannot read the weights .*absent\.pth: No such file"):
        load_retinaface_weights(tmp_path / "absent.pth", None)
    for name, content in [("empty.pth", b""), ("noise.pth", bytes(range(256)) * 20), ("text.pth", b"hello\n")]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WeightsError, match=rf"{name} is not a PyTorch weights file"):
            load_retinaface_weights(tmp_path / name, None)


def test_a_file_cut_in_half(weights: Path, tmp_path: Path) -> None:
    half = tmp_path / "half.pth"
    half.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    with pytest.raises(WeightsError, match=r"half\.pth is not a PyTorch weights file"):
        load_retinaface_weights(half, None)


def test_a_zip_of_other_things(tmp_path: Path) -> None:
    archive = tmp_path / "many.zip"
    with zipfile.ZipFile(archive, "w") as target:
        target.writestr("a.txt", "a")
        target.writestr("b.txt", "b")
    with pytest.raises(WeightsError, match="holds 2 files"):
        load_retinaface_weights(archive, None)


class _Trap:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("executed"),))


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": _Trap()}, tmp_path / "trap.pth")
    with pytest.raises(WeightsError, match="not a PyTorch weights file"):
        load_retinaface_weights(tmp_path / "trap.pth", None)
    assert not (tmp_path / "executed").exists()


def test_weights_of_another_network(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save(torch.nn.Linear(2, 2).state_dict(), path)
    with pytest.raises(WeightsError, match=r"other\.pth does not hold the weights of RetinaFace"):
        RetinaFaceDetector(path)
    torch.save([1, 2, 3], path)
    with pytest.raises(WeightsError, match="does not hold a state dict"):
        RetinaFaceDetector(path)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty torch hub cache."""
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    return tmp_path / "hub" / "checkpoints"


def point_release_at(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    release = pre_trained_models.models[RELEASE_NAME]._replace(url=url)
    monkeypatch.setitem(pre_trained_models.models, RELEASE_NAME, release)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """An HTTP server on loopback for the files of `tmp_path`."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(tmp_path))

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_a_release_that_cannot_be_reached_says_to_pass_a_file(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    point_release_at(monkeypatch, "http://127.0.0.1:9/retinaface-f168fae3c.zip")
    with pytest.raises(WeightsError, match=r"cannot download .*127\.0\.0\.1:9.*pass a local file"):
        load_retinaface_weights(None, None)
    assert list(hub.glob("*")) == []


def test_a_release_that_is_gone(hub: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    point_release_at(monkeypatch, f"{server}/gone-f168fae3c.zip")
    with pytest.raises(WeightsError, match=r"404.*pass a local file"):
        load_retinaface_weights(None, None)
    assert not (hub / "gone-f168fae3c.zip").exists()


@pytest.mark.parametrize("named_after", ["archive", "content"])
def test_the_release_is_downloaded_once_and_held_to_its_name(
    weights: Path, hub: Path, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named_after: str
) -> None:
    archive = tmp_path / "weights.zip"
    with zipfile.ZipFile(archive, "w") as target:
        target.write(weights, "retinaface.pth")
    name = f"retinaface-{sha256(archive if named_after == 'archive' else weights)[:9]}.zip"
    archive.rename(tmp_path / name)
    point_release_at(monkeypatch, f"{server}/{name}")
    assert load_retinaface_weights(None, None)[1] == sha256(weights)
    (tmp_path / name).unlink()
    assert load_retinaface_weights(None, None)[1] == sha256(weights), "the second time from the cache"
    assert [path.name for path in hub.iterdir()] == [name]


def test_a_cached_release_that_is_damaged(hub: Path) -> None:
    hub.mkdir(parents=True)
    (hub / "retinaface_resnet50_2020-07-20-f168fae3c.zip").write_bytes(b"damaged")
    with pytest.raises(WeightsError, match="expected one that starts with f168fae3c"):
        load_retinaface_weights(None, None)
