"""The device on which networks run, and their precision."""

from __future__ import annotations

import ctypes
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ue_ray.errors import UserError, one_line

Precision = Literal["auto", "float32"]


@dataclass(frozen=True)
class Compute:
    """A device and how it is used.

    ``bf16``: forward passes in bfloat16 (autocast), channels last. Only for hardware that multiplies bfloat16 (GPUs
    from Ampere on, CPUs with AMX or AVX512-BF16): emulated, it is ten times slower than float32. ``compile``: networks
    are compiled by ``torch.compile``.
    """

    device: torch.device
    bf16: bool = False
    compile: bool = False

    @staticmethod
    def detect(
        device: str | torch.device | None = None, compile: bool = False, precision: Precision = "auto"
    ) -> Compute:
        """Returns the best that this machine has, or the best for ``device``, such as ``"cuda:1"`` or ``"cpu"``.

        With ``float32`` it forbids TF32 to this process, a worker's; else torch's settings are left as they are: GPUs
        that have TF32 have bfloat16. Raises UserError for a GPU that torch cannot use (``check_gpu``).
        """
        auto = precision == "auto"
        chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        if chosen.type == "cuda":
            check_gpu(chosen)
            if not auto:
                torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
            return Compute(chosen, auto and torch.cuda.is_bf16_supported(including_emulation=False), compile)
        return Compute(chosen, auto and cpu_has_bf16(), compile)

    @property
    def memory_format(self) -> torch.memory_format:
        """The layout of images and weights that is fastest here."""
        return torch.channels_last if self.bf16 or self.device.type == "cuda" else torch.contiguous_format

    def autocast(self) -> AbstractContextManager[None]:
        """Returns the context of a forward pass."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def place(self, model: nn.Module) -> nn.Module:
        """Moves the model to the device, in this memory format; returns it."""
        return model.to(self.device, memory_format=self.memory_format)  # type: ignore[call-overload]

    def forward(self, model: nn.Module) -> nn.Module:
        """Returns what to call for a forward pass: the model, or a compiled model with the same weights."""
        return torch.compile(model) if self.compile else model  # type: ignore[return-value]

    def captured(self, model: nn.Module, images: Tensor) -> nn.Module:
        """Returns the model, whose training passes on batches of this shape are from now on replayed as CUDA graphs.

        Small networks are bound by the launches of their kernels: two a pass instead of hundreds. ``images``: float32
        [N,3,S,S] on a GPU, without gradient: none reaches the images of a captured pass.
        """
        # Gradients are added up on another stream than they were captured on; torch orders the two, and warns of it.
        getattr(torch.autograd.graph, "set_warn_on_accumulate_grad_stream_mismatch", bool)(False)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16, cache_enabled=False):
            return torch.cuda.make_graphed_callables(model, (images.clone(),))  # type: ignore[return-value]

    def images(self, images: Tensor) -> Tensor:
        """Moves images to the device, as bytes: uint8 [N,H,W,3] -> float32 [N,3,H,W] in [0, 1]."""
        moved = images.to(self.device, non_blocking=True).permute(0, 3, 1, 2)
        return moved.to(torch.float32).div_(255).contiguous(memory_format=self.memory_format)


def check_gpu(device: str | torch.device = "cuda") -> None:
    """Raises UserError unless torch computes on the GPU: its build must have CUDA, and the driver must be as new."""
    try:
        torch.ones(1, device=device).add_(1).item()
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"torch {torch.__version__} cannot use the GPU: {_obstacle(error)}") from None


def _obstacle(error: Exception) -> str:
    built = torch.version.cuda or torch.version.hip
    if built is None:
        return "it is a build without CUDA: install one with CUDA, or give --use-gpu no"
    version = driver_cuda()
    if version is None:
        return f"it is built for CUDA {built}, and no driver of a GPU is found here: give --use-gpu no"
    known = f"it is built for CUDA {built}, and the driver is one for CUDA {version[0]}.{version[1]}"
    if version[0] < int(built.split(".")[0]):  # within one major version, older drivers do
        return f"{known}: update the driver, install a torch for that CUDA, or give --use-gpu no"
    return f"{known}: {one_line(error)}"


def driver_cuda() -> tuple[int, int] | None:
    """Returns the newest CUDA that this machine's driver can run, (12, 4) for 12.4; None without a driver."""
    version = ctypes.c_int()
    try:
        if ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version)) != 0:
            return None
    except OSError:
        return None
    return version.value // 1000, version.value % 1000 // 10


def cpu_has_bf16() -> bool:
    """Returns whether this CPU multiplies bfloat16 in hardware."""
    checks = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in checks)
