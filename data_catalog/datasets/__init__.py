"""Adapters of the field's datasets, by name."""

from data_catalog.datasets.base import (
    DatasetAdapter,
    Roles,
    Scan,
    Unrecognised,
    VideoEntry,
    describe_folder,
    read_identities,
)
from data_catalog.datasets.celeb_df import CelebDFv1, CelebDFv2
from data_catalog.datasets.deeperforensics import DeeperForensics
from data_catalog.datasets.dfdc import Dfdc
from data_catalog.datasets.dfdc_preview import DfdcPreview
from data_catalog.datasets.faceforensics import DeepFakeDetection, FaceForensics
from data_catalog.datasets.forgerynet import ForgeryNet
from data_catalog.datasets.generic import GenericFolder
from data_catalog.datasets.photos import Photos
from data_catalog.datasets.suspects import Suspects
from data_catalog.datasets.uadfv import Uadfv
from difffake.errors import DataError

_ALL: tuple[DatasetAdapter, ...] = (
    FaceForensics(),
    DeepFakeDetection(),
    CelebDFv1(),
    CelebDFv2(),
    Dfdc(),
    DfdcPreview(),
    DeeperForensics(),
    ForgeryNet(),
    Uadfv(),
    GenericFolder(),
    Photos(),
    Suspects(),
)
ADAPTERS: dict[str, DatasetAdapter] = {adapter.name: adapter for adapter in _ALL}


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
    "DatasetAdapter",
    "Roles",
    "Scan",
    "Unrecognised",
    "VideoEntry",
    "describe_folder",
    "get_adapter",
    "read_identities",
]
