"""A stage for somebody's own Ray Data pipeline: batches of images in, the same images with noise out."""

from __future__ import annotations

from typing import Any

import numpy as np

from ue_ray.errors import RunError
from ue_ray.images.codec import ImageError, encode
from ue_ray.images.sandbox import decode_files
from ue_ray.noise.in_memory import load_noise


class Protect:
    """Adds each image's delta in ``Dataset.map_batches``.

    ``artifact``: the URI of a noise artifact, within reach of all workers. ``image``, ``label``, ``sample_id``: the
    columns. Images are uint8 [N,H,W,3], an object column of uint8 [H,W,3] of any sizes, or files as bytes, which are
    decoded in a process of their own and come out as PNG. Labels are indices into the classes that the noise was
    crafted for, or their names. ``sample_id`` is needed by noise that is each sample's own.

    Raises UserError for a class that the noise does not know; RunError for a file that is no image.

    Example:
        >>> import tempfile, numpy as np, ue_ray
        >>> from ue_ray.ray_data import Protect
        >>> uri = tempfile.mkdtemp()
        >>> ue_ray.craft(np.zeros((2, 8, 8, 3), np.uint8), [0, 1], method="random").save(uri)
        >>> batch = {"image": np.full((4, 8, 8, 3), 128, np.uint8), "label": np.array([0, 1, 0, 1])}
        >>> Protect(uri)(batch)["image"].shape
        (4, 8, 8, 3)

        In a pipeline: ``dataset.map_batches(Protect, fn_constructor_args=(uri,), concurrency=2)``.
    """

    def __init__(self, artifact: str, image: str = "image", label: str = "label", sample_id: str | None = None) -> None:
        self.protector = load_noise(artifact, device="cpu")
        self.image, self.label, self.sample_id = image, label, sample_id

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        column = batch[self.image]
        are_files = len(column) > 0 and isinstance(column[0], bytes)
        images = [self._decoded(picture) for picture in decode_files(column)] if are_files else list(column)
        ids = [str(value) for value in batch[self.sample_id]] if self.sample_id else None
        protected: list[Any] = self.protector.protect(images, batch[self.label], ids)
        if are_files:
            protected = [encode(image) for image in protected]
        if column.dtype == object:
            result = np.empty(len(column), object)
            result[:] = protected
        else:
            result = np.stack(protected) if protected else column
        return batch | {self.image: result}

    @staticmethod
    def _decoded(picture: Any) -> np.ndarray:
        if isinstance(picture, ImageError):
            raise RunError(f"an image of the batch cannot be decoded: {picture}")
        return np.asarray(picture.rgb)
