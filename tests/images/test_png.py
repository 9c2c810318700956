import io

import numpy as np
import pytest
from PIL import Image

from ue_ray.images import png
from ue_ray.images.png import write_png

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("channels", MODES)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (32, 32), (33, 57)])
def test_another_reader_finds_the_same_pixels(size: tuple[int, int], channels: int):
    pixels = noise(*size, channels)
    with Image.open(io.BytesIO(write_png(pixels))) as image:
        assert (image.mode, image.size) == (MODES[channels], size[::-1])
        assert np.array_equal(np.asarray(image).reshape(pixels.shape), pixels)


@pytest.mark.parametrize("pixels", [noise(40, 50, 3)[::-1, ::2], noise(40, 50).T, np.zeros((300, 300, 3), np.uint8)])
def test_any_layout_and_any_content(pixels: np.ndarray):
    with Image.open(io.BytesIO(write_png(pixels))) as image:
        assert np.array_equal(np.asarray(image), pixels)


@pytest.mark.parametrize("strip", [1, 151, 3 * 151, 4000])
def test_a_photo_of_many_strips_is_one_image_and_its_checksums_hold(strip: int, monkeypatch):
    monkeypatch.setattr(png, "_STRIP", strip)
    pixels = noise(70, 50, 3)
    data = write_png(pixels)
    with Image.open(io.BytesIO(data)) as image:
        image.verify()  # every chunk's checksum
    with Image.open(io.BytesIO(data)) as image:
        assert np.array_equal(np.asarray(image), pixels)


def test_smooth_images_become_small():
    y, x = np.mgrid[0:200, 0:200]
    assert len(write_png(np.dstack([x, y, x]).astype(np.uint8))) < 200 * 200 * 3 / 20


def test_metadata_is_where_readers_look_for_it():
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    data = write_png(noise(4, 4, 3), exif=exif.tobytes(), xmp="<x>Zoë</x>".encode())
    with Image.open(io.BytesIO(data)) as image:
        assert image.getexif()[0x010F] == "Maker"
        assert image.info["xmp"].decode() == "<x>Zoë</x>"
