import numpy as np
import torch

from tests.evaluation.test_victim import data_set
from tests.noise.test_contract import config_for
from ue_ray.experiments.trigger import triggered
from ue_ray.noise.artifact import NoiseArtifact
from ue_ray.noise.budget import Budget


def test_each_image_carries_the_noise_of_the_class_it_is_to_be_taken_for():
    test = data_set(np.full((50, 16, 16, 3), 100, np.uint8), classes=10)
    config = config_for("error-minimizing", "class-wise", "online", Budget(16 / 255))
    deltas = (torch.arange(10) / 255).view(-1, 1, 1, 1).expand(-1, 3, 16, 16).contiguous()
    found = triggered(test, NoiseArtifact(config, deltas=deltas))
    assert (found.labels != test.labels).all()
    assert (found.images == 100 + found.labels.reshape(-1, 1, 1, 1)).all()
    assert len(set(found.labels)) == 10
    np.testing.assert_array_equal(triggered(test, NoiseArtifact(config, deltas=deltas)).labels, found.labels)
