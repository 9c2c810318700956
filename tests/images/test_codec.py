import io
import os
import struct
import subprocess
import sys
import zlib
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image, ImageCms

from ue_ray.images.codec import ImageError, decode, encode, resize

RED, GREEN, BLUE, WHITE, BLACK, GRAY = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255,) * 3, (0,) * 3, (119,) * 3


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pixels(data: bytes) -> list[list[tuple[int, ...]]]:
    return [[tuple(map(int, pixel)) for pixel in row] for row in decode(data).rgb]


def row_of(mode: str, *values: object) -> Image.Image:
    image = Image.new(mode, (len(values), 1))
    for x, value in enumerate(values):
        image.putpixel((x, 0), value)
    return image


def photo(height: int = 48, width: int = 64) -> np.ndarray:
    """Smooth colour with noise on it: no two pixels alike, as in a photograph."""
    y, x = np.mgrid[0:height, 0:width]
    smooth = np.stack([x * 255 / width, y * 255 / height, (x + y) * 255 / (width + height)], axis=-1)
    noise = np.random.default_rng(0).integers(-8, 9, smooth.shape)
    return np.clip(smooth + noise, 0, 255).astype(np.uint8)


def palette_image(**info: object) -> Image.Image:
    image = row_of("P", 2, 0, 1)
    image.putpalette([*RED, *GREEN, *BLUE])
    image.info.update(info)
    return image


GOLDEN = {
    "rgb": (encoded(row_of("RGB", RED, GRAY)), [RED, GRAY]),
    "gray": (encoded(row_of("L", 0, 119, 255)), [BLACK, GRAY, WHITE]),
    "bilevel": (encoded(row_of("1", 0, 1)), [BLACK, WHITE]),
    "palette": (encoded(palette_image()), [BLUE, RED, GREEN]),
    "palette with one transparent entry": (encoded(palette_image(), transparency=1), [BLUE, RED, GREEN]),
    "palette with alpha": (encoded(palette_image(), transparency=b"\x00\x80\xff"), [BLUE, RED, GREEN]),
    "rgba: colour under alpha is kept": (encoded(row_of("RGBA", (*RED, 0), (*BLUE, 128))), [RED, BLUE]),
    "gray with alpha": (encoded(row_of("LA", (119, 0), (255, 9))), [GRAY, WHITE]),
    "cmyk": (encoded(row_of("CMYK", (0, 255, 255, 0), (0, 0, 0, 255)), "TIFF"), [RED, BLACK]),
    "lossless webp": (encoded(row_of("RGB", RED, GREEN), "WEBP", lossless=True), [RED, GREEN]),
    "bmp": (encoded(row_of("RGB", RED, GREEN), "BMP"), [RED, GREEN]),
    "ppm": (b"P6 2 1 255\n" + bytes([*RED, *GRAY]), [RED, GRAY]),
    "ppm 16-bit": (b"P5 3 1 65535\n" + struct.pack(">3H", 0, 119 * 257, 65535), [BLACK, GRAY, WHITE]),
}


@pytest.mark.parametrize("case", GOLDEN)
def test_decode_gives_the_expected_pixels(case: str):
    data, expected = GOLDEN[case]
    assert pixels(data) == [expected]


OPAQUE = {"rgb", "gray", "bilevel", "palette", "cmyk", "lossless webp", "bmp", "ppm", "ppm 16-bit"}
ALPHA = {
    "palette with one transparent entry": [255, 255, 0],
    "palette with alpha": [255, 0, 128],
    "rgba: colour under alpha is kept": [0, 128],
    "gray with alpha": [0, 9],
}


@pytest.mark.parametrize("case", GOLDEN)
def test_alpha_is_kept_aside(case: str):
    alpha = decode(GOLDEN[case][0]).alpha
    assert (alpha is None) == (case in OPAQUE)
    assert alpha is None or alpha.tolist() == [ALPHA[case]]


def png(depth: int, colour: int, samples: list[int], transparent: list[int] | None = None) -> bytes:
    """A PNG of one row, made by hand; colour: 0 gray, 2 RGB, 4 gray and alpha, 6 RGBA."""
    layout = ">{}" + ("H" if depth == 16 else "B")
    width = len(samples) // {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, 1, depth, colour, 0, 0, 0))]
    if transparent is not None:
        chunks.append((b"tRNS", struct.pack(f">{len(transparent)}H", *transparent)))
    row = b"\0" + struct.pack(layout.format(len(samples)), *samples)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in [*chunks, (b"IDAT", zlib.compress(row)), (b"IEND", b"")]
    )


PNGS = {
    "8-bit gray, a transparent level": (png(8, 0, [119, 0], [119]), [GRAY, BLACK], [0, 255]),
    "8-bit rgb, a transparent colour": (png(8, 2, [*RED, *BLUE], [*BLUE]), [RED, BLUE], [255, 0]),
    "16-bit gray, a transparent level": (png(16, 0, [119 * 257, 65535], [119 * 257]), [GRAY, WHITE], [0, 255]),
    "16-bit gray with alpha": (png(16, 4, [65535, 257, 119 * 257, 0]), [WHITE, GRAY], [1, 0]),
    "16-bit rgb": (png(16, 2, [65535, 0, 0, 119 * 257, 119 * 257, 119 * 257]), [RED, GRAY], None),
    "16-bit rgb, a transparent colour": (png(16, 2, [65535, 0, 0, 0, 0, 65535], [65535, 0, 0]), [RED, BLUE], [0, 255]),
    "16-bit rgba": (png(16, 6, [65535, 0, 0, 514, 0, 65535, 0, 65535]), [RED, GREEN], [2, 255]),
}


@pytest.mark.parametrize("case", PNGS)
def test_pngs_made_by_hand(case: str):
    data, colours, alpha = PNGS[case]
    decoded = decode(data)
    assert [tuple(pixel) for pixel in decoded.rgb[0].tolist()] == colours
    assert (decoded.alpha is None) if alpha is None else (decoded.alpha.tolist() == [alpha])


def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def rgb_profile(primaries: list[tuple[float, float, float]], gamma: float) -> bytes:
    """A matrix profile, version 2, made by hand: XYZ of the primaries relative to D50, and one exponent."""

    def xyz(*values: float) -> bytes:
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    tags = {b"wtpt": xyz(0.9642, 1.0, 0.8249), b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    tags |= dict(zip((b"rXYZ", b"gXYZ", b"bXYZ"), (xyz(*primary) for primary in primaries), strict=True))
    return profile_of(b"RGB ", tags)


def gray_profile(gamma: float) -> bytes:
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    return profile_of(
        b"GRAY", {b"wtpt": white, b"kTRC": b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"}
    )


def profile_of(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    start = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, value in tags.items():
        table += name + struct.pack(">II", start + len(body), len(value))
        body += value
    header = struct.pack(">I4sI4s4s4s", start + len(body), b"lcms", 0x02400000, b"mntr", space, b"XYZ ")
    header += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + table + body


SRGB_TO_XYZ = np.array([[0.4361, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]])  # D50
DISPLAY_P3 = [(0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841)]


def to_srgb(rgb: np.ndarray, primaries: list[tuple[float, float, float]], gamma: float) -> np.ndarray:
    """The transform from its definition, apart from any library."""
    linear = np.linalg.solve(SRGB_TO_XYZ, np.array(primaries).T @ (rgb / 255.0).reshape(-1, 3).T ** gamma)
    linear = linear.clip(0, 1)
    curve = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(255 * curve.T).reshape(rgb.shape)


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True})])
@pytest.mark.parametrize("primaries", ["the same", "wider"])
def test_a_colour_profile_is_converted_to_srgb(kind: str, options: dict, primaries: str):
    stored = photo()
    of_profile = [tuple(column) for column in SRGB_TO_XYZ.T] if primaries == "the same" else DISPLAY_P3
    data = encoded(Image.fromarray(stored), kind, icc_profile=rgb_profile(of_profile, 1.8), **options)
    decoded = decode(data)
    expected = to_srgb(stored, of_profile, 1.8)
    assert decoded.notes == ()
    assert np.abs(decoded.rgb - expected).max() <= 3
    assert np.abs(decoded.rgb - expected).mean() < 0.5 < np.abs(stored - expected).mean()


def test_a_profile_is_applied_beside_alpha_and_palette():
    profile = rgb_profile(DISPLAY_P3, 2.2)
    half = encoded(row_of("RGBA", (*GRAY, 7), (200, 60, 60, 255)), icc_profile=profile)
    decoded = decode(half)
    expected = to_srgb(np.array([[GRAY, (200, 60, 60)]]), DISPLAY_P3, 2.2)
    assert np.abs(decoded.rgb - expected).max() <= 2
    assert decoded.alpha.tolist() == [[7, 255]]
    palette = row_of("P", 0, 1)
    palette.putpalette([*GRAY, 200, 60, 60])
    assert (decode(encoded(palette, icc_profile=profile)).rgb == decoded.rgb).all()


def test_a_gray_profile_is_applied_and_gray_may_have_an_rgb_one():
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    linear = np.arange(256) / 255
    expected = 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    decoded = decode(encoded(ramp, icc_profile=gray_profile(1.0))).rgb
    assert np.abs(decoded[0] - expected[:, None]).max() <= 1
    coloured = decode(encoded(ramp, "JPEG", quality=100, icc_profile=rgb_profile(DISPLAY_P3, 1.0)))
    assert coloured.notes == ()
    assert np.abs(coloured.rgb[0].mean(axis=1) - expected).max() <= 2


def test_an_srgb_profile_changes_no_pixel():
    data = encoded(Image.fromarray(photo()), icc_profile=srgb_profile())
    assert (decode(data).rgb == photo()).all()


@pytest.mark.parametrize(
    "profile",
    [b"no profile", srgb_profile()[:200], b"\0" * 500, gray_profile(2.2), rgb_profile(DISPLAY_P3, 2.2)[:-40]],
    ids=["text", "cut", "zeros", "of gray", "cut in a tag"],
)
def test_a_broken_profile_leaves_the_pixels_as_stored(profile: bytes):
    decoded = decode(encoded(Image.fromarray(photo()), icc_profile=profile))
    assert (decoded.rgb == photo()).all()
    assert decoded.notes == ("unusable colour profile: colours as stored",)


@pytest.mark.parametrize("space", ["CMYK", "YCCK"])
def test_adobes_inverted_cmyk(space: str):
    """Photoshop stores 255 - ink and says so by an Adobe marker, as Pillow does, which does not write YCCK."""
    inks = Image.new("CMYK", (16, 16))
    inks.paste((0, 255, 255, 0), (0, 0, 8, 16))  # red
    inks.paste((255, 0, 255, 0), (8, 0, 16, 16))  # green
    data = encoded(inks, "JPEG", quality=100, subsampling=0)
    marker = data.index(b"Adobe\0")
    assert data[marker + 11] == 0  # the transform: none
    if space == "YCCK":  # the same file, as if its first three inks were Y, Cb, Cr
        data = data[: marker + 11] + b"\2" + data[marker + 12 :]
        stored = np.array([[255, 0, 0], [0, 255, 0]], float)  # as YCbCr it gives 255 - (255 - ink), by the marker
        y, cb, cr = stored.T
        inverted = np.stack(
            [y + 1.402 * (cr - 128), y - 0.344 * (cb - 128) - 0.714 * (cr - 128), y + 1.772 * (cb - 128)]
        )
        expected = 255 - inverted.T.clip(0, 255)
    else:
        expected = np.array([RED, GREEN])
    decoded = decode(data).rgb
    assert np.abs(decoded[8, 2].astype(int) - expected[0]).max() <= 3
    assert np.abs(decoded[8, 13].astype(int) - expected[1]).max() <= 3


def test_pages_after_the_first_are_noted():
    pages = [Image.new("RGB", (4, 4), colour) for colour in (RED, GREEN)]
    decoded = decode(encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:]))
    assert (decoded.rgb == RED).all()
    assert decoded.notes == ("first page of several",)


def test_avif_is_decoded():
    decoded = decode(encoded(Image.fromarray(photo()), "AVIF", quality=95, subsampling="4:4:4"))
    assert np.abs(decoded.rgb.astype(int) - photo()).mean() < 3


def test_heic_is_decoded_where_its_library_is():
    heif = pytest.importorskip("pillow_heif")
    file = heif.from_pillow(Image.fromarray(np.rot90(photo())))
    buffer = io.BytesIO()
    file.save(buffer, quality=95, chroma=444)
    decoded = decode(buffer.getvalue())
    assert decoded.rgb.shape == (64, 48, 3)
    assert np.abs(decoded.rgb.astype(int) - np.rot90(photo())).mean() < 3


def test_without_its_library_heic_is_rejected_with_what_to_install():
    code = """
import sys
sys.modules["pillow_heif"] = sys.modules["pi_heif"] = None
from ue_ray.images.codec import ImageError, decode
try:
    decode(b"\\0\\0\\0\\x18ftypheic\\0\\0\\0\\0mif1heic" + bytes(100))
except ImageError as error:
    print(error)
"""
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ, timeout=60
    )
    assert run.stdout == "HEIC: not readable here; pip install 'ue-ray[heic]' on every machine\n"


@pytest.mark.parametrize("encoding", ["png", "webp"])
@pytest.mark.parametrize("alpha", [False, True])
def test_lossless_encodings_keep_every_pixel_and_those_under_alpha(encoding: str, alpha: bool):
    random = np.random.default_rng(3)
    image = random.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    mask = random.choice(np.array([0, 1, 200, 255], np.uint8), (20, 30)) if alpha else None
    decoded = decode(encode(image, mask, encoding))
    assert (decoded.rgb == image).all()
    assert (decoded.alpha == mask).all() if alpha else decoded.alpha is None


def test_jpeg_is_written_without_chroma_subsampling():
    data = encode(photo(), None, "jpeg", quality=95)
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "JPEG"
        assert [component[1:3] for component in image.layer] == [(1, 1)] * 3
    assert len(encode(photo(), None, "jpeg", quality=50)) < len(data)
    assert np.abs(decode(data).rgb.astype(int) - photo()).mean() < 4


def test_what_a_format_cannot_hold_is_an_image_error():
    with pytest.raises(ImageError, match="too large for WebP: more than 16,383 pixels"):
        encode(np.zeros((1, 16_384, 3), np.uint8), encoding="webp")
    with pytest.raises(ImageError, match="too large for JPEG"):
        encode(np.zeros((65_501, 1, 3), np.uint8), encoding="jpeg")


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6" dc:creator="Ada"/></x:xmpmeta>'


def photo_with_metadata(xmp: bytes = XMP) -> bytes:
    """A JPEG, to be turned by 90 degrees, with a place, a maker's note, a preview and an EXIF thumbnail."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x0132] = 6, "Maker", "2024:05:06 07:08:09"
    exif[0x8769] = {0x927C: b"SECRETNOTE" * 9, 0x9003: "2024:05:06 07:08:09", 0xA001: 65535, 0xA002: 64}
    exif[0x8825] = {1: "N", 2: (52.0, 30.0, 0.0)}
    block = exif.tobytes()
    thumbnail = encoded(Image.fromarray(photo(12, 16)), "JPEG")
    order = "<" if block[6:8] == b"II" else ">"
    tiff = block[6:]
    (first,) = struct.unpack(order + "I", tiff[4:8])
    (count,) = struct.unpack(order + "H", tiff[first : first + 2])
    link = first + 2 + 12 * count  # of IFD0 to IFD1, which holds the thumbnail
    end = len(tiff)
    ifd1 = struct.pack(order + "H", 2)
    ifd1 += struct.pack(order + "HHII", 0x0201, 4, 1, end + 30) + struct.pack(
        order + "HHII", 0x0202, 4, 1, len(thumbnail)
    )
    ifd1 += struct.pack(order + "I", 0)
    tiff = tiff[:link] + struct.pack(order + "I", end) + tiff[link + 4 :] + ifd1 + thumbnail
    data = encoded(Image.fromarray(photo()), "JPEG", quality=95, exif=b"Exif\0\0" + tiff, xmp=xmp)
    assert thumbnail in data
    return data


@pytest.mark.parametrize("encoding", ["png", "webp", "jpeg"])
def test_metadata_is_dropped_unless_asked_for(encoding: str):
    original = decode(photo_with_metadata())
    assert original.rgb.shape == (64, 48, 3)
    assert original.metadata == {}
    with Image.open(io.BytesIO(encode(original.rgb, None, encoding, metadata=original.metadata))) as written:
        written.load()
        assert not {"exif", "xmp", "icc_profile"} & set(written.info)


@pytest.mark.parametrize("encoding", ["png", "webp", "jpeg"])
def test_kept_metadata_is_upright_and_shows_no_picture(encoding: str):
    original = decode(photo_with_metadata(), keep_metadata=True)
    data = encode(original.rgb, None, encoding, metadata=original.metadata)
    assert decode(data).rgb.shape == (64, 48, 3)  # not turned again
    assert b"SECRETNOTE" not in data
    with Image.open(io.BytesIO(data)) as written:
        written.load()
        exif = written.getexif()
        assert exif.get(0x0112, 1) == 1
        assert (exif[0x010F], exif[0x0132]) == ("Maker", "2024:05:06 07:08:09")
        assert exif.get_ifd(0x8825)[2] == (52.0, 30.0, 0.0)
        details = exif.get_ifd(0x8769)
        assert details[0x9003] == "2024:05:06 07:08:09"
        assert (details[0xA001], 0x927C in details, 0xA002 in details) == (1, False, False)
        assert exif.get_ifd(1) == {}  # the thumbnail's
        assert b'tiff:Orientation="1" dc:creator="Ada"' in written.info["xmp"]


def test_xmp_that_holds_a_picture_is_left_out():
    decoded = decode(photo_with_metadata(XMP.replace(b"dc:creator", b"xmp:Thumbnails")), keep_metadata=True)
    assert set(decoded.metadata) == {"exif"}
    assert decoded.notes == ("XMP left out: it holds a picture",)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_gray_is_scaled_and_rounded_not_clipped(kind: str):
    values = np.array([[0, 128, 129, 257, 32768, 65406, 65407, 65535]], dtype=np.uint16)
    expected = [0, 0, 1, 1, 128, 254, 255, 255]
    decoded = decode(encoded(Image.fromarray(values), kind)).rgb
    assert decoded[0, :, 0].tolist() == expected
    assert (decoded == decoded[..., :1]).all()


def test_big_endian_16_bit_tiff():
    image = Image.frombytes("I;16B", (2, 1), struct.pack(">2H", 119 * 257, 65535))
    assert pixels(encoded(image, "TIFF")) == [[GRAY, WHITE]]


@pytest.mark.parametrize("mode", ["I", "F"])
def test_32_bit_pixels_are_rejected_since_their_white_is_unknown(mode: str):
    with pytest.raises(ImageError, match="32-bit"):
        decode(encoded(Image.new(mode, (2, 2)), "TIFF"))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_once(orientation: int, kind: str):
    upright = np.zeros((16, 24, 3), np.uint8)
    upright[:8, :8] = RED
    upright[:8, 16:] = GREEN
    upright[8:, :8] = BLUE
    undo = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }
    stored = np.ascontiguousarray(undo[orientation](upright))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    decoded = decode(encoded(Image.fromarray(stored), kind, exif=exif.tobytes(), **options)).rgb
    assert decoded.shape == upright.shape
    assert np.abs(decoded.astype(int) - upright).max() <= (4 if kind == "JPEG" else 0)


def test_garbled_exif_does_not_reject_good_pixels():
    data = encoded(row_of("RGB", RED, GREEN), "PNG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff")
    assert pixels(data) == [[RED, GREEN]]


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_the_first_frame_of_an_animation_is_taken(kind: str):
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, GREEN, BLUE)]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    decoded = decode(data)
    assert (decoded.rgb == RED).all()
    assert decoded.notes == ("first frame of an animation",)


def test_decoded_pixels_are_contiguous_writable_and_uint8():
    decoded = decode(encoded(Image.fromarray(photo()), "JPEG")).rgb
    assert decoded.dtype == np.uint8
    assert decoded.shape == (48, 64, 3)
    assert decoded.flags.c_contiguous
    assert decoded.flags.writeable


def png_with_header(width: int, height: int) -> bytes:
    """A PNG whose header promises pixels that are not there."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


def test_the_pixel_limit_is_read_from_the_header():
    with pytest.raises(ImageError, match="more than 1,000 pixels"):
        decode(png_with_header(50, 40), max_pixels=1000)
    assert decode(encode(photo(20, 50)), max_pixels=1000).rgb.shape == (20, 50, 3)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bombs_are_rejected_at_any_size():
    for side in (13_000, 60_000):  # Pillow warns at the first and raises at the second
        with pytest.raises(ImageError, match="pixels"):
            decode(png_with_header(side, side))


NOT_IMAGES = {
    "empty": (b"", "empty file"),
    "text": (b"not an image at all, however long it may be", "not an image of a known format"),
    "zeros": (bytes(1000), "not an image of a known format"),
    "postscript, which Pillow would hand to another program": (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n",
        "not an image of a known format",
    ),
    "header only": (png_with_header(8, 8)[:45], "truncated image"),
}


@pytest.mark.parametrize("case", NOT_IMAGES)
def test_what_is_no_image_is_rejected_with_a_reason(case: str):
    data, reason = NOT_IMAGES[case]
    with pytest.raises(ImageError) as caught:
        decode(data)
    assert str(caught.value) == reason


WHOLE = {
    "png": ("PNG", {}),
    "jpeg": ("JPEG", {"quality": 90}),
    "progressive jpeg": ("JPEG", {"progressive": True}),
    "webp": ("WEBP", {}),
    "gif": ("GIF", {}),
    "bmp": ("BMP", {}),
    "tiff": ("TIFF", {}),
    "tiff lzw": ("TIFF", {"compression": "tiff_lzw"}),
    "ppm": ("PPM", {}),
    "avif": ("AVIF", {}),
    "jpeg 2000": ("JPEG2000", {}),
}


@pytest.mark.parametrize("case", WHOLE)
def test_a_file_cut_anywhere_is_rejected(case: str):
    kind, options = WHOLE[case]
    data = encoded(Image.fromarray(photo()), kind, **options)
    assert decode(data).rgb.shape == (48, 64, 3)
    for tenth in range(10):
        with pytest.raises(ImageError) as caught:
            decode(data[: len(data) * tenth // 10])
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("case", WHOLE)
def test_damaged_bytes_raise_nothing_but_image_error(case: str):
    kind, options = WHOLE[case]
    data = bytearray(encoded(Image.fromarray(photo()), kind, **options))
    random = np.random.default_rng(1)
    for _ in range(30):
        damaged = data.copy()
        for place in random.integers(0, len(data), 5):
            damaged[place] = random.integers(0, 256)
        with suppress(ImageError):
            assert decode(bytes(damaged)).rgb.ndim == 3


def test_equal_failures_give_equal_reasons():
    data = encode(photo())
    reasons = set()
    for end in (len(data) // 2, len(data) // 3):
        with pytest.raises(ImageError) as caught:
            decode(data[:end])
        reasons.add(str(caught.value))
    assert len(reasons) == 1


@pytest.mark.parametrize("shape", [(32, 32, 3), (1, 1, 3), (7, 250, 3)])
def test_encoding_is_lossless(shape: tuple[int, ...]):
    image = np.random.default_rng(2).integers(0, 256, shape, dtype=np.uint8)
    assert (decode(encode(image)).rgb == image).all()


def test_encoding_takes_gray_and_views():
    image = photo()
    assert (decode(encode(image[..., 0])).rgb == image[..., :1]).all()
    assert (decode(encode(image[::-1, ::2])).rgb == image[::-1, ::2]).all()


def test_resize_to_the_same_size_is_the_same_array():
    image = photo(32, 32)
    assert resize(image, 32) is image


def test_resize_squashes_without_cropping():
    image = np.zeros((40, 80, 3), np.uint8)
    image[:, :40] = RED
    image[:, 40:] = BLUE
    small = resize(image, 8)
    assert small.shape == (8, 8, 3)
    assert small.dtype == np.uint8
    assert small.flags.writeable
    assert (small[:, 0] == RED).all()
    assert (small[:, -1] == BLUE).all()


def test_resize_is_antialiased():
    checkerboard = np.indices((64, 64)).sum(axis=0) % 2 * 255
    small = resize(np.repeat(checkerboard[..., None], 3, axis=2).astype(np.uint8), 8)
    assert np.abs(small.astype(int) - 127).max() <= 2


@pytest.mark.parametrize("data", [encode(np.zeros((4, 4, 3), np.uint8)), b"no image"])
def test_pillows_own_limit_is_left_as_it_was(data, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with suppress(ImageError):
        decode(data, max_pixels=10**9)
    assert Image.MAX_IMAGE_PIXELS == 1000
