"""The registered model: a table of video paths in, a table of scores out (MLflow's models from code; no pickle)."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from difffake.detector import Detector


class DetectorModel(PythonModel):
    """Scores the video files named in the column `path`."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the detector among the model's artefacts."""
        self.detector = Detector.load(Path(context.artifacts["detector"]))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """One row a path: status, reason, score, p_value, is_anomalous, fake_probability, faces_used, pairs_used."""
        rows = [{"path": path} | asdict(self.detector.score(Path(path))) for path in model_input["path"]]
        return pd.DataFrame(rows)


set_model(DetectorModel())
