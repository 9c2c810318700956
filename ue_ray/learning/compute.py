"""Where and in which precision the networks run."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

Precision = Literal["auto", "float32"]


@dataclass(frozen=True)
class Compute:
    """A device and how to use it.

    ``bf16``: forward passes under bfloat16 autocast, channels-last: where the hardware multiplies bfloat16 (GPUs from
    Ampere on, CPUs with AMX or AVX512-BF16). Elsewhere float32, contiguous: emulated bfloat16 is ten times slower.
    """

    device: torch.device
    bf16: bool = False
    compile: bool = False

    @staticmethod
    def detect(
        device: str | torch.device | None = None, compile: bool = False, precision: Precision = "auto"
    ) -> Compute:
        """Returns the best of what this machine has; ``device`` such as ``"cuda:1"`` or ``"cpu"`` chooses for it."""
        auto = precision == "auto"
        chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        if chosen.type == "cuda":
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = auto
            return Compute(chosen, auto and torch.cuda.is_bf16_supported(including_emulation=False), compile)
        return Compute(chosen, auto and cpu_has_bf16(), compile)

    @property
    def memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.bf16 or self.device.type == "cuda" else torch.contiguous_format

    def autocast(self) -> AbstractContextManager[None]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def place(self, model: nn.Module) -> nn.Module:
        """The model on the device, in this memory format."""
        return model.to(self.device, memory_format=self.memory_format)  # type: ignore[call-overload]

    def forward(self, model: nn.Module) -> nn.Module:
        """What to call for a forward pass: the model itself, or its compiled twin sharing the same weights."""
        return torch.compile(model) if self.compile else model  # type: ignore[return-value]

    def images(self, images: Tensor) -> Tensor:
        """Moves uint8 [N,H,W,3] to the device; there it becomes float32 [N,3,H,W] in [0, 1]: bytes travel."""
        moved = images.to(self.device, non_blocking=True).permute(0, 3, 1, 2)
        return moved.to(torch.float32).div_(255).contiguous(memory_format=self.memory_format)


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware."""
    checks = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in checks)
