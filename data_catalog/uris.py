"""Places of files as the tables hold them."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from difffake.errors import DataError


def local_path(uri: str) -> Path:
    """The file a `file:` URI names.

    Raises:
        DataError: the URI names something that is not on this machine.
    """
    parts = urlsplit(uri)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        raise DataError(f"{uri} is not a file of this machine; only file: URIs can be read")
    return Path(unquote(parts.path))
