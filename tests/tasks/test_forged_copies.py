from pathlib import Path

import numpy as np
import torch

from data_catalog.faces import read_face_set
from difffake.backbone.checkpoints import load_weights
from difffake.backbone.images import resize_to_input
from difffake.faces.crop_jpeg import decode_crop
from difffake.pseudofakes.forged_video import forge_video
from difffake.randomness import derive_rng
from tasks.backbone import weights_path
from tasks.experiment import Experiment
from tasks.forged_copies import ARTEFACT, embed_copies
from tests.helpers.embedded_lake import EXTRACTION, FACES, experiment_of, real_videos, trained_backbone, with_settings

PERSON = ("d/val/p0v0", 0)


def made_at(experiment: Experiment) -> list[int]:
    folder = experiment.home.artefacts.root / ARTEFACT
    return sorted(path.stat().st_mtime_ns for path in folder.glob("*/embeddings.parquet"))


def test_copies_are_embedded_forgeries_of_whole_videos_and_are_made_once(tmp_path: Path) -> None:
    experiment = experiment_of(tmp_path, real_videos(), fusion={"copies_per_video": 2})
    backbone = trained_backbone(experiment, is_trained=True)
    usable = experiment.usable_faces(EXTRACTION)
    faces = usable.filter([name in ("d/val/p0v0", "d/val/p1v0") for name in usable["video_key"].to_pylist()])
    copies = embed_copies(experiment, backbone, faces, is_forced=False)
    assert sorted(copies) == [PERSON, ("d/val/p1v0", 0)]
    assert [len(of_person) for of_person in copies.values()] == [2, 2]

    own = faces.filter([name == PERSON[0] for name in faces["video_key"].to_pylist()]).sort_by("face_id")
    known = read_face_set(experiment.lake, own)
    crops = [decode_crop(jpeg, "") for jpeg in known.crops_jpeg]
    config = experiment.config
    for copy, embedded in enumerate(copies[PERSON]):
        rng = derive_rng(config.seed, "fusion", own["video_sha256"][0].as_py(), copy)
        forged = forge_video(crops, known.landmarks_crop_px, config.pseudo_fakes, config.fusion.jitter, rng)
        network = load_weights(weights_path(experiment, backbone)).eval()
        images = np.stack([resize_to_input(image, 64) for image in forged if image is not None])
        with torch.no_grad():
            expected = network.features(network.preprocessing.normalise(torch.from_numpy(images)))
        assert embedded.face_ids.tolist() == list(known.face_ids)
        np.testing.assert_allclose(embedded.features, expected.numpy(), atol=1e-5)
        assert embedded.fake_probability is not None
        assert embedded.fake_probability.shape == (FACES,)
    assert not np.array_equal(copies[PERSON][0].features, copies[PERSON][1].features)

    first = made_at(experiment)
    again = embed_copies(with_settings(experiment, density={"components": 1}), backbone, faces, is_forced=False)
    np.testing.assert_array_equal(again[PERSON][1].features, copies[PERSON][1].features)
    assert made_at(experiment) == first
    embed_copies(with_settings(experiment, fusion={"copies_per_video": 1}), backbone, faces, is_forced=False)
    assert len(made_at(experiment)) == 2
    embed_copies(experiment, backbone, faces, is_forced=True)
    assert made_at(experiment)[0] > first[0]
