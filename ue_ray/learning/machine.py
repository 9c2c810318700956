"""Describes the machine and the versions that a result was measured with."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import ue_ray


def versions() -> dict[str, str]:
    """Returns the versions of the packages that a result depends on."""
    numbers = {"ue_ray": ue_ray.__version__, "torch": torch.__version__, "python": platform.python_version()}
    with suppress(PackageNotFoundError):  # the noise itself runs without Ray
        numbers["ray"] = version("ray")
    return numbers


def machine() -> dict[str, Any]:
    """Returns the processor, cores, memory in GiB and GPUs of this machine."""
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
    }


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
