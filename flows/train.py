"""Train: faces become pseudo-fakes, a backbone, embeddings, pairs, a density, a fusion and a calibrated detector."""

from prefect import flow

from tasks.backbone import train as train_backbone
from tasks.density import calibrate, fit
from tasks.embeddings import embed
from tasks.experiment import Experiment, StageRecord, result
from tasks.fusion import fuse
from tasks.pairs import draw
from tasks.pseudo_fakes import draw_pseudo_fakes


@flow(name="train", validate_parameters=False)
def train(experiment: Experiment, faces: StageRecord, run_id: str) -> dict[str, StageRecord]:
    """One detector from the faces of an extraction."""
    extraction = faces.fingerprint
    pseudo_fakes = result(draw_pseudo_fakes(experiment, extraction, return_state=True))
    backbone = result(train_backbone(experiment, extraction, pseudo_fakes, run_id, return_state=True))
    embeddings = result(embed(experiment, extraction, backbone, return_state=True))
    pairs = result(draw(experiment, extraction, return_state=True))
    density = result(fit(experiment, extraction, embeddings, pairs, return_state=True))
    fusion = result(fuse(experiment, extraction, backbone, embeddings, pairs, density, return_state=True))
    detector = result(
        calibrate(experiment, extraction, backbone, embeddings, pairs, density, fusion, return_state=True)
    )
    return {
        "pseudo_fakes": pseudo_fakes,
        "backbone": backbone,
        "embeddings": embeddings,
        "pairs": pairs,
        "density": density,
        "fusion": fusion,
        "calibration": detector,
    }
