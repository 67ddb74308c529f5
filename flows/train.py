"""Train: faces become pairs, pseudo-fakes, a backbone, embeddings, a density, a fusion, a calibrated detector."""

from prefect import flow

from flows.embedding import embed
from tasks.backbone import train as train_backbone
from tasks.calibration import calibrate
from tasks.density import fit
from tasks.diagnostics import examine
from tasks.experiment import Experiment, StageRecord, result
from tasks.fusion import fuse
from tasks.pairs import check_pairs, draw
from tasks.pseudo_fakes import draw_pseudo_fakes


@flow(name="train", flow_run_name="train", validate_parameters=False)
def train(experiment: Experiment, faces: StageRecord, run_id: str) -> dict[str, StageRecord]:
    """One detector from the faces of an extraction."""
    extraction = faces.fingerprint
    pairs = result(draw(experiment, extraction, return_state=True))
    check_pairs(experiment, extraction, pairs)
    pseudo_fakes = result(draw_pseudo_fakes(experiment, extraction, return_state=True))
    backbone = result(train_backbone(experiment, extraction, pseudo_fakes, run_id, return_state=True))
    embeddings = embed(experiment, extraction, backbone)
    density = result(fit(experiment, extraction, backbone, embeddings, pairs, return_state=True))
    fusion = result(fuse(experiment, extraction, backbone, embeddings, pairs, density, return_state=True))
    detector = result(
        calibrate(experiment, extraction, backbone, embeddings, pairs, density, fusion, return_state=True)
    )
    records = {
        "pairs": pairs,
        "pseudo_fakes": pseudo_fakes,
        "backbone": backbone,
        "embeddings": embeddings,
        "density": density,
        "fusion": fusion,
        "calibration": detector,
    }
    if experiment.config.diagnostics.enabled:
        records["diagnostics"] = result(examine(experiment, extraction, embeddings, pairs, density, return_state=True))
    return records
