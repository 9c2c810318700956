"""TIFF as other tools write it. The files are made here, byte by byte, after the specification (TIFF 6.0, DNG 1.4);
the same cases written by tifffile 2026 gave the same values."""

import struct
import zlib

import numpy as np
import pytest

from ue_ray.images import tiff
from ue_ray.images.codec import PAGES, PICTURE, ImageError, decode

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE = 0, 1, 2, 3


def page(pixels: bytes, width: int, height: int, bits: int = 8, photometric: int = BLACK_IS_ZERO, samples: int = 1,
         **tags: tuple[int, ...]) -> tuple[bytes, dict[int, tuple[int, ...]]]:  # fmt: skip
    known = {"subfile": 254, "planes": 284, "colours": 320, "sub_ifds": 330, "dng": 50706}
    entries = {256: (width,), 257: (height,), 258: (bits,) * samples, 259: (1,), 262: (photometric,), 277: (samples,),
               278: (height,)}  # fmt: skip
    return pixels, entries | {known[name]: value for name, value in tags.items()}


def tiff_file(*pages: tuple[bytes, dict[int, tuple[int, ...]]]) -> bytes:
    """Little-endian, uncompressed, one strip a page; values are LONGs, colour maps and bits SHORTs."""
    data = bytearray(b"II*\0" + bytes(4))
    link = 4
    for pixels, tags in pages:
        strip = len(data)
        data += pixels + bytes(len(pixels) % 2)
        entries = b""
        for tag, values in sorted((tags | {273: (strip,), 279: (len(pixels),)}).items()):
            kind, code = (3, "H") if tag in (258, 320) else (4, "I")
            packed = struct.pack(f"<{len(values)}{code}", *values)
            if len(packed) > 4:
                entries += struct.pack("<HHII", tag, kind, len(values), len(data))
                data += packed
            else:
                entries += struct.pack("<HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
        struct.pack_into("<I", data, link, len(data))
        data += struct.pack("<H", len(entries) // 12) + entries
        link = len(data)
        data += bytes(4)
    return bytes(data)


SMALL, LARGE = page(bytes(16 * 12), 16, 12), page(bytes([9]) * (640 * 480), 640, 480)


def marked(entry: tuple[bytes, dict[int, tuple[int, ...]]], **tags: tuple[int, ...]):
    return page(entry[0], *entry[1][256], *entry[1][257], **tags)


@pytest.mark.parametrize("first", [SMALL, marked(SMALL, subfile=(1,))], ids=["unmarked", "marked"])
def test_a_thumbnail_that_comes_first_is_not_the_picture(first):
    picture = decode(tiff_file(first, LARGE))
    assert picture.rgb.shape == (480, 640, 3)
    assert picture.rgb.min() == 9
    assert picture.notes == (PICTURE,)


def test_the_first_of_several_pages_is_the_picture():
    other_shape = page(bytes(700 * 100), 700, 100)
    pyramid = marked(SMALL, subfile=(1,))
    for pages in ((LARGE, LARGE), (LARGE, other_shape), (LARGE, pyramid)):
        picture = decode(tiff_file(*pages))
        assert picture.rgb.shape == (480, 640, 3)
        assert picture.notes == (PAGES,)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (tiff_file(marked(SMALL, subfile=(1,), dng=(0x0401,)), LARGE), tiff.CAMERA_RAW),
        (tiff_file(marked(SMALL, subfile=(1,), sub_ifds=(8,))), tiff.CAMERA_RAW),
        (tiff_file(marked(SMALL, subfile=(1,))), tiff.ONLY_A_PREVIEW),
        (tiff_file(page(bytes(2 * 3 * 4), 2, 2, 16, RGB, 3, planes=(2,))), tiff.PLANAR),
    ],
    ids=["DNG", "NEF", "preview alone", "16 bits in planes"],
)
def test_what_cannot_be_read_rightly_is_rejected(data, reason):
    with pytest.raises(ImageError) as raised:
        decode(data)
    assert str(raised.value) == reason


def test_white_may_be_zero_at_any_depth():
    wide = struct.pack("<4H", 0, 65535, 32768, 257)
    for photometric, expected in ((BLACK_IS_ZERO, [0, 255, 128, 1]), (WHITE_IS_ZERO, [255, 0, 127, 254])):
        assert decode(tiff_file(page(wide, 4, 1, 16, photometric))).rgb[0, :, 0].tolist() == expected
        narrow = decode(tiff_file(page(bytes([0, 255, 128, 1]), 4, 1, 8, photometric)))
        assert narrow.rgb[0, :, 0].tolist() == expected


def test_12_bits_are_scaled_to_white():
    values = [0, 4095, 2048, 16]
    packed = sum(value << 12 * (3 - place) for place, value in enumerate(values)).to_bytes(6, "big")
    assert decode(tiff_file(page(packed, 4, 1, 12))).rgb[0, :, 0].tolist() == [0, 255, 128, 1]


@pytest.mark.parametrize("unit", [1, 257], ids=["8-bit map", "16-bit map"])
def test_a_colour_map_of_8_bit_values_is_not_black(unit):
    colours = np.random.default_rng(0).integers(0, 256, (3, 256))
    data = tiff_file(page(bytes([3, 200, 0, 255]), 4, 1, 8, PALETTE, colours=tuple((colours * unit).ravel().tolist())))
    np.testing.assert_array_equal(decode(data).rgb[0], colours.T[[3, 200, 0, 255]])


@pytest.mark.parametrize(("bits", "row"), [(1, 0b01100000), (2, 0b00011011), (4, 0b0001), (8, 1)])
def test_a_transparent_gray_level_of_a_png_is_kept_at_any_depth(bits, row):
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    width = 8 // bits if bits < 8 else 1
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, 1, bits, 0, 0, 0, 0))
    data += chunk(b"tRNS", struct.pack(">H", 1)) + chunk(b"IDAT", zlib.compress(bytes([0, row]))) + chunk(b"IEND", b"")
    alpha = decode(data).alpha
    assert alpha is not None
    levels = [row >> (8 - bits * (place + 1)) & ((1 << bits) - 1) for place in range(width)]
    assert alpha[0].tolist() == [0 if level == 1 else 255 for level in levels]
