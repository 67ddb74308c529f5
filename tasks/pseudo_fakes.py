"""Pseudo-fakes: the fixed set on which training is watched, and the sheet to look at. Training draws fresh ones."""

from collections.abc import Mapping

import pyarrow as pa
from matplotlib.figure import Figure

from data_catalog.faces import read_face_set
from data_catalog.fingerprints import digest_names, fingerprint
from data_catalog.schemas import TABLES, TableName
from difffake.backbone.donors import donor_of
from difffake.backbone.validation import ValidationSet, draw_validation_set
from difffake.config import ExperimentConfig
from difffake.errors import DataError, DegenerateMaskError
from difffake.evaluation.plot_style import png
from difffake.faces.crop_jpeg import decode_crop
from difffake.faces.records import FaceSet
from difffake.pseudofakes.contact_sheet import one_of_each_kind, pseudo_fake_sheet
from difffake.pseudofakes.donors import DonorPool
from difffake.pseudofakes.recipe import STAGE_VERSION, PseudoFakeRecipe
from difffake.randomness import derive_rng
from tasks.experiment import Experiment, StageRecord, digest_faces, made, of_role, reused, stage_task

STAGE = "pseudo_fakes"
SHEET = "pseudo_fakes.png"
_SHEET_TRIES = 20
_SHEET_DPI = 130


@stage_task(STAGE)
def draw_pseudo_fakes(experiment: Experiment, extraction: str) -> StageRecord:
    """Draw the pseudo-fakes of the validation faces once, as recipes, and a sheet with one of each kind.

    The variant none draws nothing.
    """
    config = experiment.config
    per_video = config.backbone.validation_fakes_per_video
    faces = experiment.usable_faces(extraction)
    train, validation = of_role(faces, "train"), of_role(faces, "validation")
    inputs = {
        "faces": digest_faces(validation),
        "sheet": digest_faces(_sheet_faces(config, train)),
        "per_video": per_video,
        "seed": config.seed,
    }
    name = fingerprint(STAGE, STAGE_VERSION, config.pseudo_fakes, inputs)
    store = experiment.home.artefacts
    found = store.find(STAGE, name)
    is_whole = found is not None and _stored(experiment, name).num_rows == found.facts["pseudo_fakes"]
    if found is not None and is_whole and STAGE not in experiment.force:
        return reused(STAGE, name, found, _summary(found.facts))

    if not config.pseudo_fakes.drawn_masks:
        with store.staging(STAGE, name) as folder:
            artefact = store.publish(folder, STAGE, name, {"pseudo_fakes": 0, "videos": 0}, digest_names([]))
        return made(STAGE, name, artefact, _summary(artefact.facts))

    available = read_face_set(experiment.lake, validation)
    drawn = draw_validation_set(available, config.pseudo_fakes, per_video, config.seed)
    contents = dict(zip(validation["face_id"].to_pylist(), validation["video_sha256"].to_pylist(), strict=True))
    rows = _rows(drawn, name, contents)
    experiment.lake.delete(TableName.PSEUDO_FAKES, {"pseudo_fake_set": [name]})
    experiment.lake.append_missing(TableName.PSEUDO_FAKES, rows)
    with store.staging(STAGE, name) as folder:
        sheet = _sheet(experiment, read_face_set(experiment.lake, _sheet_faces(config, train)))
        (folder / SHEET).write_bytes(png(sheet, _SHEET_DPI))
        facts = {"pseudo_fakes": rows.num_rows, "videos": len(set(available.video_keys))}
        digest = digest_names(f"{row['video_key']} {row['face_id']} {row['recipe']}" for row in rows.to_pylist())
        artefact = store.publish(folder, STAGE, name, facts, digest)
    return made(STAGE, name, artefact, _summary(facts))


def read_validation_set(experiment: Experiment, name: str) -> ValidationSet:
    """The validation set drawn under this fingerprint."""
    rows = _stored(experiment, name).sort_by([("video_key", "ascending"), ("face_id", "ascending")])
    recipes = tuple(PseudoFakeRecipe.from_json(text) for text in rows["recipe"].to_pylist())
    return ValidationSet(read_face_set(experiment.lake, rows), recipes)


def _stored(experiment: Experiment, name: str) -> pa.Table:
    columns = ["video_key", "video_sha256", "face_id", "recipe"]
    return experiment.lake.read(TableName.PSEUDO_FAKES, columns, {"pseudo_fake_set": [name]})


def _rows(drawn: ValidationSet, name: str, contents: Mapping[str, str]) -> pa.Table:
    rows = [
        {
            "pseudo_fake_id": digest_names([name, video_key, face_id]),
            "face_id": face_id,
            "video_sha256": contents[face_id],
            "video_key": video_key,
            "pseudo_fake_set": name,
            "mask_type": recipe.mask_type,
            "hull_family": recipe.hull_family,
            "blend_ratio": recipe.blend_ratio,
            "recipe": recipe.to_json(),
        }
        for face_id, video_key, recipe in zip(drawn.faces.face_ids, drawn.faces.video_keys, drawn.recipes, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=TABLES[TableName.PSEUDO_FAKES].schema)


def _sheet_faces(config: ExperimentConfig, train: pa.Table) -> pa.Table:
    """The first faces; of as many videos, where other faces are blended in."""
    if not config.pseudo_fakes.needs_donors:
        return train.slice(0, _SHEET_TRIES)
    first: dict[str, int] = {}
    for row, video_key in enumerate(train["video_key"].to_pylist()):
        first.setdefault(video_key, row)
    return train.take(pa.array(list(first.values())[:_SHEET_TRIES]))


def _sheet(experiment: Experiment, faces: FaceSet) -> Figure:
    """One pseudo-fake of each kind, of the first face whose masks all select something."""
    config = experiment.config.pseudo_fakes
    pool = DonorPool(faces.landmarks_crop_px, faces.video_keys) if config.needs_donors else None
    faults: list[DegenerateMaskError] = []
    for number, face in enumerate(faces.face_ids):
        crop = decode_crop(faces.crops_jpeg[number], face)
        rng = derive_rng(experiment.config.seed, STAGE, "sheet")
        chosen = None if pool is None else pool.choose(number, derive_rng(experiment.config.seed, STAGE, "sheet donor"))
        donor = None if chosen is None else donor_of(faces, chosen)
        try:
            rows = one_of_each_kind(crop, faces.landmarks_crop_px[number], config, rng, donor)
        except DegenerateMaskError as fault:
            faults.append(fault)
            continue
        return pseudo_fake_sheet(rows)
    raise DataError(f"none of the first {len(faces)} training faces gives every kind of pseudo-fake: {faults[-1]}")


def _summary(facts: dict[str, int]) -> str:
    if not facts["pseudo_fakes"]:
        return "none, as the configuration says"
    return f"{facts['pseudo_fakes']} fixed ones on {facts['videos']} validation videos"
