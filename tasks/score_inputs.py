"""What is to be scored: paths, folders, patterns and URIs become one entry a file; nothing that was named is lost."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path, PurePosixPath

from data_catalog.storage import Folder, describe_error, local_path, matching_uris, printable, split_uri, store_errors
from difffake.errors import DataError
from difffake.media import PHOTO_SUFFIXES, VIDEO_SUFFIXES

_SUFFIXES = VIDEO_SUFFIXES | PHOTO_SUFFIXES


@dataclass(frozen=True)
class ScoreInput:
    """A file to be scored, or something named that gave none.

    Attributes:
        name: as it was given or found; what results call it.
        uri: where its content is; empty where there is nothing to read.
        reason: why not.
    """

    name: str
    uri: str
    reason: str = ""


def expand_inputs(places: Sequence[str]) -> list[ScoreInput]:
    """Every file below folders and patterns, in the order given, each once; photos count where they are named.

    Args:
        places: files, folders, patterns (`*`, `?`, `**`), and file:// or s3:// URIs of files or folders.
    """
    found: dict[str, ScoreInput] = {}
    for place in places:
        for entry in _expand(place):
            found.setdefault(entry.uri or entry.name, entry)
    return list(found.values())


def reference_files(place: str) -> list[Path]:
    """Reference footage: a video or photo, or all videos and photos below a folder.

    Raises:
        DataError: it is not there, or holds none.
    """
    if "://" in place and not place.startswith("file://"):
        raise DataError(f"--reference {place}: references must lie on this machine; copy them here first")
    path = local_path(place) if place.startswith("file:") else Path(place)
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f"--reference {place}: there is no such file or folder")
    files = [path / file.relative for file in Folder.of(path).files() if file.suffix in _SUFFIXES and file.is_regular]
    if not files:
        raise DataError(f"--reference {place}: the folder holds no video and no photo")
    return files


def _expand(place: str) -> Iterator[ScoreInput]:
    try:
        found = list(_expand_uri(place) if "://" in place or place.startswith("file:/") else _expand_path(place))
    except (DataError, RuntimeError, *store_errors()) as error:
        # RuntimeError: a home folder of nobody (~name).
        found = [ScoreInput(_without_secrets(place), "", describe_error(error))]
    yield from found


def _expand_path(place: str) -> Iterator[ScoreInput]:
    path = Path(place).expanduser()
    if path.is_dir():
        yield from _videos_below(place, Folder.of(path))
    elif path.exists():
        yield _file(place, path)
    elif has_magic(place):
        matches = sorted(glob(str(path), recursive=True))  # noqa: PTH207 - any pattern, absolute ones too
        files = [match for match in matches if Path(match).is_file()]
        yield from (_file(match, Path(match)) for match in files)
        if not files:
            yield ScoreInput(printable(place), "", "no file matches this pattern")
    else:
        yield ScoreInput(printable(place), "", "there is no such file or folder")


def _file(name: str, path: Path) -> ScoreInput:
    if not path.is_file():
        return ScoreInput(printable(name), "", "not a regular file")
    return ScoreInput(printable(name), path.resolve().as_uri())


def _expand_uri(uri: str) -> Iterator[ScoreInput]:
    folder = Folder.of(uri)
    if folder.is_local:
        path = folder.path
        yield from _videos_below(uri, folder) if path.is_dir() else [_file(uri, path)]
    elif has_magic(uri):
        yield from _matching(uri)
    elif PurePosixPath(split_uri(uri).path).suffix.lower() in _SUFFIXES:
        yield ScoreInput(uri, uri)
    else:
        yield from _videos_below(uri, folder)


def _matching(pattern: str) -> Iterator[ScoreInput]:
    found = matching_uris(pattern)
    yield from (ScoreInput(uri, uri) for uri in found)
    if not found:
        yield ScoreInput(pattern, "", "no file matches this pattern")


def _videos_below(name: str, folder: Folder) -> Iterator[ScoreInput]:
    videos = [file for file in folder.files() if file.suffix in VIDEO_SUFFIXES]
    for file in videos:
        uri = folder.file_uri(file.relative)
        shown = printable(str(local_path(uri))) if folder.is_local else uri
        yield ScoreInput(shown, uri) if file.is_regular else ScoreInput(shown, "", "not a regular file")
    if not videos:
        yield ScoreInput(printable(name), "", "the folder holds no video")


def _without_secrets(place: str) -> str:
    return printable(re.sub(r"//[^/@]*@", "//…@", place))
