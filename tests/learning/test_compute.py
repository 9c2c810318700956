"""A GPU that torch cannot use, from what torch and the driver say of themselves. There is none here."""

import pytest
import torch

from ue_ray.errors import UserError
from ue_ray.learning import compute
from ue_ray.learning.compute import Compute


def fails(*arguments, **options):
    raise RuntimeError("no kernel image is\navailable")


@pytest.mark.parametrize(
    ("built", "driver", "said"),
    [
        (None, None, "a build without CUDA: install one with CUDA"),
        ("13.0", None, "built for CUDA 13.0, and no driver"),
        ("13.0", (12, 4), "built for CUDA 13.0, and the driver is one for CUDA 12.4: update the driver"),
        ("12.10", (12, 4), "the driver is one for CUDA 12.4: no kernel image is available"),
        ("12.4", (13, 0), "the driver is one for CUDA 13.0: no kernel image is available"),
    ],
)
def test_a_gpu_that_torch_cannot_use_is_one_line(monkeypatch, built, driver, said):
    monkeypatch.setattr(torch, "ones", fails)
    monkeypatch.setattr(torch.version, "cuda", built)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(compute, "driver_cuda", lambda: driver)
    with pytest.raises(UserError) as raised:
        Compute.detect("cuda")
    assert said in str(raised.value)
    assert str(raised.value).startswith(f"torch {torch.__version__} cannot use the GPU: it is ")
    assert "\n" not in str(raised.value)


SETTINGS = (torch.backends.cuda.matmul, torch.backends.cudnn)


@pytest.fixture
def tf32():
    """Allowed, as by a caller of the library."""
    before = [settings.allow_tf32 for settings in SETTINGS]
    for settings in SETTINGS:
        settings.allow_tf32 = True
    yield
    for settings, value in zip(SETTINGS, before, strict=True):
        settings.allow_tf32 = value


@pytest.mark.parametrize(("precision", "left"), [("auto", True), ("float32", False)])
def test_a_callers_settings_of_tf32_are_left_as_they_are(monkeypatch, tf32, precision, left):
    monkeypatch.setattr(compute, "check_gpu", lambda device: None)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert Compute.detect("cuda", precision=precision).bf16 is left
    assert [settings.allow_tf32 for settings in SETTINGS] == [left, left]
