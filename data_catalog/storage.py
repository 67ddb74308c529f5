"""Folders and files by URI: on this machine (`file:`) or in an object store (`s3:`, and whatever fsspec knows).

Credentials and endpoints come from the environment only (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
`AWS_ENDPOINT_URL`, `AWS_REGION`, or the machine's own role); a URI that carries a password is refused.
"""

import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from stat import S_ISREG
from typing import IO, Any, cast
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit

import fsspec

from difffake.errors import DataError

LOCAL_SCHEME = "file"
_SCHEMES = frozenset({LOCAL_SCHEME, "s3"})
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of a listing.

    Attributes:
        relative: path below the listed folder, parts separated by `/`.
        size_bytes: at the time of the listing; -1 when the file cannot be looked at (a dangling link).
        modified_ns: modification time in ns since 1970; 0 when unknown.
        is_regular: whether it is a file; a pipe, a socket or a device would keep its reader waiting.
    """

    relative: str
    size_bytes: int
    modified_ns: int
    is_regular: bool = True

    @property
    def path(self) -> PurePosixPath:
        """The relative path, for its parts."""
        return PurePosixPath(self.relative)

    @property
    def suffix(self) -> str:
        """The name's suffix in lower case, with its dot; empty when there is none."""
        name = self.relative.rsplit("/", 1)[-1].lower()
        dot = name.rfind(".")
        return name[dot:] if dot > 0 else ""


@dataclass(frozen=True)
class Folder:
    """A folder by URI."""

    uri: str

    @classmethod
    def of(cls, place: str | Path) -> "Folder":
        """The folder at a path or URI.

        Raises:
            DataError: the URI carries credentials, or names a store this installation cannot talk to.
        """
        text = str(place)
        if "://" not in text:
            return cls(Path(text).expanduser().resolve().as_uri())
        parts = split_uri(text)
        if parts.username is not None or parts.password is not None:
            raise DataError(
                f"the place {parts.scheme}://…@{parts.hostname} carries credentials; "
                "give them in the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) instead"
            )
        if parts.scheme not in _SCHEMES:
            raise DataError(f"{text} names no place this installation can read; known are paths, file:// and s3://")
        return cls(text.rstrip("/"))

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine."""
        return urlsplit(self.uri).scheme == LOCAL_SCHEME

    @property
    def path(self) -> Path:
        """Where it is on this machine.

        Raises:
            DataError: it is not on this machine.
        """
        return local_path(self.uri)

    def __str__(self) -> str:
        return str(self.path) if self.is_local else self.uri

    def child(self, relative: str) -> "Folder":
        """A folder below."""
        return Folder(self.file_uri(relative))

    def file_uri(self, relative: str) -> str:
        """The URI of a file below."""
        return (self.path / relative).as_uri() if self.is_local else f"{self.uri}/{relative}"

    def files(self) -> tuple[SourceFile, ...]:
        """Every file below, sorted by path; links to folders are followed, each real folder once.

        Raises:
            DataError: the folder cannot be listed.
        """
        try:
            found = _walk(self.path) if self.is_local else _find(self.uri)
            return tuple(sorted(found, key=lambda file: file.relative))
        except store_errors() as error:
            raise DataError(f"cannot list {self}: {describe_error(error)}") from error

    def top_names(self) -> list[str]:
        """The sorted names right below; folders end in `/`. Empty when there is nothing, or no such folder."""
        if self.is_local:
            if not self.path.is_dir():
                return []
            return sorted(entry.name + ("/" if entry.is_dir() else "") for entry in self.path.iterdir())
        filesystem, root = _remote(self.uri)
        try:
            entries = filesystem.ls(root, detail=True)
        except FileNotFoundError:
            return []
        except store_errors() as error:
            raise DataError(f"cannot list {self}: {describe_error(error)}") from error
        return sorted(PurePosixPath(e["name"]).name + ("/" if e["type"] == "directory" else "") for e in entries)

    def read_bytes(self, relative: str) -> bytes:
        """The content of a small file below.

        Raises:
            DataError: there is none, or it cannot be read.
        """
        try:
            with open_uri(self.file_uri(relative)) as file:
                return file.read()
        except store_errors() as error:
            raise DataError(f"cannot read {self}/{relative}: {describe_error(error)}") from error

    def read_text(self, relative: str) -> str:
        """The content of a small UTF-8 file below; a byte order mark is dropped.

        Raises:
            DataError: there is none, it cannot be read, or is not UTF-8.
        """
        content = self.read_bytes(relative)
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise DataError(f"{self}/{relative} is not UTF-8 text: {error}") from error


def local_path(uri: str) -> Path:
    """The file a `file:` URI names.

    Raises:
        DataError: the URI names something that is not on this machine.
    """
    parts = split_uri(uri)
    if parts.scheme != LOCAL_SCHEME or parts.netloc not in ("", "localhost"):
        raise DataError(f"{uri} is not a file of this machine; only file: URIs can be read")
    # Names need not be UTF-8.
    return Path(os.fsdecode(unquote_to_bytes(parts.path)))


def split_uri(uri: str) -> SplitResult:
    """The parts of a URI.

    Raises:
        DataError: it is none.
    """
    try:
        return urlsplit(uri)
    except ValueError as error:
        raise DataError(f"{uri!r} is no URI: {error}") from error


def printable(name: str) -> str:
    """A file's name as text that can be written anywhere; bytes that are not UTF-8 are shown as escapes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def matching_uris(pattern: str) -> list[str]:
    """The objects of a store whose URI matches a pattern: `*` stops at a slash, `**` does not.

    Raises:
        OSError: the store cannot be listed.
    """
    filesystem, path = _remote(pattern)
    filesystem.invalidate_cache()
    found = filesystem.glob(path, detail=True)
    scheme = urlsplit(pattern).scheme
    return sorted(f"{scheme}://{name}" for name, info in found.items() if info["type"] == "file")


@contextmanager
def fetched(uri: str) -> Iterator[Path]:
    """The file a URI names, on this machine for the time of the block: itself, or a temporary copy of the same suffix.

    Raises:
        OSError: the file is not there or cannot be read.
    """
    if urlsplit(uri).scheme == LOCAL_SCHEME:
        yield local_path(uri)
        return
    with tempfile.TemporaryDirectory(prefix="difffake-") as folder:
        path = Path(folder) / f"fetched{PurePosixPath(urlsplit(uri).path).suffix}"
        with open_uri(uri) as source, path.open("wb") as copy:
            while chunk := source.read(_CHUNK_BYTES):
                copy.write(chunk)
        yield path


def is_local(uri: str) -> bool:
    """Whether a URI names a file of this machine."""
    return urlsplit(uri).scheme == LOCAL_SCHEME


@contextmanager
def open_uri(uri: str) -> Iterator[IO[bytes]]:
    """A file opened for reading bytes.

    Raises:
        OSError: the file is not there or cannot be read.
    """
    if urlsplit(uri).scheme == LOCAL_SCHEME:
        with local_path(uri).open("rb") as file:
            yield file
        return
    filesystem, path = _remote(uri)
    with filesystem.open(path, "rb") as file:
        yield cast(IO[bytes], file)


def stat_uri(uri: str) -> tuple[int, int]:
    """Size in bytes and modification time in ns since 1970, now.

    Raises:
        OSError: the file is not there.
    """
    if urlsplit(uri).scheme == LOCAL_SCHEME:
        stat = local_path(uri).stat()
        return stat.st_size, stat.st_mtime_ns
    filesystem, path = _remote(uri)
    filesystem.invalidate_cache()
    info = filesystem.info(path)
    return int(info["size"]), _modified_ns(info)


def digest(path: Path) -> str:
    """The sha256 of a file's content, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def storage_options(uri: str) -> dict[str, str]:
    """What the Delta library must be told beside the environment: an endpoint without TLS is meant."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
    is_plain = urlsplit(uri).scheme == "s3" and endpoint.startswith("http://")
    return {"AWS_ALLOW_HTTP": "true", "AWS_ENDPOINT_URL": endpoint} if is_plain else {}


def remote_filesystem(uri: str) -> Any:
    """The fsspec filesystem of a URI that is not on this machine.

    Raises:
        DataError: the store's library is not installed.
    """
    scheme = urlsplit(uri).scheme
    try:
        return fsspec.filesystem(scheme)
    except (ImportError, ValueError) as error:
        raise DataError(f"{uri}: no library for {scheme}:// is installed ({error})") from error


def store_errors() -> tuple[type[Exception], ...]:
    """What reading from a place may raise; those of the S3 library only once it is loaded."""
    botocore = sys.modules.get("botocore.exceptions")
    return (OSError, ValueError) if botocore is None else (OSError, ValueError, botocore.BotoCoreError)


def describe_error(error: BaseException) -> str:
    """What went wrong in words; stores put requests, not secrets, into their messages."""
    return str(error) or type(error).__name__


def _remote(uri: str) -> tuple[Any, str]:
    parts = urlsplit(uri)
    return remote_filesystem(uri), f"{parts.netloc}{uri[len(parts.scheme) + 3 + len(parts.netloc) :]}"


def _walk(root: Path) -> Iterator[SourceFile]:
    seen: set[tuple[int, int]] = set()
    pending = [(root, "")]
    inside = root.resolve()
    while pending:
        place, prefix = pending.pop()
        stat = place.stat()
        if (stat.st_dev, stat.st_ino) in seen:
            continue
        seen.add((stat.st_dev, stat.st_ino))
        with os.scandir(place) as unsorted:
            # In one order everywhere: of two links to one folder the same is followed on every machine.
            entries = sorted(unsorted, key=lambda entry: entry.name)
        folders = {entry.name for entry in entries if _is_folder(entry)}
        pending += [
            (Path(entry.path), f"{prefix}{entry.name}/")
            for entry in reversed(entries)
            if entry.name in folders and not _points_inside(entry, inside)
        ]
        yield from (_look(entry, f"{prefix}{entry.name}") for entry in entries if entry.name not in folders)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link that leads to itself.
        return False


def _points_inside(entry: "os.DirEntry[str]", root: Path) -> bool:
    """Whether a folder is a link to one that is met at its own place anyway; where it is met decides what it holds."""
    return entry.is_symlink() and Path(entry.path).resolve().is_relative_to(root)


def _look(entry: "os.DirEntry[str]", relative: str) -> SourceFile:
    try:
        stat = entry.stat()
    except OSError:
        return SourceFile(relative, -1, 0)
    return SourceFile(relative, stat.st_size, stat.st_mtime_ns, S_ISREG(stat.st_mode))


def _find(uri: str) -> Iterator[SourceFile]:
    filesystem, root = _remote(uri)
    filesystem.invalidate_cache()
    for name, info in filesystem.find(root, detail=True).items():
        relative = name[len(root) :].lstrip("/")
        if relative:
            yield SourceFile(relative, int(info["size"]), _modified_ns(info))


def _modified_ns(info: dict[str, Any]) -> int:
    modified = info.get("LastModified") or info.get("mtime") or info.get("last_modified")
    if isinstance(modified, datetime):
        elapsed = modified.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
        return (elapsed.days * 86_400 + elapsed.seconds) * 1_000_000_000 + elapsed.microseconds * 1000
    return int(float(modified) * 1e9) if modified else 0
