"""Data sets known by name that are folders of photos: where torchvision leaves them below the data directory."""

from __future__ import annotations

from collections.abc import Sequence

from pyarrow import fs

from ue_ray.errors import UserError, one_line
from ue_ray.storage.filesystem import absolute, join, open_store
from ue_ray.storage.inputs.folder import FolderSource
from ue_ray.storage.inputs.imagenet import with_readable_names
from ue_ray.storage.inputs.listing import Source

NAMED = ("lfw", "celeba", "imagenet", "imagenet-val")

_LFW = ("lfw_funneled", "lfw-deepfunneled", "lfw")  # torchvision's default first


def named_source(name: str, data_dir: str, download: bool = False) -> Source:
    """Returns what reads the data set ``name``, one of NAMED, below ``data_dir``: a local path or a URI.

    - lfw: 13,233 photos of 5,749 people, in ``lfw-py/lfw_funneled``, ``lfw-py/lfw-deepfunneled`` or ``lfw-py/lfw``;
    - celeba: 202,599 photos of 10,177 people, in ``celeba/img_align_celeba``, labelled by ``identity_CelebA.txt``;
    - imagenet, imagenet-val: the folders of synsets ``train`` and ``val``, in ``imagenet`` or at the top; classes have
      their readable names where Kaggle's ``LOC_synset_mapping.txt`` lies beside them.

    Raises UserError, which says what is expected where and how to get it, if that is not there.
    """
    place = absolute(data_dir)
    if name == "lfw":
        if download:
            raise UserError(
                "lfw: can no longer be downloaded: get lfw-funneled.tgz by hand; --data-dir names its place"
            )
        return FolderSource(_first(name, place, "lfw-py", _LFW, "unpack lfw-funneled.tgz, got by hand, to it"))
    if name == "celeba":
        if download:
            _download_celeba(data_dir)
        how = "--download fetches it (1.4 GB, with gdown)"
        images = _first(name, place, "celeba", ("img_align_celeba",), how)
        identities = _beside(images, "identity_CelebA.txt")
        if not open_store(identities).info().is_file:
            raise UserError(f"celeba: there is no {identities}, which says who is in each photo: {how}")
        return FolderSource(images, identities)
    if download:
        raise UserError(f"{name}: cannot be downloaded: get it from image-net.org; --data-dir says where it is")
    split = "val" if name == "imagenet-val" else "train"
    how = "torchvision's ImageNet makes it of the archives of image-net.org"
    return with_readable_names(FolderSource(_first(name, place, "imagenet", (split,), how)))


def _beside(folder: str, name: str) -> str:
    """The URI of what lies beside a folder."""
    path, query, options = folder.partition("?")
    return f"{path.rpartition('/')[0]}/{name}{query}{options}"


def _first(name: str, place: str, own: str, folders: Sequence[str], how: str) -> str:
    """The first of ``folders`` that there is: in the folder ``own`` of ``place``, or in ``place`` itself."""
    places = [join(top, folder) for top in (join(place, own), place) for folder in folders]
    for place in places:
        try:
            if open_store(place).info().type == fs.FileType.Directory:
                return place
        except OSError as error:
            raise UserError(f"{name}: {place} cannot be read: {one_line(error)}") from None
    raise UserError(f"{name}: there is no folder {places[0]}: {how}; --data-dir names another place")


def _download_celeba(data_dir: str) -> None:
    if "://" in data_dir:
        raise UserError(f"celeba: --download goes to a local folder, and --data-dir is {data_dir}")
    import os

    from torchvision.datasets import CelebA

    folder = os.path.expanduser(data_dir)
    try:
        os.makedirs(folder, exist_ok=True)
        CelebA(folder, download=True)
    except Exception as error:  # no gdown, no network, no space, too many downloads of others
        raise UserError(f"celeba: cannot download it to {folder}: {one_line(error)}") from error
