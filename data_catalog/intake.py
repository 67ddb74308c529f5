"""Inputs from others: which files a served model or the app may open, and how large they may be.

Settings come from the environment, each with the prefix DIFFFAKE_SERVE_. Nothing outside one folder is opened, nothing
is fetched, unless they say so.
"""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from data_catalog.storage import Folder, describe_error, fetched, local_path, stat_uri, store_errors
from difffake.errors import ConfigError, InputLimitError, InputRefusedError
from difffake.limits import InputLimits
from difffake.media import PHOTO_SUFFIXES, VIDEO_SUFFIXES

_PREFIX = "DIFFFAKE_SERVE_"
_SERVED_BY_MLFLOW = ("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "__pyfunc_model_path__")


class ServeSettings(BaseSettings):
    """What a server accepts."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, extra="forbid", frozen=True)

    input_root: Path | None = Field(None, description="Paths below this folder may be named; none: bytes only.")
    allow_remote: bool = Field(False, description="s3:// URIs may be named.")
    max_file_mb: float = Field(200, gt=0, description="Size of an input, in megabytes of 10⁶ bytes.")
    max_duration_s: float = Field(600, gt=0, description="Length of a video, in seconds.")
    max_megapixels: float = Field(36, gt=0, description="Of a frame, in 10⁶.")
    max_frames: int = Field(36_000, ge=1, description="Frames of a video.")
    timeout_s: float = Field(120, gt=0, description="Work on one input, in seconds.")
    detector_weights: Path | None = Field(
        None, description="RetinaFace weights file, for a detector made with RetinaFace; its release otherwise."
    )

    @property
    def limits(self) -> InputLimits:
        """The limits of one input."""
        return InputLimits.model_validate(self.model_dump(include=set(InputLimits.model_fields)))


def read_serve_settings() -> ServeSettings:
    """The settings of the environment.

    Raises:
        ConfigError: a variable has a value that is not allowed.
    """
    try:
        return ServeSettings()
    except ValidationError as error:
        faults = "; ".join(f"{_PREFIX}{str(fault['loc'][0]).upper()}: {fault['msg']}" for fault in error.errors())
        raise ConfigError(f"the environment does not validate: {faults}") from error


def is_served() -> bool:
    """Whether this process answers requests of others, as `mlflow models serve` does, and not its own user's calls."""
    return any(os.environ.get(name) not in (None, "", "false") for name in _SERVED_BY_MLFLOW)


class Intake:
    """Opens inputs.

    Args:
        settings: what is accepted.
        trusts_names: paths may name any file, for a process that answers its own user only.
    """

    def __init__(self, settings: ServeSettings, *, trusts_names: bool) -> None:
        self.settings = settings
        self._trusts_names = trusts_names

    @property
    def limits(self) -> InputLimits:
        """Of one input."""
        return InputLimits() if self._trusts_names else self.settings.limits

    @contextmanager
    def named(self, name: str) -> Iterator[Path]:
        """The file a path or URI names, for the time of the block.

        Raises:
            InputRefusedError: it may not be opened here, is not there, or cannot be read.
        """
        if "://" in name and not name.startswith("file://"):
            yield from self._fetched(name)
            return
        path = local_path(name) if name.startswith("file:") else Path(name)
        if "\0" in str(path):
            raise InputRefusedError("the path holds a zero byte")
        yield path if self._trusts_names else self._below_root(path)

    @contextmanager
    def content(self, content: bytes, name: str) -> Iterator[Path]:
        """A temporary file with this content, for the time of the block; only the suffix of `name` is used.

        Raises:
            InputRefusedError: it is too large.
        """
        limit = self.limits.max_file_mb
        if limit is not None and len(content) > limit * 1e6:
            raise InputRefusedError(f"{len(content) / 1e6:.4g} MB, more than the {limit:.4g} MB allowed here")
        suffix = Path(name).suffix.lower()
        with tempfile.TemporaryDirectory(prefix="difffake-") as folder:
            path = Path(folder) / f"input{suffix if suffix in VIDEO_SUFFIXES | PHOTO_SUFFIXES else '.mp4'}"
            path.write_bytes(content)
            yield path

    def _below_root(self, path: Path) -> Path:
        root = self.settings.input_root
        if root is None:
            raise InputRefusedError(
                f"paths are not accepted here: send the file's bytes as `content`, or start the server with "
                f"{_PREFIX}INPUT_ROOT"
            )
        # Links are followed first, so that none leads out.
        try:
            real = (root / path).resolve(strict=True)
        except (OSError, ValueError, RuntimeError) as error:
            # RuntimeError: a link that leads to itself.
            raise InputRefusedError("there is no such file below the folder that is open to requests") from error
        if not real.is_relative_to(root.resolve()):
            raise InputRefusedError(f"the path lies outside the folder that is open to requests ({_PREFIX}INPUT_ROOT)")
        if not real.is_file():
            raise InputRefusedError("there is no such file below the folder that is open to requests")
        return real

    def _fetched(self, uri: str) -> Iterator[Path]:
        if not self._trusts_names and not self.settings.allow_remote:
            raise InputRefusedError(f"nothing is fetched from elsewhere unless {_PREFIX}ALLOW_REMOTE is set")
        Folder.of(uri)
        try:
            size_mb, limit = stat_uri(uri)[0] / 1e6, self.limits.max_file_mb
            if limit is not None and size_mb > limit:
                raise InputLimitError(f"{size_mb:.4g} MB, more than the {limit:.4g} MB allowed")
            with fetched(uri) as path:
                yield path
        except store_errors() as error:
            raise InputRefusedError(re.sub(r"//[^/@]*@", "//…@", describe_error(error))) from error
