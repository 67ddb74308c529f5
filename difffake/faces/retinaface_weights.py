"""Weights of RetinaFace: from a local file or the release, always with a digest, never by running a pickle."""

import hashlib
import io
import pickle
import zipfile
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse

from difffake.errors import WeightsError

if TYPE_CHECKING:
    import torch

RELEASE_NAME = "resnet50_2020-07-20"
_PASS_A_FILE = "pass a local file (faces.detector_weights) fetched on another machine"  # noqa: S105
_TORCH_ARCHIVE_MARK = "data.pkl"


def load_retinaface_weights(
    weights: Path | None, weights_sha256: str | None
) -> tuple[Mapping[str, "torch.Tensor"], str]:
    """Read a state dict from a .pth file or from a .zip that holds one.

    `weights_sha256` is the digest of the file or of the .pth inside it. Without it a local file is taken as it is; the
    release is held to the digits in its own file name.

    Returns:
        The state dict, and the sha256 of the .pth content.

    Raises:
        WeightsError: no such file, no connection, another digest, or not a state dict.
    """
    if weights is None:
        path = _fetch_release()
        expected = weights_sha256 or _digits_in_name(path)
    else:
        path, expected = weights, weights_sha256 or ""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"cannot read the weights {path}: {error.strerror}; {_PASS_A_FILE}") from error
    inner = _unzip(path, content)
    seen = [hashlib.sha256(data).hexdigest() for data in (content, inner)]
    if not any(digest.startswith(expected) for digest in seen):
        raise WeightsError(
            f"{path} has sha256 {seen[0]} (its .pth content {seen[1]}), expected one that starts with {expected}; "
            "the file is damaged or another one: delete it and fetch it anew, or correct faces.detector_weights_sha256"
        )
    return _state_dict(path, inner), seen[1]


def _fetch_release() -> Path:
    """Path of the release's file in torch's hub cache, downloaded if it is not there."""
    import torch.hub
    from retinaface.pre_trained_models import models

    url = models[RELEASE_NAME].url
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(path), progress=False)
    except (OSError, HTTPException) as error:
        raise WeightsError(f"cannot download RetinaFace's weights from {url}: {error}; {_PASS_A_FILE}") from error
    return path


def _digits_in_name(path: Path) -> str:
    """The release names its file after its content: …-f168fae3c.zip."""
    return path.stem.rsplit("-", 1)[-1]


def _unzip(path: Path, content: bytes) -> bytes:
    """The only file inside a zip; other content, torch's own zip format included, as it is."""
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        if any(Path(name).name == _TORCH_ARCHIVE_MARK for name in names):
            return content
        if len(names) != 1:
            raise WeightsError(f"{path} holds {len(names)} files; expected a .pth, or a .zip with one .pth inside")
        try:
            return archive.read(names[0])
        except zipfile.BadZipFile as error:
            raise WeightsError(f"{path} is damaged: {error}; fetch it anew") from error


def _state_dict(path: Path, content: bytes) -> Mapping[str, "torch.Tensor"]:
    import torch

    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise WeightsError(f"{path} is not a PyTorch weights file: {str(error)[:200]}") from error
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise WeightsError(f"{path} does not hold a state dict (names → tensors) but a {type(state).__name__}")
    return state
