"""The data files of tables in an object store, as DuckDB reads them: with few requests."""

import io
import threading
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fsspec import AbstractFileSystem

from data_catalog.storage import remote_filesystem

_WHOLE_BYTES = 8 * 2**20
_KEPT_BYTES = 64 * 2**20
_EPOCH = datetime.fromtimestamp(0, UTC)


class DataFiles(AbstractFileSystem):  # type: ignore[misc]
    """A file system of the named data files alone.

    DuckDB opens a file several times in a query and asks for its existence, size and time each time, which a store
    answers with a request each. Data files never change and the Delta log holds their sizes: nothing need be asked,
    and a small file is fetched whole, once.

    Args:
        scheme: of the files' URIs.
    """

    cachable = False

    def __init__(self, scheme: str) -> None:
        super().__init__()
        self.protocol = scheme
        self._store: Any = None
        self._sizes: dict[str, int] = {}
        self._contents: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def know(self, sizes: Mapping[str, int]) -> None:
        """From now on these files, by URI, are there with so many bytes.

        Raises:
            DataError: the store's library is not installed.
        """
        self._sizes.update(sizes)
        for uri in list(sizes)[:1]:
            # By whoever asks: DuckDB's threads would make a client of the store each.
            self._store = remote_filesystem(uri)

    def info(self, path: str, **_options: Any) -> dict[str, Any]:
        """Name, size and type.

        Raises:
            FileNotFoundError: no such file was named.
        """
        if path not in self._sizes:
            raise FileNotFoundError(path)
        return {"name": path, "size": self._sizes[path], "type": "file"}

    def modified(self, _path: str) -> datetime:
        """The same for ever."""
        return _EPOCH

    def unstrip_protocol(self, name: str) -> str:
        """The URI itself."""
        return name

    def _strip_protocol(self, path: str) -> str:
        return path

    def _open(self, path: str, mode: str = "rb", *_arguments: Any, **_options: Any) -> Any:
        size = self.info(path)["size"]
        if size > _WHOLE_BYTES:
            return self._store.open(path, mode, size=size)
        with self._lock:
            content = self._contents.pop(path, None)
        if content is None:
            # With its end named: some libraries ask for it else.
            content = self._store.cat_file(path, start=0, end=size)
        with self._lock:
            self._contents[path] = content
            kept = sum(map(len, self._contents.values()))
            while kept > _KEPT_BYTES:
                kept -= len(self._contents.popitem(last=False)[1])
        return io.BytesIO(content)
