"""From a stream of decoded blocks to global batches in a seeded order, the same for any number of workers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ue_ray.errors import UserError
from ue_ray.learning.collectives import gather_objects
from ue_ray.learning.compute import Compute
from ue_ray.noise.crafting import filling
from ue_ray.noise.crafting.filling import Pass, Room, in_thread
from ue_ray.storage.inputs.blocks import Block
from ue_ray.storage.inputs.listing import key_hash


@dataclass(frozen=True)
class Batch:
    """This worker's part of a global batch, on the device.

    ``images`` float32 [N,3,S,S] in [0, 1]; ``labels`` int64 [N], the same as ``host_labels``, which are not on the
    device; ``global_count``: rows on all workers.
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
    """As much of the data as the workers hold at once: all of it (``whole``), where it fits.

    It is good until the next is asked for: that one's rows come into the same memory.
    """

    def __init__(self, room: Room, batch_size: int, compute: Compute, whole: bool) -> None:
        """``room``: this worker's rows."""
        self.whole = whole
        self.batch_size = batch_size
        self.compute = compute
        arrived = room.positions
        self.order = np.argsort(arrived)  # the place in ``images`` of each row, in the listing's order
        self.positions = arrived[self.order]
        self.sample_ids = room.sample_ids
        self.host_labels = room.labels
        everyone = gather_objects((self.positions, room.images.shape[1:] if room.count else None))
        self.everywhere = np.sort(np.concatenate([positions for positions, _ in everyone]))
        self.images = room.images  # on the device, as bytes: batches are cut out where they are used
        if not room.count:  # a worker whose stream ended before the others': it takes part with empty batches
            shape = next((shape for _, shape in everyone if shape is not None), (1, 1, 3))
            self.images = torch.empty((0, *shape), dtype=torch.uint8, device=compute.device)
        self.labels = torch.from_numpy(self.host_labels).to(compute.device)

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
            yield self._batch(self.order[rows[own]], len(positions))

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
    """Windows for ever: the same one again where all data fits, pass after pass over the data where it does not.

    ``blocks()`` starts one pass over this worker's share of the data, which has at most ``rows`` rows (None: it is not
    known). Every worker steps through its windows together. Data that does not fit is seen a window at a time, the next
    one filled meanwhile; which rows share one then depends on the stream and on the number of workers, and a round of
    crafting is a window, not a pass.
    """

    def __init__(
        self,
        blocks: Callable[[], Iterable[Block]],
        batch_size: int,
        compute: Compute,
        rows: int | None = None,
        window_bytes: int | None = None,
    ) -> None:
        """``window_bytes``: of decoded images; None: what ``filling.window_bytes`` says."""
        self.blocks = blocks
        self.batch_size = batch_size
        self.compute = compute
        self.rows = rows
        self.window_bytes = filling.window_bytes(compute.device) if window_bytes is None else window_bytes
        self._all: Window | None = None

    def __iter__(self) -> Iterator[Window]:
        if self._all is None:
            yield from self._one_after_the_other()
        while self._all is not None:  # the method's next phase, too
            yield self._all

    def _one_after_the_other(self) -> Iterator[Window]:
        """Yields window after window, pass after pass; none, where the first window holds all data."""
        room, other = (Room(self.compute.device, self.window_bytes, self.rows) for _ in range(2))
        current = Pass(self.blocks())
        current.fill(room)
        first = True
        while True:
            ended = all(gather_objects(current.ended))
            window = Window(room, self.batch_size, self.compute, whole=first and ended)
            if first and len(window) == 0:
                raise UserError("no image of the input could be decoded: there is nothing to craft the noise on")
            if window.whole:
                self._all = window
                return
            if ended:
                current = Pass(self.blocks())
            following = in_thread(partial(current.fill, other))
            try:
                yield window
            except GeneratorExit:  # nobody asks for the next
                current.stop()
                raise
            room, other = following.result(), room
            first = False


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
