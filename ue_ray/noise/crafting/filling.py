"""How windows are filled: block by block, into memory that is taken once; the next one in a thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from math import prod
from threading import Thread
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from ue_ray.learning.machine import free_memory
from ue_ray.storage.inputs.blocks import Block

T = TypeVar("T")

SHARES = {"cpu": 1 / 8, "cuda": 1 / 4}  # of the memory that is free: data that does not fit takes two windows
LEAST = 64 << 20
MOST = {"cpu": 4 << 30, "cuda": 32 << 30}


def window_bytes(device: torch.device, workers: int = 1) -> int:
    """Returns how many bytes of decoded images a window may hold: a share of the GPU's free memory, or of the RAM that
    is free on this machine for each of its ``workers``; at least LEAST, and at most MOST."""
    kind = "cuda" if device.type == "cuda" else "cpu"
    free = torch.cuda.mem_get_info(device)[0] if kind == "cuda" else free_memory() / workers
    return int(min(max(SHARES[kind] * free, LEAST), MOST[kind]))


class Room:
    """Memory on ``device`` for a worker's rows of a window: for ``nbytes`` of images, and not for more than ``rows``.

    It is taken when the first images come, and is used again after ``clear``.
    """

    def __init__(self, device: torch.device, nbytes: int, rows: int | None = None) -> None:
        self.nbytes = nbytes
        self.rows = rows
        self._all = torch.empty(0, 1, 1, 3, dtype=torch.uint8, device=device)
        self.clear()

    def clear(self) -> None:
        self.count = 0
        self._blocks: list[tuple[np.ndarray, np.ndarray]] = []
        self.sample_ids: list[str] = []

    def add(self, block: Block) -> bool:
        """Copies the rows of a block in, behind those that are there. Returns whether they fit: the first always do."""
        images = block.rows.images
        if not self.count and (images.shape[1:] != self._all.shape[1:] or len(images) > len(self._all)):
            most = self.nbytes // prod(images.shape[1:])
            capacity = max(len(images), most if self.rows is None else min(most, self.rows))
            self._all = torch.empty(capacity, *images.shape[1:], dtype=torch.uint8, device=self._all.device)
        end = self.count + len(images)
        if end > len(self._all):
            return False
        self._all[self.count : end] = torch.from_numpy(np.require(images, requirements="W"))
        self.count = end
        self._blocks.append((block.positions, block.rows.labels))
        self.sample_ids += block.rows.sample_ids
        return True

    @property
    def images(self) -> Tensor:
        """uint8 [n,S,S,3], on the device, in the order in which they came."""
        return self._all[: self.count]

    @property
    def positions(self) -> np.ndarray:
        """int64 [n]."""
        return np.concatenate([np.empty(0, np.int64), *(positions for positions, _ in self._blocks)])

    @property
    def labels(self) -> np.ndarray:
        """int64 [n]."""
        return np.concatenate([np.empty(0, np.int64), *(labels for _, labels in self._blocks)])


class Pass:
    """One pass over a worker's share of the data; ``ended`` when it has no more rows."""

    def __init__(self, blocks: Iterable[Block]) -> None:
        self.ended = False
        self._stream = iter(blocks)
        self._left: Block | None = None  # did not fit into the window before
        self._stopped = False

    def fill(self, room: Room) -> Room:
        """Fills ``room`` with the next rows; returns it."""
        room.clear()
        for block in self._blocks():
            if not room.add(block):
                self._left = block
                return room
        self.ended = True
        return room

    def stop(self) -> None:
        """Ends a ``fill`` in another thread at its next block."""
        self._stopped = True

    def _blocks(self) -> Iterator[Block]:
        if self._left is not None:
            left, self._left = self._left, None
            yield left
        for block in self._stream:
            if self._stopped:
                return
            if len(block.positions):
                yield block


def in_thread(work: Callable[[], T]) -> Future[T]:
    """Starts ``work`` in a thread, which does not keep the process alive. Its result or exception is the future's."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    return future
