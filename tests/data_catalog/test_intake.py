from pathlib import Path

import pytest

from data_catalog.intake import Intake, ServeSettings, is_served, read_serve_settings
from difffake.errors import ConfigError, DataError, InputRefusedError
from difffake.limits import InputLimits


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "open"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a.mp4").write_bytes(b"inside")
    (tmp_path / "secret.mp4").write_bytes(b"outside")
    (folder / "link.mp4").symlink_to(tmp_path / "secret.mp4")
    (folder / "linked").symlink_to(tmp_path)
    return folder


def opened(intake: Intake, name: str) -> bytes:
    with intake.named(name) as path:
        return path.read_bytes()


def test_a_server_opens_what_lies_below_its_folder(root: Path) -> None:
    intake = Intake(ServeSettings(input_root=root), trusts_names=False)
    for name in ("deep/a.mp4", "./deep/../deep/a.mp4", str(root / "deep" / "a.mp4"), (root / "deep/a.mp4").as_uri()):
        assert opened(intake, name) == b"inside"


@pytest.mark.parametrize(
    "name",
    ["../secret.mp4", "link.mp4", "linked/secret.mp4", "/etc/passwd", "file:///etc/passwd", "deep/../../secret.mp4"],
)
def test_nothing_outside_is_opened_by_any_detour(root: Path, name: str) -> None:
    intake = Intake(ServeSettings(input_root=root), trusts_names=False)
    with pytest.raises(InputRefusedError, match="outside the folder"):
        opened(intake, name)


@pytest.mark.parametrize("name", ["deep", "missing.mp4", "."])
def test_what_is_no_file_is_refused(root: Path, name: str) -> None:
    with pytest.raises(InputRefusedError, match="no such file"):
        opened(Intake(ServeSettings(input_root=root), trusts_names=False), name)


def test_without_a_folder_a_server_takes_bytes_only(root: Path) -> None:
    intake = Intake(ServeSettings(), trusts_names=False)
    with pytest.raises(InputRefusedError, match=r"send the file's bytes .* DIFFFAKE_SERVE_INPUT_ROOT"):
        opened(intake, str(root / "deep" / "a.mp4"))
    with intake.content(b"bytes", "../../etc/evil.sh") as path:
        assert path.read_bytes() == b"bytes"
        assert path.suffix == ".mp4"
        kept = path
    assert not kept.exists()
    with intake.content(b"bytes", "CLIP.MOV") as path:
        assert path.suffix == ".mov"


def test_nothing_is_fetched_unless_it_is_allowed() -> None:
    for name in ("s3://bucket/a.mp4", "https://example.org/a.mp4", "http://127.0.0.1/a.mp4"):
        with pytest.raises(InputRefusedError, match="ALLOW_REMOTE"):
            opened(Intake(ServeSettings(), trusts_names=False), name)
    with pytest.raises(DataError, match="no place this installation can read"):
        opened(Intake(ServeSettings(allow_remote=True), trusts_names=False), "https://example.org/a.mp4")


def test_large_contents_are_refused_and_ones_own_calls_have_the_librarys_limits() -> None:
    served = Intake(ServeSettings(max_file_mb=0.001), trusts_names=False)
    with served.content(bytes(1000), "a.mp4"):
        pass
    with (
        pytest.raises(InputRefusedError, match=r"0\.001001 MB, more than the 0\.001 MB"),
        served.content(bytes(1001), "a"),
    ):
        pass
    assert served.limits.max_file_mb == 0.001
    assert Intake(ServeSettings(), trusts_names=True).limits == InputLimits()


def test_settings_come_from_the_environment_and_faults_name_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFFAKE_SERVE_MAX_DURATION_S", "12")
    assert read_serve_settings().limits.max_duration_s == 12
    monkeypatch.setenv("DIFFFAKE_SERVE_MAX_FRAMES", "0")
    with pytest.raises(ConfigError, match="DIFFFAKE_SERVE_MAX_FRAMES"):
        read_serve_settings()


@pytest.mark.parametrize("name", ["_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "__pyfunc_model_path__"])
def test_mlflows_server_is_recognised(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for other in ("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "__pyfunc_model_path__"):
        monkeypatch.delenv(other, raising=False)
    assert not is_served()
    monkeypatch.setenv(name, "true")
    assert is_served()
