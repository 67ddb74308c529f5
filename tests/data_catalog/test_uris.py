from pathlib import Path

import pytest

from data_catalog.uris import local_path
from difffake.errors import DataError


@pytest.mark.parametrize("name", ["a.mp4", "FaceForensics++/ä ö#?%41.mp4"])
def test_a_path_comes_back_from_its_uri(tmp_path: Path, name: str) -> None:
    assert local_path((tmp_path / name).as_uri()) == tmp_path / name


@pytest.mark.parametrize("uri", ["s3://bucket/a.mp4", "https://host/a.mp4", "file://host/a.mp4", "/plain/path.mp4"])
def test_other_places_are_refused(uri: str) -> None:
    with pytest.raises(DataError, match="not a file of this machine"):
        local_path(uri)
