import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.config_reference import markdown

REPOSITORY = Path(__file__).resolve().parents[2]


def call(*arguments: str, code: str = "from flows.cli import main; main()") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize(
    "command",
    [
        (),
        *(
            (name,)
            for name in (
                "run",
                "score",
                "ablate",
                "demo",
                "ui",
                "config",
                "datasets",
                "refresh",
                "catalog",
                "sql",
                "maintain",
            )
        ),
    ],
)
def test_every_command_explains_itself(command: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(app, [*command, "--help"])
    assert shown.exit_code == 0
    assert len(shown.stdout.splitlines()) > 5


def test_the_configuration_page_is_up_to_date() -> None:
    assert (REPOSITORY / "docs" / "configuration.md").read_text() == markdown()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("faces: {frame_per_video: 3}", "faces.frame_per_video: unknown key"),
        ("backbone: {epochs: 0}", "backbone.epochs: Input should be greater than or equal to 1 (seen: 0)"),
        ("[1, 2", "is not valid YAML"),
    ],
)
def test_a_faulty_configuration_is_one_clear_message_before_anything_starts(
    tmp_path: Path, text: str, message: str
) -> None:
    config = tmp_path / "faulty.yaml"
    config.write_text(text)
    home = tmp_path / "home"
    run = call("run", "--config", str(config), "--dataset", "faceforensics", "--root", "x", "--home", str(home))
    assert run.returncode == 1
    assert message in " ".join(run.stderr.split())
    assert "Traceback" not in run.stderr
    assert not home.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("run",),
        ("run", "--config", "configs/cpu.yaml", "--dataset", "faceforensics", "--root", "x", "--force", "everything"),
        ("nonsense",),
    ],
)
def test_wrong_usage_exits_with_two(arguments: tuple[str, ...]) -> None:
    run = call(*arguments)
    assert run.returncode == 2
    assert "Traceback" not in run.stderr


ENDED = """
import signal, sys, time
from pydantic import BaseModel, model_serializer
from difffake.errors import DataError
from flows.cli import app, main

class Settings(BaseModel):
    @model_serializer
    def write(self) -> str:
        signal.raise_signal(getattr(signal, sys.argv[2]))
        time.sleep(60)

class Forgetful:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

@app.command()
def compiled(sign: str):
    Settings().model_dump()

@app.command()
def swallowed(error: str):
    Forgetful()
    raise {"DataError": DataError, "KeyError": KeyError}[error]("the disk is broken")

@app.command()
def full(error: str):
    try:
        signal.raise_signal(signal.SIGINT)
    finally:
        raise OSError(28, "No space left on device")

# Commands started with & in a shell without job control ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""


@pytest.mark.parametrize(
    ("command", "code", "told"),
    [
        (("compiled", "SIGINT"), 130, "interrupted; the same command goes on where this one stopped"),
        (("compiled", "SIGTERM"), 143, ""),
        (("swallowed", "DataError"), 1, "error DataError: the disk is broken"),
        (("swallowed", "KeyError"), 1, "KeyError: 'the disk is broken'"),
        (("full", "OSError"), 1, "error OSError: [Errno 28] No space left on device"),
    ],
)
def test_an_end_within_compiled_code_is_one_and_an_error_after_ctrl_c_is_told(
    command: tuple[str, ...], code: int, told: str
) -> None:
    done = call(*command, code=ENDED)
    assert done.returncode == code, done.stderr
    assert (done.stderr.splitlines() or [""])[-1] == told


def test_help_loads_none_of_the_heavy_libraries() -> None:
    code = (
        "import sys\nfrom flows.cli import app\n"
        "heavy = {'torch', 'mlflow', 'prefect', 'cv2', 'sklearn', 'duckdb', 'timm'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
