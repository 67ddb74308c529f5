"""The record in a footage folder: what it was built from and the digest of every finished clip.

It is there from the first moment, which marks the folder as ours, and says `finished` last.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from data_catalog.fingerprints import digest_file
from data_catalog.footage.clips import WrittenClip
from data_catalog.footage.media import FootageMedia, Take
from data_catalog.footage.plan import FootageConfig
from difffake.errors import DataError

# Bump when a clip's content changes for the same configuration and media.
FOOTAGE_VERSION = 1
MANIFEST = "footage.json"

_OUR_VIDEOS = ("original_sequences/youtube/*/videos/*", "manipulated_sequences/FaceSwap/*/videos/*")


def describe_inputs(media: FootageMedia, config: FootageConfig) -> dict[str, Any]:
    """All that decides the clips, as JSON would give it back; media by content, never by place."""
    digests = {take.path: "" for person in media.people for take in person.takes}
    digests |= {take.path: "" for take in media.faceless}
    digests = {path: _media_sha256(path) for path in digests}

    def describe(take: Take) -> dict[str, Any]:
        return {**asdict(take), "path": take.path.name, "sha256": digests[take.path]}

    described = {
        "footage_version": FOOTAGE_VERSION,
        "config": asdict(config),
        "people": [
            {"name": person.name, "split": person.split, "takes": [describe(take) for take in person.takes]}
            for person in media.people
        ],
        "faceless": [describe(take) for take in media.faceless],
    }
    inputs: dict[str, Any] = json.loads(json.dumps(described))
    return inputs


def _media_sha256(path: Path) -> str:
    if not path.is_file():
        raise DataError(f"the medium {path} does not exist: restore it, or fetch the media again")
    return digest_file(path)


def take_over(root: Path, inputs: dict[str, Any], planned: Collection[str]) -> dict[str, WrittenClip]:
    """The clips of this very build that are already there, intact; any other clip in the folders it fills is deleted.

    Raises:
        DataError: the folder was not written by this generator.
    """
    manifest = _read_manifest(root)
    done: dict[str, WrittenClip] = {}
    if manifest.get("inputs") == inputs:
        recorded = [WrittenClip(path, **facts) for path, facts in manifest["clips"].items()]
        done = {clip.path: clip for clip in recorded if clip.path in planned and _is_intact(root, clip)}
    if done.keys() != set(planned):
        root.mkdir(parents=True, exist_ok=True)
        write_manifest(root, inputs, done, is_finished=False)
    for folder in _OUR_VIDEOS:
        for path in root.glob(folder):
            if path.relative_to(root).as_posix() not in done:
                path.unlink()
    return done


def _read_manifest(root: Path) -> dict[str, Any]:
    """The folder's manifest; empty for a folder that is absent or holds nothing yet."""
    path = root / MANIFEST
    if not path.exists():
        if root.exists() and (not root.is_dir() or any(entry != _partial(path) for entry in root.iterdir())):
            raise DataError(
                f"{root} exists and was not written by this generator (no {MANIFEST}): its files are left alone, "
                "name a new or empty folder"
            )
        return {}
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if not {"inputs", "clips"} <= manifest.keys():
            raise ValueError("keys inputs and clips expected")
    except (ValueError, AttributeError) as error:
        raise DataError(f"{path} is not a manifest of this generator ({error}): delete {root} to build anew") from error
    return manifest


def _is_intact(root: Path, clip: WrittenClip) -> bool:
    path = root / clip.path
    return path.is_file() and digest_file(path) == clip.sha256


def write_manifest(root: Path, inputs: dict[str, Any], done: Mapping[str, WrittenClip], is_finished: bool) -> None:
    """Record the clips done so far."""
    clips = {
        path: {"sha256": clip.sha256, "frames_swapped": clip.frames_swapped} for path, clip in sorted(done.items())
    }
    content = {"finished": is_finished, "inputs": inputs, "clips": clips}
    write_text(root / MANIFEST, json.dumps(content, indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    """All or nothing, and nothing where the file says so already."""
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    _partial(path).write_text(text, encoding="utf-8")
    _partial(path).replace(path)


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")
