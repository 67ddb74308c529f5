"""Miniature trees of every dataset's official layout; each returns the local keys a scan must find."""

from collections.abc import Callable
from pathlib import Path

from tests.helpers.layouts import (
    celebdf_v1,
    celebdf_v2,
    deeperforensics,
    dfdc,
    dfdc_preview,
    faceforensics,
    folder,
    forgerynet,
    photos,
    suspects,
    uadfv,
)

LAYOUTS: dict[str, Callable[[Path, Callable[[Path], None]], frozenset[str]]] = {
    "faceforensics": faceforensics.build,
    "deepfakedetection": faceforensics.build_deepfakedetection,
    "celebdf_v1": celebdf_v1.build,
    "celebdf_v2": celebdf_v2.build,
    "dfdc": dfdc.build,
    "dfdc_preview": dfdc_preview.build,
    "deeperforensics": deeperforensics.build,
    "forgerynet": forgerynet.build,
    "uadfv": uadfv.build,
    "folder": folder.build,
    "photos": photos.build,
    "suspects": suspects.build,
}
