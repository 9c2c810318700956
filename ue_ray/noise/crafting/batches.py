"""From a stream of decoded blocks to global batches in a seeded order, the same for any number of workers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ue_ray.errors import UserError
from ue_ray.learning.collectives import gather_objects
from ue_ray.learning.compute import Compute
from ue_ray.storage.inputs.blocks import Block
from ue_ray.storage.inputs.listing import key_hash

WINDOW_BYTES = 400 << 20  # decoded images a worker keeps; filling the window takes up to 5 times as much


@dataclass(frozen=True)
class Batch:
    """This worker's part of a global batch, on the device.

    ``images`` float32 [N,3,S,S] in [0, 1]; ``labels`` int64 [N], and once more as ``host_labels``; ``global_count``: rows
    on all workers.
    """

    images: Tensor
    labels: Tensor
    host_labels: np.ndarray
    sample_ids: Sequence[str]
    global_count: int

    def by_class(self) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the classes of the rows, int64 [k] in order, the place of each row's class among them, int64 [N], and
        the number of rows of each, float32 [k].

        The host finds them: asked for them, a GPU would first have to finish all that it was given before.
        """
        classes, members, counts = np.unique(self.host_labels, return_inverse=True, return_counts=True)
        place = self.labels.device
        found = (torch.from_numpy(each) for each in (classes, members, counts.astype(np.float32)))
        classes_there, members_there, counts_there = (each.to(place, non_blocking=True) for each in found)
        return classes_there, members_there, counts_there


class Window:
    """As much of the data as the workers hold at once: all of it (``whole``), where it fits."""

    def __init__(self, blocks: Sequence[Block], batch_size: int, compute: Compute, whole: bool = True) -> None:
        self.whole = whole
        self.batch_size = batch_size
        self.compute = compute
        self.positions = np.concatenate([b.positions for b in blocks]) if blocks else np.empty(0, np.int64)
        order = np.argsort(self.positions)
        self.positions = self.positions[order]
        if blocks:
            images = torch.from_numpy(np.concatenate([b.rows.images for b in blocks])[order])
            labels = torch.from_numpy(np.concatenate([b.rows.labels for b in blocks])[order])
        self.sample_ids = [sample_id for b in blocks for sample_id in b.rows.sample_ids]
        self.sample_ids = [self.sample_ids[i] for i in order]
        everyone = gather_objects((self.positions, images.shape[1:] if blocks else None))
        self.everywhere = np.sort(np.concatenate([positions for positions, _ in everyone]))
        if not blocks:  # a worker whose stream ended before the others': it takes part with empty batches
            shape = next((shape for _, shape in everyone if shape is not None), (1, 1, 3))
            images = torch.empty((0, *shape), dtype=torch.uint8)
            labels = torch.empty(0, dtype=torch.int64)
        self.images = images.to(compute.device)  # once, as bytes: batches are then cut out where they are used
        self.labels, self.host_labels = labels.to(compute.device), labels.numpy()

    def __len__(self) -> int:
        """Rows on all workers."""
        return len(self.everywhere)

    @property
    def num_batches(self) -> int:
        return -(-len(self) // self.batch_size)

    def batches(self, seed: int, skip: int = 0) -> Iterator[Batch]:
        """Each row once, in an order that depends on ``seed`` and on which rows there are, not on who holds them.

        The first ``skip`` batches are left out.
        """
        order = np.random.default_rng(seed).permutation(self.everywhere)
        for start in range(skip * self.batch_size, len(order), self.batch_size):
            positions = order[start : start + self.batch_size]
            rows = np.searchsorted(self.positions, positions)
            own = rows < len(self.positions)
            own[own] = self.positions[rows[own]] == positions[own]
            yield self._batch(rows[own], len(positions))

    def _batch(self, rows: np.ndarray, global_count: int) -> Batch:
        index = torch.from_numpy(rows).to(self.images.device, non_blocking=True)
        return Batch(
            images=self.compute.images(self.images[index]),
            labels=self.labels[index],
            host_labels=self.host_labels[rows],
            sample_ids=[self.sample_ids[row] for row in rows],
            global_count=global_count,
        )


class Windows:
    """Windows for ever: the same one again where all data fits, fresh streams of the data where it does not.

    ``blocks()`` starts one pass over this worker's share of the data. Every worker steps through its windows together.
    Data that does not fit is seen a window at a time; which rows share one then depends on the stream and on the number
    of workers, and a round of crafting is a window, not a pass.
    """

    def __init__(
        self, blocks: Callable[[], Iterable[Block]], batch_size: int, compute: Compute, window_bytes: int = WINDOW_BYTES
    ) -> None:
        self.blocks = blocks
        self.batch_size = batch_size
        self.compute = compute
        self.window_bytes = window_bytes

    def __iter__(self) -> Iterator[Window]:
        while True:
            stream = iter(self.blocks())
            first = True
            while True:
                blocks, ended = self._fill(stream)
                ended = all(gather_objects(ended))
                window = Window(blocks, self.batch_size, self.compute, whole=first and ended)
                del blocks
                if len(window) == 0:
                    if first:
                        raise UserError(
                            "no image of the input could be decoded: there is nothing to craft the noise on"
                        )
                    break
                while window.whole:
                    yield window
                yield window
                first = False
                if ended:
                    break

    def _fill(self, stream: Iterator[Block]) -> tuple[list[Block], bool]:
        blocks, held = [], 0
        for block in stream:
            blocks.append(block)
            held += block.rows.images.nbytes
            if held >= self.window_bytes:
                return blocks, False
        return blocks, True


def own_generator(seed: int, name: str) -> np.random.Generator:
    """Chance that belongs to a class or a sample: the same in whatever batch, process or run it comes."""
    entropy = int.from_bytes(key_hash(name), "little")
    return np.random.default_rng([seed, entropy])


def step_seed(seed: int, *counters: int) -> int:
    """A seed of its own for each (run, round, ...): well mixed, the same everywhere.

    How many counters there are counts too: NumPy takes ``[0, 3]`` and ``[0, 3, 0]`` for the same entropy.
    """
    entropy = np.random.SeedSequence([seed, len(counters), *counters])
    return int(entropy.generate_state(1, np.uint64)[0] >> np.uint64(1))
