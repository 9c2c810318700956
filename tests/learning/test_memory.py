from torch import nn

from ue_ray.learning.models import memory
from ue_ray.learning.models.memory import training_bytes


def test_outputs_and_weights_are_counted(monkeypatch):
    def build(*given):
        return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(1024, 2))

    monkeypatch.setattr(memory, "build", build)
    outputs = 3 * 4 * 16 * 16 + 2  # of a convolution, a ReLU, a flattening and a linear layer
    weights = 4 * 3 * 9 + 4 + 1024 * 2 + 2
    assert training_bytes("any", 16, 10) == 4 * (10 * outputs + 3 * weights)
