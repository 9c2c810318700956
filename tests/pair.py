"""Two gloo processes, forked from one that has loaded torch: loading it takes seconds."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

T = TypeVar("T")


def in_two(work: Callable[[int], T], folder: Path) -> tuple[T, T]:
    """What ``work(rank)``, a function of a module, returns on each of two workers."""
    get_context("forkserver").set_forkserver_preload(["torch._dynamo", work.__module__])
    with mp.Manager() as manager:
        results: Any = manager.dict()
        arguments = (work, str(folder / "rendezvous"), results)
        mp.start_processes(_member, arguments, nprocs=2, start_method="forkserver")
        return results[0], results[1]


def _member(rank: int, work: Callable[[int], T], rendezvous: str, results: MutableMapping[int, T]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
    results[rank] = work(rank)
    dist.destroy_process_group()
