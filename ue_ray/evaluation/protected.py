"""A committed output as a PyTorch dataset, to train on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ue_ray.errors import ReadFailure, RunError, UserError, one_line
from ue_ray.images.codec import MAX_PIXELS, ImageError, decode
from ue_ray.storage.filesystem import absolute, join, read_if_there
from ue_ray.storage.inputs.committed import OutputSource
from ue_ray.storage.inputs.listing import Listing
from ue_ray.storage.outputs.layout import MANIFEST, SUCCESS
from ue_ray.storage.outputs.output import Output

Transform = Callable[[Tensor], Any]


def load_protected(uri: str, transform: Transform | None = None) -> ProtectedImages:
    """Opens the committed output at ``uri``, in whatever format, as a dataset of its protected images.

    Each item is (image, label): uint8 [3,H,W], sRGB, in the size of the image, and an int, an index into
    ``class_names``. ``transform``, if given, is applied to the image. Files are read and decoded when an item is asked
    for, so that the workers of a DataLoader share the work.

    Raises UserError if there is no committed output, or if its manifest is not the one that was committed. For a check
    of every file, see ``ue_ray.verify``.

    Example:
        >>> from torch.utils.data import DataLoader
        >>> images = load_protected(output, transform=lambda image: image[:, :8, :8] / 255)
        >>> batch, labels = next(iter(DataLoader(images, batch_size=4)))
        >>> batch.shape, labels.dtype
        (torch.Size([4, 3, 8, 8]), torch.int64)
    """
    uri = absolute(uri)
    manifest = _manifest(uri)
    source = OutputSource(uri)
    max_pixels = manifest.get("run", {}).get("handling", {}).get("max_pixels", MAX_PIXELS)
    return ProtectedImages(source, source.list(), transform, max_pixels)


class ProtectedImages(Dataset[tuple[Any, int]]):
    """The protected images of an output, in the order in which its input was listed; ``load_protected`` makes it.

    It can be pickled, if ``transform`` can. A file that can no longer be read or decoded is a RunError.
    """

    def __init__(
        self, source: OutputSource, listing: Listing, transform: Transform | None = None, max_pixels: int = MAX_PIXELS
    ) -> None:
        self.class_names = list(listing.class_names)
        self.transform = transform
        self._source = source
        self._table = listing.table
        self._labels = listing.labels()
        self._max_pixels = max_pixels

    @property
    def sample_ids(self) -> list[str]:
        """The sample_id of each image, the same as in the input."""
        return list(self._table["sample_id"].to_pylist())

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} of {len(self)} images")
        return self.__getitems__([index % len(self)])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Any, int]]:
        """Returns the items at ``indices``. A DataLoader asks for a batch at once; each file is then opened once."""
        files = self._source.read(self._table.take(list(indices)))
        images = (self._image(index, file) for index, file in zip(indices, files, strict=True))
        return list(zip(images, self._labels[list(indices)].tolist(), strict=True))

    def _image(self, index: int, file: bytes | ReadFailure) -> Any:
        try:
            if isinstance(file, ReadFailure):
                raise ImageError(file.reason)
            pixels = decode(file, self._max_pixels).rgb
        except ImageError as error:
            raise RunError(f"{self._source.uri}: {self._table['key'][index].as_py()}: {error}") from None
        image = torch.from_numpy(pixels).permute(2, 0, 1).contiguous()
        return self.transform(image) if self.transform else image


def _manifest(uri: str) -> dict[str, Any]:
    """Returns the manifest, if its digest is the one in ``_SUCCESS``; else raises UserError."""
    try:
        success, text = (read_if_there(join(uri, name)) for name in (SUCCESS, MANIFEST))
    except OSError as error:
        raise UserError(f"{uri}: cannot be read: {one_line(error)}") from None
    if success is not None and success != f"{sha256(text or b'').hexdigest()}\n".encode():
        raise UserError(f"{uri}: {MANIFEST} is not the one that was committed: its sha256 is not that in {SUCCESS}")
    return Output(uri).manifest()
