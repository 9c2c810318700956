"""Which files of a place are tars that are read, and which cannot be."""

from collections.abc import Sequence

from ue_ray.errors import UserError
from ue_ray.storage.filesystem import join
from ue_ray.storage.inputs.listing import links_left
from ue_ray.storage.inputs.tar_index import compressed
from ue_ray.storage.inputs.tar_samples import is_image
from ue_ray.storage.inputs.visible import is_tabular, is_visible
from ue_ray.storage.store import NOT_FOLLOWED, Store

_COMPRESSED = {
    "gzip": (".tar.gz", ".tgz"),
    "zstd": (".tar.zst", ".tzst"),
    "bzip2": (".tar.bz2", ".tbz2"),
    "xz": (".tar.xz", ".txz"),
    "lz4": (".tar.lz4",),
}


def is_tar(path: str) -> bool:
    """Whether a file is a tar, by its ending."""
    return path.lower().endswith(".tar")


def refuse_compressed(uri: str, path: str) -> None:
    """Raises UserError for a tar that is compressed, by its ending."""
    for what, endings in _COMPRESSED.items():
        if path.lower().endswith(endings):
            raise UserError(f"{uri}: {compressed(what)}")


def refuse_tars(where: str, names: Sequence[str]) -> None:
    """Raises UserError where ``names``, of what a tar holds, are those of tars."""
    if tars := [name for name in names if is_tar(name)]:
        raise UserError(
            f"{where}: a tar of tars, not of images ({', '.join(tars[:3])}): unpack it by tar -xf and give the folder"
        )


def tar_files(store: Store, uri: str, follow_links: bool = False) -> list[tuple[str, int]]:
    """Relative path and size in bytes of the tars below ``uri``, sorted; none where an image lies there, too.

    What else lies beside tars (.parquet, .json, .idx) does not count; nor does what is hidden or in a tool's folder
    (``_tmp``). Raises UserError for compressed tars and for links that are not followed.
    """
    files, packed = [], ""
    for path, size in store.walk("", follow_links):
        name = path.decode("utf-8", "surrogateescape")
        folder, _, own = name.rpartition("/")
        if not own or not is_visible(own) or (folder and not is_tabular(folder)):
            continue
        if is_tar(name):
            files.append((name, size))
        elif is_image(name) or (folder and "." not in own):
            return []  # images, then; found early, so that large folders stay unlisted
        else:
            packed = packed or name * any(name.lower().endswith(endings) for endings in _COMPRESSED.values())
    if packed:
        refuse_compressed(join(uri, packed), packed)
    if links := [name for name, size in files if size == NOT_FOLLOWED]:
        raise UserError(f"{uri}: {links_left(len(links), links[0])}")
    try:
        "".join(name for name, _ in files).encode()
    except UnicodeEncodeError:
        raise UserError(f"{uri}: a tar's name is not UTF-8; rename it") from None
    return sorted(files)
