"""The registered model: a table of videos in, a table of judgements out (MLflow's models from code; no pickle)."""

import base64
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from data_catalog.intake import Intake, is_served, read_serve_settings
from difffake.detector import Detector
from difffake.errors import DataError, InputLimitError, InputRefusedError
from difffake.judgement import COLUMNS, Judgement
from difffake.scores import VideoScore


class DetectorModel(PythonModel):
    """Judges the videos of the columns `path` (paths or URIs) or `content` (bytes, base64 in JSON, with `path` or
    nothing as their name).

    In a server paths are refused unless DIFFFAKE_SERVE_INPUT_ROOT names a folder; `data_catalog.intake` has all limits.
    """

    def load_context(self, context: PythonModelContext) -> None:
        """Read the detector among the model's artefacts."""
        self.detector = Detector.load(Path(context.artifacts["detector"]), read_serve_settings().detector_weights)

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """One row a person, or a file nobody was judged in: the columns of `difffake score`."""
        # Asked for at each call: MLflow says that it serves after it has loaded the model.
        intake = Intake(read_serve_settings(), trusts_names=not is_served())
        rows = []
        for row in model_input.to_dict("records"):
            rows += self._judge(intake, _text(row.get("path")), row.get("content")).rows()
        return pd.DataFrame(rows, columns=list(COLUMNS))

    def _judge(self, intake: Intake, name: str, content: Any) -> Judgement:
        try:
            if isinstance(content, bytes | str) and content:
                opened = intake.content(_bytes(content), name)
            elif name:
                opened = intake.named(name)
            else:
                raise InputRefusedError("neither path nor content is given")
            with opened as path:
                judged = self.detector.score(path, limits=intake.limits)
        except (InputRefusedError, InputLimitError, DataError) as error:
            return Judgement(
                name or "content", VideoScore("failed", f"refused: {error}"), self.detector.settings.verdict
            )
        return judged.renamed(name or "content")


def _bytes(content: bytes | str) -> bytes:
    if isinstance(content, bytes):
        return content
    try:
        return base64.b64decode(content, validate=True)
    except ValueError as error:
        raise InputRefusedError(f"content is no base64: {error}") from error


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


set_model(DetectorModel())
