"""A device that is not the CPU, on any machine: torch's ``meta`` device with real numbers on it.

Its tensors say ``meta`` and hold their numbers on the CPU. What a GPU would refuse is refused: tensors of two devices
in one operation. What makes the host wait for a GPU is listed, with the line that asked for it: reading a value, a
shape that hangs on values, and copies from one device to the other that are not ``non_blocking``.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map_only

from ue_ray.learning.compute import Compute

ELSEWHERE = torch.device("meta")

aten = torch.ops.aten
COPIES = (aten._to_copy, aten.copy_)
INDEXING = (aten.index, aten.index_put, aten.index_put_)
WAITING = (
    aten._local_scalar_dense, aten.nonzero, aten._unique2, aten.unique_dim, aten.unique_consecutive, aten.masked_select,
    aten.bincount, aten.equal, aten.repeat_interleave,
)  # fmt: skip


class WrongDevice(AssertionError):
    """Tensors of two devices in one operation."""


class Elsewhere(Tensor):
    """A tensor on the device. ``held``: its numbers, on the CPU."""

    held: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: Tensor) -> Elsewhere:
        place = {"strides": held.stride(), "storage_offset": held.storage_offset(), "device": ELSEWHERE}
        return torch.Tensor._make_wrapper_subclass(cls, held.size(), dtype=held.dtype, **place)

    def __init__(self, held: Tensor) -> None:
        self.held = held

    def __repr__(self) -> str:
        return f"Elsewhere({self.held})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError(f"{func} outside of the emulation")


class Emulation(TorchDispatchMode):
    """Computes what is elsewhere. ``waits``: the host's, each as the operation and the lines that asked for it."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        leaves = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        there = [leaf for leaf in leaves if isinstance(leaf, Elsewhere)]
        asked = kwargs.get("device")
        if asked is not None:
            asked = kwargs["device"] = torch.device(asked)
        if not there and asked != ELSEWHERE:
            return func(*args, **kwargs)
        self._judge(func, args, kwargs, there, [leaf for leaf in leaves if not isinstance(leaf, Elsewhere)])
        if asked is not None:
            kwargs["device"] = torch.device("cpu")
        held_args, held_kwargs = tree_map_only(Elsewhere, lambda each: each.held, (args, kwargs))
        found = func(*held_args, **held_kwargs)
        if func.overloadpacket is aten.copy_:
            return args[0]
        if asked is not None and asked != ELSEWHERE:
            return found
        wrapped = tree_map_only(Tensor, Elsewhere, found)
        return return_and_correct_aliasing(func, args, kwargs, wrapped) if there else wrapped

    def _judge(self, func: Any, args: Any, kwargs: Any, there: list[Tensor], here: list[Tensor]) -> None:
        packet = func.overloadpacket
        if packet in COPIES:
            crosses = bool(here) or kwargs.get("device") not in (None, ELSEWHERE)
            non_blocking = kwargs.get("non_blocking") or (packet is aten.copy_ and len(args) > 2 and args[2])
            if crosses and not non_blocking:
                self._note(func)
            return
        if packet in INDEXING and isinstance(args[0], Elsewhere):
            indices = [index for index in args[1] if index is not None]
            one_value = packet is not aten.index and args[2].numel() == 1  # done as masked_fill
            if any(not isinstance(index, Elsewhere) for index in indices):  # torch moves it there, and waits
                self._note(func)
                here = [each for each in here if not any(each is index for index in indices)]
            elif any(index.dtype == torch.bool for index in indices) and not one_value:
                self._note(func)
        if there and packet in WAITING:
            self._note(func)
        if there and any(each.dim() for each in here):
            raise WrongDevice(f"{func} on tensors of two devices")

    def _note(self, func: Any) -> None:
        frames = [frame for frame in traceback.extract_stack() if "/ue_ray/" in frame.filename]
        lines = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.line}" for frame in frames]
        self.waits.append(f"{func} by {' <- '.join(lines[:-4:-1])}")


class Generator(torch.Generator):
    """The CPU's, wherever it is to draw."""

    def __new__(cls, device: Any = None) -> Generator:
        return super().__new__(cls)


class Emulated(Compute):
    """The device as methods and victims get it."""

    def autocast(self) -> AbstractContextManager[None]:
        return nullcontext()  # there is none for meta


COMPUTE = Emulated(ELSEWHERE)


@contextmanager
def emulation() -> Iterator[Emulation]:
    """What is done inside may be ``ELSEWHERE``."""
    plain = torch.tensor

    def tensor(data: Any, *, dtype: torch.dtype | None = None, device: Any = None) -> Tensor:
        made = plain(data, dtype=dtype)  # of numbers on the CPU: for meta, torch would leave them out
        return made if device is None else made.to(device)

    def new_tensor(self: Tensor, data: Any) -> Tensor:
        return tensor(data, dtype=self.dtype, device=self.device)

    with (
        mock.patch("torch.Generator", Generator),
        mock.patch("torch.tensor", tensor),
        mock.patch.object(Tensor, "new_tensor", new_tensor),
        Emulation() as device,
    ):
        yield device
