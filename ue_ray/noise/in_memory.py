"""Noise without Ray: crafted on images in memory, and added to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ue_ray.errors import UserError
from ue_ray.images.codec import resize
from ue_ray.images.labelled import LabelledImages
from ue_ray.learning.compute import Compute
from ue_ray.noise.artifact import NoiseArtifact
from ue_ray.noise.crafted import Noise
from ue_ray.noise.crafting.batches import Windows
from ue_ray.noise.crafting.class_deltas import ReplicatedDeltas
from ue_ray.noise.crafting.rounds import Report
from ue_ray.noise.methods import METHODS, new_method, noise_config, open_noise
from ue_ray.storage.filesystem import absolute
from ue_ray.storage.inputs.blocks import Block, natural_side, stratified_rows
from ue_ray.storage.inputs.listing import unseen_classes

Picture = np.ndarray | Image.Image | Tensor
"""uint8 [H,W,3], a PIL image, or a tensor [3,H,W], uint8 or float in [0, 1]."""


def craft(
    images: Sequence[Picture] | np.ndarray | Tensor,
    labels: Sequence[Any] | np.ndarray | Tensor,
    method: str | None = None,
    epsilon: str | float | None = None,
    *,
    class_names: Sequence[str] | None = None,
    sample_ids: Sequence[str] | None = None,
    device: str | None = None,
    compile: bool = False,
    report: Report = lambda entry: None,
    **options: Any,
) -> NoiseArtifact:
    """Crafts a noise on images in memory; needs no Ray.

    ``images``: N of them, as ``Picture`` says; ``labels``: N whole numbers from 0, or N class names. ``method``:
    default: what the images decide, as for ``ue-ray protect``. ``epsilon``: in [0, 1] units, default 8/255; not for a
    method that has a budget of its own. ``class_names``: by label; default: the sorted names, or the numbers.
    ``sample_ids``: default: the row numbers. ``device``: such as ``"cuda:0"``; default: a GPU where there is one.
    ``report`` is told of each round. ``options``: those of ``ue-ray protect --help`` about noise, by name.

    The same images, order, options and seed give the same noise on a CPU (Algorithm 1 of Huang et al., ICLR 2021).
    Raises UserError for a mistake.

    Example:
        >>> import numpy as np, ue_ray
        >>> images = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), dtype=np.uint8)
        >>> labels = np.arange(40) % 2
        >>> artifact = ue_ray.craft(images, labels, epsilon="16/255", max_rounds=2, data_fraction=1.0)
        >>> artifact.deltas.shape
        torch.Size([2, 3, 16, 16])
    """
    arrays = [pixels(image) for image in images]
    if not arrays:
        raise UserError("craft: there is no image")
    numbers, names = numbered(labels, class_names)
    if len(numbers) != len(arrays):
        raise UserError(f"craft: {len(arrays)} images, but {len(numbers)} labels")
    compute = Compute.detect(device, compile)
    given = {"method": method, **({} if epsilon is None else {"epsilon": epsilon}), **options}
    side = natural_side([image.shape[:2] for image in arrays])
    config = noise_config(given, names, len(arrays), side, gpu=compute.device.type == "cuda")
    crafter = new_method(config, compute)
    if METHODS[config.method].needs_data:
        rows = stratified_rows(numbers, config.options["data_fraction"], config.seed)
        ids = [str(row) if sample_ids is None else sample_ids[row] for row in rows.tolist()]
        seen = np.stack([resize(arrays[row], config.image_size) for row in rows])
        block = Block(rows, LabelledImages(seen, numbers[rows], ids))
        batch_size = config.options.get("batch_size", 1)
        windows = Windows(lambda: [block], batch_size, compute, rows=len(rows))
        deltas = ReplicatedDeltas(len(names), config.canvas, config.budget, compute.device)
        artifact = crafter.craft(windows, deltas, report)
        assert artifact is not None  # there is one worker
        artifact.record["unseen_classes"] = unseen_classes(numbers, names)
    else:
        artifact = crafter.craft()
    assert artifact is not None  # there is one worker
    return artifact


class Protector:
    """Adds a crafted noise to images in memory.

    ``class_names``: those that the noise was crafted for. Made by ``load_noise``, or of what ``craft`` returned.
    """

    def __init__(self, artifact: NoiseArtifact, device: str | None = None) -> None:
        self.artifact = artifact
        self.noise: Noise = open_noise(artifact, Compute.detect(device))

    @property
    def class_names(self) -> list[str]:
        return list(self.artifact.config.class_names)

    @property
    def needs_ids(self) -> bool:
        """Whether the noise is each sample's own, so that ``protect`` needs their ids."""
        config = self.artifact.config
        return config.patch is not None or (config.granularity == "sample-wise" and not self.noise.needs_images)

    def protect(
        self,
        images: Sequence[Picture] | np.ndarray | Tensor,
        labels: Sequence[Any] | np.ndarray | Tensor,
        sample_ids: Sequence[str] | None = None,
    ) -> list[Any]:
        """Returns each image with its delta, of the kind and size it came in; float tensors in steps of 1/255.

        ``labels``: indices into ``class_names``, or names among them. ``sample_ids``: needed by sample-wise noise that
        is looked up or drawn by sample, and by patches. Raises UserError for a class that the noise does not know, and
        where ids are missing.

        Example:
            >>> import numpy as np, ue_ray
            >>> images = np.zeros((4, 16, 16, 3), np.uint8) + 128
            >>> artifact = ue_ray.craft(images, ["ada", "bob"] * 2, method="random")
            >>> first, *_ = ue_ray.Protector(artifact).protect(images, ["ada", "bob"] * 2)
            >>> int(np.abs(first.astype(int) - 128).max())
            8
        """
        numbers, names = numbered(labels, self.class_names)
        self.artifact.check_seen({names[number] for number in np.unique(numbers)})
        if sample_ids is None and self.needs_ids:
            raise UserError("this noise is each sample's own: give sample_ids")
        images = list(images)
        ids = list(sample_ids) if sample_ids is not None else [""] * len(images)
        self.noise.expect(numbers)
        protected = self.noise.protect([pixels(image) for image in images], numbers, ids)
        return [like(image, changed) for image, changed in zip(images, protected, strict=True)]


def load_noise(uri: str, device: str | None = None) -> Protector:
    """Opens the noise artifact at ``uri``, an output's ``noise`` folder, local or in a bucket.

    Raises UserError where there is none, or a damaged one.

    Example:
        >>> import numpy as np, tempfile, ue_ray
        >>> folder = tempfile.mkdtemp()
        >>> ue_ray.craft(np.zeros((2, 8, 8, 3), np.uint8), ["ada", "bob"], method="random").save(folder)
        >>> ue_ray.load_noise(folder).class_names
        ['ada', 'bob']
    """
    return Protector(NoiseArtifact.load(absolute(uri)), device)


def pixels(image: Picture) -> np.ndarray:
    """Returns the image as uint8 [H,W,3]. Raises UserError for what is none."""
    if isinstance(image, Image.Image):
        return np.array(image.convert("RGB"))
    if isinstance(image, Tensor):
        levels = (image * 255).round().clamp(0, 255) if image.is_floating_point() else image
        image = levels.to(torch.uint8).permute(1, 2, 0).cpu().numpy() if image.dim() == 3 else levels.cpu().numpy()
    if not (isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3):
        kind = f"{image.dtype} {list(image.shape)}" if isinstance(image, np.ndarray) else type(image).__name__
        raise UserError(f"an image is {kind}: expected uint8 [H,W,3], a PIL image, or a tensor [3,H,W]")
    return np.ascontiguousarray(image)


def like(image: Picture, changed: np.ndarray) -> Any:
    """Returns ``changed``, uint8 [H,W,3], as the kind that ``image`` is of."""
    if isinstance(image, Image.Image):
        return Image.fromarray(changed)
    if isinstance(image, Tensor):
        tensor = torch.from_numpy(changed).permute(2, 0, 1).contiguous().to(image.device)
        return tensor.to(image.dtype) / 255 if image.is_floating_point() else tensor.to(image.dtype)
    return changed


def numbered(
    labels: Sequence[Any] | np.ndarray | Tensor, class_names: Sequence[str] | None
) -> tuple[np.ndarray, list[str]]:
    """Returns labels int64 [N] and the class names that they are indices of.

    Raises UserError for a label that is no whole number from 0, or no name among ``class_names``, and for two classes
    of one name.
    """
    for name, count in Counter(class_names or ()).most_common(1):
        if count > 1:
            raise UserError(f"class_names has {name!r} {count} times: each class needs a name of its own")
    values = labels.tolist() if isinstance(labels, Tensor | np.ndarray) else list(labels)
    if values and all(isinstance(value, str) for value in values):
        names = list(class_names) if class_names is not None else sorted(set(values))
        index = {name: number for number, name in enumerate(names)}
        if missing := [value for value in values if value not in index]:
            shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
            raise UserError(f"there is no class {missing[0]!r}: choose among {shown}")
        return np.array([index[value] for value in values], np.int64), names
    numbers = np.array(values)
    if len(numbers) and (not np.issubdtype(numbers.dtype, np.number) or (numbers % 1).any() or numbers.min() < 0):
        raise UserError("labels must be whole numbers from 0, or names")
    numbers = numbers.astype(np.int64)
    count = int(numbers.max(initial=-1)) + 1
    names = list(class_names) if class_names is not None else [str(number) for number in range(count)]
    if count > len(names):
        raise UserError(f"label {count - 1} is out of range: there are {len(names)} classes")
    return numbers, names
