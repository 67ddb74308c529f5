"""The faces that networks are measured on.

`python -m benchmarks.faces FACES.parquet` writes them to a file, for a machine without videos:
DIFFFAKE_BENCHMARK_FACES names it there.
"""

import os
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from difffake.faces.records import FaceSet

FACES_VARIABLE = "DIFFFAKE_BENCHMARK_FACES"
CROP_PX = 224


def benchmark_faces() -> FaceSet:
    """Faces of 224 px from some videos, as they are stored; from the named file if one is named."""
    if FACES_VARIABLE in os.environ:
        return _read(Path(os.environ[FACES_VARIABLE]))
    # Imported here: it needs what decodes videos and finds faces.
    from benchmarks.media import sample_faces

    return sample_faces(CROP_PX)


def repeated(faces: FaceSet, count: int) -> FaceSet:
    """So many faces: some again, under other names and so with other pseudo-fakes."""
    shown = faces.of_rows([number % len(faces) for number in range(count)])
    names = tuple(f"{name}-{number}" for number, name in enumerate(shown.face_ids))
    return FaceSet(names, shown.video_keys, shown.crops_jpeg, shown.landmarks_crop_px)


def _write(faces: FaceSet, path: Path) -> None:
    columns = {
        "face_id": faces.face_ids,
        "video_key": faces.video_keys,
        "crop_jpeg": faces.crops_jpeg,
        "landmarks_crop_px": [points.ravel() for points in faces.landmarks_crop_px],
    }
    pq.write_table(pa.table({name: pa.array(values) for name, values in columns.items()}), path)


def _read(path: Path) -> FaceSet:
    rows = pq.read_table(path).to_pydict()
    landmarks = np.array(rows["landmarks_crop_px"]).reshape(len(rows["face_id"]), -1, 2)
    return FaceSet(tuple(rows["face_id"]), tuple(rows["video_key"]), tuple(rows["crop_jpeg"]), landmarks)


if __name__ == "__main__":
    _write(benchmark_faces(), Path(sys.argv[1]))
