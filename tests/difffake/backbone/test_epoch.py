"""One epoch alone: what it depends on, and its verdict on the validation faces."""

import numpy as np
import pytest
import torch

from difffake.backbone.data import TrainingBatches
from difffake.backbone.embedder import build_backbone
from difffake.backbone.epoch import EpochRunner, validation_auc
from difffake.backbone.learner import Learner
from difffake.backbone.validation import draw_validation_set, render_validation_set
from difffake.config import BackboneConfig, PseudoFakesConfig
from difffake.errors import TrainingError
from tests.helpers.synthetic_faces import synthetic_faces

CONFIG = BackboneConfig(
    model="test_efficientnet.r160_in1k", pretrained="none", input_size_px=32, batch_pairs=4, epochs=2, device="cpu"
)
FAKES = PseudoFakesConfig()


def weights_after_an_epoch(epoch: int, global_seed: int) -> torch.Tensor:
    faces = synthetic_faces(2, 3, size_px=48)
    backbone = build_backbone(CONFIG, seed=0)
    backbone.network.drop_rate = 0.5
    optimiser = torch.optim.SGD(backbone.parameters(), lr=0.1)
    validation = render_validation_set(draw_validation_set(faces, FAKES, 1, seed=0), 32)
    learner = Learner.plain(backbone, optimiser)
    runner = EpochRunner(learner, TrainingBatches(faces, CONFIG, FAKES, 0), *validation, CONFIG, seed=0)
    torch.manual_seed(global_seed)
    runner.run(epoch, CONFIG.epochs, on_step=None)
    return torch.nn.utils.parameters_to_vector(backbone.parameters()).detach()


def test_what_dropout_draws_is_the_epochs_own() -> None:
    first = weights_after_an_epoch(1, global_seed=1)
    assert torch.equal(first, weights_after_an_epoch(1, global_seed=2))
    assert not torch.equal(first, weights_after_an_epoch(2, global_seed=1))


def test_validation_auc_of_a_network_with_a_known_order() -> None:
    backbone = build_backbone(CONFIG, seed=0)
    images = np.stack([np.full((32, 32, 3), level, np.uint8) for level in (0, 60, 120, 180, 240)])
    with torch.no_grad():
        logits = backbone.eval()(backbone.preprocessing.normalise(torch.from_numpy(images))).numpy()
    order = np.argsort(logits[:, 1] - logits[:, 0])
    labels = np.zeros(5, np.int64)
    # Fakes rank first and third: the first is above 3 reals, the third above 2, of 6 pairs in all.
    labels[order[[4, 2]]] = 1
    assert validation_auc(backbone, images, labels, batch_size=2) == pytest.approx(5 / 6)


def test_probabilities_that_are_not_finite_are_an_error() -> None:
    backbone = build_backbone(CONFIG, seed=0)
    with torch.no_grad():
        backbone.network.classifier.bias.fill_(float("nan"))
    with pytest.raises(TrainingError, match="not finite"):
        validation_auc(backbone, np.zeros((2, 32, 32, 3), np.uint8), np.array([0, 1]), batch_size=2)
