"""Bytes to pixels and back: the safe decoder, the lossless encoder, the one resize."""

import io
import re
import zlib

import numpy as np
from PIL import Image, UnidentifiedImageError

# Only formats that Pillow decodes in its own process: it hands EPS to Ghostscript, which would run untrusted programs,
# and formats without a magic number (TGA) would accept noise.
# MPO, the phones' two-in-one JPEG, opens as JPEG.
Image.init()
_WANTED = {"JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "DIB", "TIFF", "PPM", "JPEG2000", "ICO", "QOI"}
FORMATS = sorted(_WANTED & set(Image.OPEN))  # Pillow may be built without some, and trips over a name it lacks

# zlib's run-length strategy: in photographs with +-8 of noise there is nothing longer to match, and looking costs time.
# One image, mean of 300 of 32x32 and 40 of 250x250 (one core of a shared machine):
#   run-length 0.15 ms, 2.45 kB and 5.9 ms, 122 kB; default level 1 0.15 ms, 2.48 kB and 8.4 ms, 133 kB;
#   default level 6 0.15 ms, 2.45 kB and 12.3 ms, 122 kB; stored 0.09 ms, 3.17 kB and 4.9 ms, 188 kB.
_PNG = {"compress_level": 1, "compress_type": zlib.Z_RLE}

_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageError(Exception):
    """A file that cannot be used as an image. ``str(error)`` is the reason, one line, the same for every like file."""


def decode(data: bytes, max_pixels: int = 150_000_000) -> np.ndarray:
    """Decode one image file to contiguous, writable uint8 ``[H, W, 3]`` RGB, upright (EXIF orientation applied).

    Palette, bilevel, gray, CMYK and the like become RGB; 16-bit gray is scaled to 8 bits (65535 -> 255), not clipped.
    Alpha is dropped: the RGB values stored under it are kept, not composited on a background, because a background is
    a choice the file does not state. Of an animation the first frame is taken. ICC profiles are ignored.

    Raises ImageError, and nothing else, for whatever is not a whole image of at most ``max_pixels`` pixels.
    """
    if not data:
        raise ImageError("empty file")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            # The header says the size; the pixels are not decoded yet. Pillow itself only warns up to twice its limit.
            if image.width * image.height > max_pixels:
                raise ImageError(f"more than {max_pixels:,} pixels")
            image.load()
            return np.array(_to_rgb(_upright(image)))
    except ImageError:
        raise
    except Exception as error:  # Pillow's plugins raise anything from struct.error to MemoryError on hostile bytes
        raise ImageError(_reason(error)) from error


def encode_png(image: np.ndarray) -> bytes:
    """Encode uint8 ``[H, W, 3]`` (or gray ``[H, W]``) as PNG, lossless: ``decode`` gives the same pixels back."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", **_PNG)
    return buffer.getvalue()


def resize(image: np.ndarray, side: int) -> np.ndarray:
    """Squash uint8 ``[H, W, 3]`` to ``[side, side, 3]``: antialiased bilinear, no crop.

    No crop, so that a delta crafted on the square and resampled back covers the whole image where it was crafted.
    An image that has this size already is returned itself, not a copy.
    """
    if image.shape[:2] == (side, side):
        return image
    return np.array(Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR))


def _upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # a garbled EXIF block is no reason to reject good pixels; viewers show them as stored
        return image
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):  # PPM: 16 bits held in 32
        wide = np.array(image).astype(np.uint32)
        return Image.fromarray(((wide + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise ImageError("32-bit pixels have no defined white")
    if image.mode in ("P", "PA", "RGBa", "La"):
        image = image.convert("LA" if image.mode == "La" else "RGBA")  # straight to RGB: a warning, or no conversion
    return image.convert("RGB")


def _reason(error: Exception) -> str:
    """One short line without numbers or addresses, so that equal failures count as equal."""
    if isinstance(error, UnidentifiedImageError):
        return "not an image of a known format"
    if isinstance(error, Image.DecompressionBombError):
        return "more pixels than Pillow allows"
    text = re.sub(r"\d+", "N", " ".join(str(error).split()))
    if "truncated" in text.lower():
        return "truncated image"
    return f"cannot decode: {text[:120] or type(error).__name__}"
