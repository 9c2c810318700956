"""Bytes to pixels and back: the safe decoder, the encoder, the one resize."""

import io
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib import import_module

import numpy as np
from PIL import AvifImagePlugin, ExifTags, Image, ImageCms, UnidentifiedImageError

from ue_ray.images.png import write_png
from ue_ray.images.tiff import Unfit, by_the_tags, find_picture

MAX_PIXELS = 150_000_000  # above the largest cameras' 100 to 150 megapixels

# Only formats that Pillow decodes in its own process: it hands EPS to Ghostscript, which would run untrusted programs,
# and formats without a magic number (TGA) would accept noise.
# MPO, the phones' two-in-one JPEG, opens as JPEG.
_WANTED = {"JPEG", "PNG", "WEBP", "AVIF", "HEIF", "GIF", "BMP", "DIB", "TIFF", "PPM", "JPEG2000", "ICO", "QOI"}

ENCODINGS = {"png": ".png", "webp": ".webp", "jpeg": ".jpg"}
"""What ``encode`` writes: name -> file extension."""
LOSSLESS = frozenset({"png", "webp"})

# exact: the colours under transparent pixels, too. Method 1 at the least effort; mean of 25 images of 250x250,
#   +-8 in each pixel: method 0 2.0 ms, 126 kB; 1 6.4 ms, 120 kB; 2 10.6 ms, 118 kB; 3 18 ms, 116 kB
#   +-8 on an 8x8 canvas: 0 2.8 ms, 67 kB; 1 7.9 ms, 58 kB; 2 10.4 ms, 57 kB; 3 17.7 ms, 57 kB.
# At 32x32: 1 0.25 ms, 2.28 kB. More "quality" (effort) takes time and saves nothing.
_WEBP = {"lossless": True, "exact": True, "method": 1, "quality": 0}
_WEBP_SIDE, _JPEG_SIDE = 16_383, 65_500  # the formats' own limits

ANIMATION = "first frame of an animation"
PAGES = "first page of several"
PICTURE = "the largest page of several: the first is its preview"
BAD_PROFILE = "unusable colour profile: colours as stored"
NO_TRANSPARENCY = "transparency left out: JPEG has none"
BAD_METADATA = "metadata left out: garbled or too large"
PREVIEW = "XMP left out: it holds a picture"

_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_ANIMATED = {"GIF", "PNG", "WEBP", "AVIF"}  # the other pictures of an MPO or HEIF are its previews and gain maps

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


@dataclass(frozen=True, eq=False)
class Picture:
    """One decoded image.

    ``rgb`` is uint8 [H,W,3], contiguous and writable, sRGB, upright. ``alpha`` is uint8 [H,W], or None where the file
    has none: kept aside, with the colours under it as stored, because a background is a choice the file does not
    state. ``notes`` say in stable words what else was in the file and is not here. ``metadata`` has ``exif`` and
    ``xmp``, if they were asked for and are there, without their pictures and orientation.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    metadata: Mapping[str, bytes] = field(default_factory=dict)


@cache
def formats() -> list[str]:
    """Returns the formats that are read; the first call sets Pillow up for them, in this process."""
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # one thread an image: the other cores have images of their own
    for name in ("pillow_heif", "pi_heif"):  # the second: without x265, and no longer maintained
        with suppress(ImportError):
            import_module(name).register_heif_opener(thumbnails=False, decode_threads=1)
            break
    Image.init()
    return sorted(_WANTED & set(Image.OPEN))  # Pillow may be built without some, and trips over a name it lacks


def decode(data: bytes, max_pixels: int = MAX_PIXELS, keep_metadata: bool = False) -> Picture:
    """Decode one image file, in this process (``ue_ray.images.sandbox`` does it in one that may die).

    The EXIF orientation is applied; an ICC profile is converted to sRGB, perceptual intent. Palette, bilevel, gray,
    CMYK and the like become RGB; 16-bit gray is scaled to 8 bits (65535 -> 255), not clipped; of 16-bit colour Pillow
    keeps the high byte. Of an animation the first frame is taken.

    Raises ImageError, and nothing else, for whatever is not a whole image of at most ``max_pixels`` pixels.
    """
    if not data:
        raise ImageError("empty file")
    limit = Image.MAX_IMAGE_PIXELS  # Pillow's own, which also guards pictures inside pictures (ICO)
    try:
        Image.MAX_IMAGE_PIXELS = None if limit is None else max(limit, max_pixels)
        with Image.open(io.BytesIO(data), formats=formats()) as image:
            # The header says the size; the pixels are not decoded yet. Pillow itself only warns up to twice its limit.
            page = find_picture(image, data) if image.format == "TIFF" else 0
            _check_size(image, max_pixels)
            layout = str(image.tile)
            image.load()
            _check_size(image, max_pixels)  # an ICO or HEIF may hold more than its header says
            return _picture(image, layout, page, keep_metadata)
    except ImageError:
        raise
    except Unfit as error:
        raise ImageError(str(error)) from error
    except Image.DecompressionBombError as error:
        raise ImageError(_too_large(max_pixels)) from error
    except Exception as error:  # Pillow's plugins raise anything from struct.error to MemoryError on hostile bytes
        raise ImageError(_reason(error, data)) from error
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def encode(
    image: np.ndarray,
    alpha: np.ndarray | None = None,
    encoding: str = "png",
    quality: int = 95,
    metadata: Mapping[str, bytes] | None = None,
) -> bytes:
    """Encode uint8 ``[H, W, 3]`` (or gray ``[H, W]``) and its alpha ``[H, W]`` as one of ENCODINGS.

    ``png`` and ``webp`` are lossless: ``decode`` gives the same pixels and alpha back. ``jpeg`` has this ``quality``
    (1 to 100), 4:4:4, and no alpha. Only ``metadata``, as in Picture, is written beside the pixels.

    Raises ImageError for an image larger than the format allows.
    """
    if encoding == "png":
        return write_png(image if alpha is None else np.dstack([image, alpha]), **(metadata or {}))
    buffer = io.BytesIO()
    picture = Image.fromarray(image)
    if alpha is not None and encoding != "jpeg":
        picture.putalpha(Image.fromarray(alpha))
    extra = dict(metadata or {})
    if encoding == "webp":
        _check_side(picture, _WEBP_SIDE, "WebP")
        picture.save(buffer, "WEBP", **_WEBP, **extra)
    else:
        _check_side(picture, _JPEG_SIDE, "JPEG")
        picture.save(buffer, "JPEG", quality=quality, subsampling=0, **extra)
    return buffer.getvalue()


def resize(image: np.ndarray, side: int) -> np.ndarray:
    """Squash uint8 ``[H, W, 3]`` to ``[side, side, 3]``: antialiased bilinear, no crop.

    No crop, so that a delta crafted on the square and resampled back covers the whole image where it was crafted.
    An image that has this size already is returned itself, not a copy.
    """
    if image.shape[:2] == (side, side):
        return image
    return np.array(Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR))


def _picture(image: Image.Image, layout: str, page: int, keep_metadata: bool) -> Picture:
    notes = [PICTURE] if page else _frames(image)
    metadata = _metadata(image, notes) if keep_metadata else {}
    profile = image.info.get("icc_profile")
    upright = _upright(image)
    if image.format == "TIFF":
        upright = by_the_tags(upright, image)
    colours, alpha = _apart(upright, layout)
    rgb = np.array(_to_srgb(colours, profile, notes))
    return Picture(rgb, None if alpha is None else np.array(alpha), tuple(notes), metadata)


def _frames(image: Image.Image) -> list[str]:
    more = False
    with suppress(Exception):  # a garbled second frame is no reason to reject the first
        more = getattr(image, "is_animated", False)
    return [ANIMATION] * (more and image.format in _ANIMATED) + [PAGES] * (more and image.format == "TIFF")


_MAY_TURN = {"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"}


def _upright(image: Image.Image) -> Image.Image:
    if image.format != "TIFF" and _MAY_TURN.isdisjoint(image.info):  # asking costs a fifth of a small PNG's time
        return image
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # a garbled EXIF block is no reason to reject good pixels; viewers show them as stored
        return image
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


_PALE = {"L;2": 85, "L;4": 17}  # PNG's gray of few bits, scaled to 8; its transparent level is not


def _apart(image: Image.Image, layout: str) -> tuple[Image.Image, Image.Image | None]:
    """The 8-bit colours, without alpha, in any mode that ``convert`` takes to RGB; and the alpha, if there is one."""
    key = image.info.get("transparency")
    if isinstance(key, int) and (scale := _PALE.get(next((raw for raw in _PALE if f"'{raw}'" in layout), ""))):
        key = image.info["transparency"] = key * scale
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):  # PPM: 16 bits held in 32
        wide = np.asarray(image)
        alpha = None if key is None else Image.fromarray(np.where(wide == key, 0, 255).astype(np.uint8))
        return Image.fromarray(_eight_bits(wide)), alpha
    if image.mode in ("I", "F"):
        raise ImageError("32-bit pixels have no defined white")
    if image.mode == "La":
        image = image.convert("LA")
    if key is not None and image.mode == "RGB" and ";16" in layout:
        image.info["transparency"] = tuple(value >> 8 for value in key)
    if key is not None or image.mode in ("P", "PA", "RGBa", "LA"):
        opaque = key is None and image.mode == "P"
        image = image.convert("RGB" if opaque else "RGBA")
    if image.mode == "RGBA":
        return image.convert("RGB"), image.getchannel("A")
    return image, None


def _eight_bits(wide: np.ndarray) -> np.ndarray:
    """0 ... 65535 -> 0 ... 255, rounded; in strips, because of a large image even the sums are large."""
    narrow = np.empty(wide.shape, np.uint8)
    for top in range(0, len(wide), 256):
        narrow[top : top + 256] = (wide[top : top + 256].astype(np.uint32) + 128) // 257
    return narrow


_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}  # a profile's colour space -> Pillow's name


def _to_srgb(image: Image.Image, profile: bytes | None, notes: list[str]) -> Image.Image:
    if profile:
        try:
            mode, convert = _conversion(profile)
            if mode != image.mode and (mode != "RGB" or image.mode in ("CMYK", "LAB")):  # gray in an RGB space is fine
                raise ValueError(f"a profile for {mode} on an image in {image.mode}")
            return convert(image if image.mode == mode else image.convert(mode)).convert("RGB")
        except (ImageCms.PyCMSError, KeyError, OSError, TypeError, ValueError):
            notes.append(BAD_PROFILE)
    return image.convert("RGB")


@lru_cache(maxsize=8)  # the photos of one camera have one profile
def _conversion(profile: bytes) -> tuple[str, Callable[[Image.Image], Image.Image]]:
    """The mode that a profile is for, and what takes an image of this mode to sRGB."""
    given = ImageCms.getOpenProfile(io.BytesIO(profile))
    mode = _MODES[given.profile.xcolor_space.strip()]
    # Without a cache threads may share it. Optimised, a steep gray curve is off by up to 10 levels.
    flags = ImageCms.Flags.NOCACHE | (ImageCms.Flags.NOOPTIMIZE if mode == "L" else 0)
    srgb = ImageCms.createProfile("sRGB")
    transform = ImageCms.buildTransform(given, srgb, mode, "RGB", ImageCms.Intent.PERCEPTUAL, flags)

    def convert(image: Image.Image) -> Image.Image:
        return transform.apply(image)

    if mode == "L":
        table = np.array(convert(Image.fromarray(np.arange(256, dtype=np.uint8)[None])))[0, :, 1].tolist()
        return mode, lambda image: image.point(table)
    if mode == "RGB":
        levels = np.linspace(0, 255, 18).astype(np.uint8)
        probe = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(18, -1, 3)
        moved = np.array(convert(Image.fromarray(probe))).astype(np.int16) - probe
        if np.abs(moved).max() <= 1:  # sRGB itself, as most are
            return mode, lambda image: image
    return mode, convert


# What says who, when, where and with what. Not among them: pictures (thumbnails, previews, makers' notes), the
# orientation, which is applied, and what describes the encoded pixels.
_KEPT = (0x010E, 0x010F, 0x0110, 0x011A, 0x011B, 0x0128, 0x0131, 0x0132, 0x013B, 0x8298)
_MAKER_NOTE, _COLOUR_SPACE, _WIDTH, _HEIGHT, _INTEROPERABILITY = 0x927C, 0xA001, 0xA002, 0xA003, 0xA005
_LONGEST = 65_000  # a JPEG segment holds no more


def _metadata(image: Image.Image, notes: list[str]) -> dict[str, bytes]:
    found = {}
    try:
        if exif := _clean_exif(image.getexif()):
            found["exif"] = exif
        if xmp := image.info.get("xmp"):
            text = xmp.decode() if isinstance(xmp, bytes) else xmp
            if re.search(r"thumbnail|xmpGImg|GImage|GDepth|GContainer", text, re.IGNORECASE):
                notes.append(PREVIEW)
            else:
                upright = re.sub(r"""(tiff:Orientation(?:>|\s*=\s*["']))\s*[0-9]+""", r"\g<1>1", text)
                found["xmp"] = upright.encode()
    except Exception:  # the pixels are good; hostile metadata raises anything
        found, longest = {}, 0
    else:
        longest = max((len(value) for value in found.values()), default=1)
    if not 0 < longest <= _LONGEST:
        notes.append(BAD_METADATA)
        return {}
    return found


def _clean_exif(exif: Image.Exif) -> bytes:
    clean = Image.Exif()
    for tag in _KEPT:
        if tag in exif:
            clean[tag] = exif[tag]
    details = dict(exif.get_ifd(ExifTags.IFD.Exif))
    for tag in (_MAKER_NOTE, _WIDTH, _HEIGHT, _INTEROPERABILITY):
        details.pop(tag, None)
    if _COLOUR_SPACE in details:
        details[_COLOUR_SPACE] = 1  # sRGB
    for tag, ifd in ((ExifTags.IFD.Exif, details), (ExifTags.IFD.GPSInfo, dict(exif.get_ifd(ExifTags.IFD.GPSInfo)))):
        if ifd:
            clean[tag] = ifd
    return clean.tobytes() if len(clean) else b""


def _too_large(max_pixels: int) -> str:
    return f"more than {max_pixels:,} pixels"


def _check_size(image: Image.Image, max_pixels: int) -> None:
    if image.width * image.height > max_pixels:
        raise ImageError(_too_large(max_pixels))


def _check_side(image: Image.Image, longest: int, name: str) -> None:
    if max(image.size) > longest:
        raise ImageError(f"too large for {name}: more than {longest:,} pixels wide or high")


def _reason(error: Exception, data: bytes) -> str:
    """One short line without numbers or addresses, so that equal failures count as equal."""
    if isinstance(error, UnidentifiedImageError):
        if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS and "HEIF" not in formats():
            return "HEIC: not readable here; pip install 'ue-ray[heic]' on every machine"
        return "not an image of a known format"
    if isinstance(error, MemoryError):
        return "not enough memory to decode"
    text = re.sub(r"\d+", "N", " ".join(str(error).split()))
    if "truncated" in text.lower():
        return "truncated image"
    return f"cannot decode: {text[:120] or type(error).__name__}"
