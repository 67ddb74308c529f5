"""Named tensors and a JSON header in one safetensors file that is whole or absent, and says if it was altered."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from difffake.errors import ArtefactError

# One metadata key: safetensors writes several in an order that changes from run to run.
_HEADER = "difffake"


def write_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write atomically: after a crash at any moment, `path` holds the former file or the new one."""
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    header_json = json.dumps(header, sort_keys=True, allow_nan=False)
    envelope = json.dumps({"header": header_json, "sha256": _digest(stored, header_json)}, sort_keys=True)
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as file:
        file.write(save(stored, {_HEADER: envelope}))
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    _sync_folder(path.parent)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors (on the CPU) and header of a file `write_tensors` wrote.

    Raises:
        ArtefactError: the file is missing, incomplete, altered or not ours.
    """
    try:
        with safe_open(path, framework="pt") as file:
            envelope_json = (file.metadata() or {}).get(_HEADER)
            names = file.keys()
            tensors = {name: file.get_tensor(name) for name in names}
    except (OSError, SafetensorError) as error:
        raise ArtefactError(f"{path} is missing or incomplete ({error}): make it again or restore a copy") from error
    if envelope_json is None:
        raise ArtefactError(f"{path} has no {_HEADER} header: it is not a file this package wrote")
    return tensors, _checked_header(path, tensors, envelope_json)


def _checked_header(path: Path, tensors: Mapping[str, Tensor], envelope_json: str) -> dict[str, Any]:
    try:
        envelope = json.loads(envelope_json)
        header_json, stated = envelope["header"], envelope["sha256"]
        header = json.loads(header_json)
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ArtefactError(f"the header of {path} is damaged ({error!r}): make the file again") from error
    if (actual := _digest(tensors, header_json)) != stated:
        raise ArtefactError(
            f"{path} was altered: its content has the digest {actual:.12}…, its header states {stated:.12}…; "
            "make the file again or restore a copy"
        )
    return dict(header)


def _digest(tensors: Mapping[str, Tensor], header_json: str) -> str:
    digest = hashlib.sha256(header_json.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\x1f{name}\x1f{tensor.dtype}\x1f{tuple(tensor.shape)}\x1f".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _sync_folder(folder: Path) -> None:
    # The rename itself must reach the disk, too.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
