"""What Pillow does not look at in a TIFF: which of its pages is the picture, and what its tags say of the pixels.

Each case was found by comparing Pillow with tifffile on the same files.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
from PIL import Image

CAMERA_RAW = "camera raw: develop it first"
ONLY_A_PREVIEW = "a preview without its picture"
PLANAR = "TIFF with 16-bit colours in planes, uncompressed: store them pixel by pixel"

_SUBFILE_TYPE, _PHOTOMETRIC, _COMPRESSION, _BITS = 254, 262, 259, 258
_PLANES, _COLOUR_MAP, _SUB_IFDS, _DNG_VERSION = 284, 320, 330, 50706
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_MOST_PAGES = 64  # that are looked at for the picture: a file may claim millions


class Unfit(Exception):
    """A TIFF that cannot be read rightly. ``str(error)`` is the reason, one line."""


def find_picture(image: Any, data: bytes) -> int:
    """Turns an opened TIFF to the page that is the picture; returns its number.

    That is the first page, unless it is marked as a reduced one, or another has its shape and twice its side: then the
    largest such page. Raises Unfit for camera raw, for a preview alone, and for a layout that Pillow scrambles.
    """
    tags = image.tag_v2
    reduced = bool(tags.get(_SUBFILE_TYPE, 0) & _REDUCED)
    if _DNG_VERSION in tags or (reduced and _SUB_IFDS in tags) or data[8:10] == b"CR":
        raise Unfit(CAMERA_RAW)
    width, height = image.size
    best, largest = (-1, 0) if reduced else (0, width * height)
    with suppress(Exception):  # a garbled later page is no reason to reject the first
        for page in range(1, min(image.n_frames, _MOST_PAGES)):
            image.seek(page)
            if image.tag_v2.get(_SUBFILE_TYPE, 0) & (_REDUCED | _MASK):
                continue
            same_shape = abs(image.width * height - image.height * width) <= 2 * max(image.size)
            size = image.width * image.height
            if (reduced or (same_shape and image.width >= 2 * width)) and size > largest:
                best, largest = page, size
    if best < 0:
        raise Unfit(ONLY_A_PREVIEW)
    image.seek(best)
    tags = image.tag_v2
    if tags.get(_PLANES, 1) == 2 and max(tags.get(_BITS, (1,))) > 8 and tags.get(_COMPRESSION, 1) == 1:
        raise Unfit(PLANAR)  # Pillow scrambles it
    return best


def by_the_tags(image: Image.Image, page: Any) -> Image.Image:
    """Returns ``image``, the pixels of the loaded ``page``, with the values that its tags mean."""
    tags = page.tag_v2
    if image.mode.startswith("I;16"):
        wide = np.asarray(image).astype(np.uint32)
        bits = max(tags.get(_BITS, (16,)))
        if bits < 16:  # 12-bit values are held as they are
            wide = (wide * 65535 + (1 << bits) // 2) // ((1 << bits) - 1)
        if tags.get(_PHOTOMETRIC) == 0:  # white is zero
            wide = 65535 - wide
        return Image.fromarray(wide.astype(np.uint16))
    if image.mode == "P" and max(tags.get(_COLOUR_MAP, (0,))) in range(1, 256):  # 8-bit colours where 16 are asked for
        image.putpalette(np.array(tags[_COLOUR_MAP], np.uint8).reshape(3, -1).T.tobytes())
    return image
