"""What this machine is and gives to a process: its description beside a result, the CPUs that may be used."""

from __future__ import annotations

import math
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


def usable_cpus(cgroups: Path = Path("/sys/fs/cgroup")) -> float:
    """Returns how many CPUs this process may keep busy: those that it may run on, or its container's quota (cgroups
    of version 2 and 1 at ``cgroups``), whichever is less. More threads than that wait for each other."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1  # not on macOS
    return min(affinity, _quota(cgroups))


def _quota(cgroups: Path) -> float:
    """Returns the CPUs that the container's quota allows; infinity without one."""
    for files in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        with suppress(OSError, ValueError):  # no such version, no quota: "max 100000" or -1
            quota, period = map(int, " ".join((cgroups / name).read_text() for name in files).split())
            return quota / period if quota > 0 else math.inf
    return math.inf


def free_memory(cgroups: Path = Path("/sys/fs/cgroup"), meminfo: Path = Path("/proc/meminfo")) -> int:
    """Returns how many bytes of RAM may still be taken: what is available, or what the container's limit (cgroups of
    version 2 and 1 at ``cgroups``) leaves, whichever is less. Files that are cached count as free."""
    if meminfo.exists():
        available = next(line for line in meminfo.read_text().splitlines() if line.startswith("MemAvailable:"))
        free = 1024 * int(available.split()[1])
    else:  # not on macOS
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    for limit, usage, cached in (
        ("memory.max", "memory.current", "memory.stat"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
    ):
        with suppress(OSError, ValueError):  # no such version, no limit: "max"
            left = int((cgroups / limit).read_text()) - int((cgroups / usage).read_text())
            statistics = dict(line.split() for line in (cgroups / cached).read_text().splitlines())
            return max(0, min(free, left + int(statistics.get("inactive_file", 0))))
    return free


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
