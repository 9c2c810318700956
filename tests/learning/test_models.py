import pytest
import torch

from tests.device import COMPUTE
from ue_ray.errors import UserError
from ue_ray.learning.models import MODELS, build


@pytest.mark.parametrize("side", [28, 32, 112])
@pytest.mark.parametrize("name", MODELS)
def test_every_model_takes_small_and_larger_images_of_any_batch(name, side):
    model = COMPUTE.place(build(name, 7, side)).eval()
    with torch.inference_mode(), COMPUTE.autocast():
        assert model(torch.rand(2, 3, side, side, device=COMPUTE.device)).shape == (2, 7)


def test_an_unknown_model_lists_the_choices():
    with pytest.raises(UserError, match="resnet9, resnet9-wide, resnet18, resnet50, vgg11, densenet121"):
        build("resnet19", 10, 32)
