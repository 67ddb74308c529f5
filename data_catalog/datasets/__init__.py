"""Adapters of the field's datasets, by name."""

from data_catalog.datasets.base import (
    NAME_PATTERN,
    DatasetAdapter,
    DatasetSpec,
    Scan,
    Unrecognised,
    VideoEntry,
    read_identities,
)
from data_catalog.datasets.faceforensics import FaceForensics
from difffake.errors import DataError

ADAPTERS: dict[str, DatasetAdapter] = {adapter.name: adapter for adapter in (FaceForensics(),)}


def get_adapter(name: str) -> DatasetAdapter:
    """The adapter called `name`.

    Raises:
        DataError: there is none; names those there are.
    """
    if name not in ADAPTERS:
        raise DataError(f"no dataset adapter is called {name!r}; there are: {', '.join(sorted(ADAPTERS))}")
    return ADAPTERS[name]


__all__ = [
    "ADAPTERS",
    "NAME_PATTERN",
    "DatasetAdapter",
    "DatasetSpec",
    "Scan",
    "Unrecognised",
    "VideoEntry",
    "get_adapter",
    "read_identities",
]
