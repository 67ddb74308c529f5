"""What training and embedding do on a GPU, against the same on the CPU."""

import numpy as np
import pytest
import torch

from difffake.backbone.arrival import Arrival
from difffake.backbone.data import TrainingBatches
from difffake.backbone.embed import embed_crops
from difffake.backbone.embedder import build_backbone
from difffake.backbone.epoch import EpochRunner
from difffake.backbone.learner import Learner
from difffake.backbone.sam import SharpnessAwareMinimisation
from difffake.backbone.validation import draw_validation_set, render_validation_set
from difffake.config import BackboneConfig, PseudoFakesConfig
from difffake.errors import ArtefactError
from tests.helpers.synthetic_faces import synthetic_faces

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device"),
]
CONFIG = BackboneConfig(
    model="test_efficientnet.r160_in1k", pretrained="none", input_size_px=64, batch_pairs=4, epochs=2, precision="fp32"
)
FAKES = PseudoFakesConfig()


def test_features_are_those_of_the_cpu_whatever_the_batch() -> None:
    crops = synthetic_faces(videos=5, faces_per_video=9, size_px=80).crops_jpeg
    backbone = build_backbone(CONFIG, seed=0)
    backbone.is_trained = True
    expected = embed_crops(backbone, crops, 4, torch.device("cpu"))
    for batch_size in (1, 4, 7, 45, 64):
        found = embed_crops(backbone, crops, batch_size, torch.device("cuda"))
        # Convolutions round their factors to 10 bits.
        np.testing.assert_allclose(found.features, expected.features, rtol=0.02, atol=0.01)
        np.testing.assert_allclose(found.fake_probability, expected.fake_probability, atol=0.01)


def test_a_broken_crop_is_named_by_its_row() -> None:
    backbone = build_backbone(CONFIG, seed=0)
    crops = [*synthetic_faces(4, 5).crops_jpeg, b"broken"]
    with pytest.raises(ArtefactError, match="face in row 20"):
        embed_crops(backbone, crops, 3, torch.device("cuda"))


def test_a_copy_holds_what_was_there_when_it_was_asked_for() -> None:
    values = torch.zeros(1 << 20, device="cuda")
    arrivals = []
    for _ in range(20):
        values += 1
        arrivals.append(Arrival(values, values.sum()))
    for number, arrival in enumerate(arrivals, start=1):
        copy, total = arrival.wait()
        assert (copy == number).all()
        assert total.item() == number * (1 << 20)


def test_an_epoch_learns_what_it_learns_on_the_cpu() -> None:
    faces = synthetic_faces(4, 6, size_px=80)
    validation = render_validation_set(draw_validation_set(faces, FAKES, 2, seed=0), 64)
    records = []
    for device, workers in (("cpu", 0), ("cuda", 2)):
        backbone = build_backbone(CONFIG, seed=0)
        backbone.to(device).to(memory_format=torch.channels_last)
        optimiser = torch.optim.SGD(backbone.parameters(), lr=0.01, momentum=0.9)
        batches = TrainingBatches(faces, CONFIG, FAKES, 0, workers, pin_memory=device == "cuda")
        runner = EpochRunner(Learner.plain(backbone, optimiser), batches, *validation, CONFIG, seed=0)
        records.append([runner.run(epoch, 2, on_step=None) for epoch in (1, 2)])
    for on_cpu, on_gpu in zip(*records, strict=True):
        assert on_gpu.train_loss == pytest.approx(on_cpu.train_loss, rel=0.05)
        assert on_gpu.skipped_pairs == on_cpu.skipped_pairs


def test_the_climb_is_that_of_the_cpu_and_undone_to_the_bit() -> None:
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((3, 4), (5,), (2, 2, 2))]
    ends = []
    for device in ("cpu", "cuda"):
        model = torch.nn.ParameterList(torch.nn.Parameter(value.clone().to(device)) for value in start)
        sam = SharpnessAwareMinimisation(model, torch.optim.SGD(model.parameters(), lr=0.1), rho=0.5)
        for _ in range(5):
            sam.step(lambda model=model: sum((value**4).sum() for value in model))
        ends.append(torch.cat([value.detach().cpu().ravel() for value in model]))
        before = [value.detach().clone() for value in model]
        sam = SharpnessAwareMinimisation(model, torch.optim.SGD(model.parameters(), lr=0.0), rho=0.5)
        sam.step(lambda model=model: sum((value**4).sum() for value in model))
        assert all(torch.equal(value, old) for value, old in zip(model, before, strict=True))
    torch.testing.assert_close(*ends, rtol=1e-12, atol=0)
