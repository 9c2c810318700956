import numpy as np
import pytest
from PIL import Image

from ue_ray.evaluation.comparison import compare
from ue_ray.evaluation.gallery import CROP
from ue_ray.storage.inputs.open_source import open_source


@pytest.fixture
def photos(tmp_path):
    """Two classes of two photos each, larger than what victims see: clean, and the folder for protected ones."""
    rng = np.random.default_rng(0)
    for name in ("a/1", "a/2", "b/1", "b/2"):
        for role in ("clean", "protected"):
            (tmp_path / role / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(9, 240, (300, 400, 3), np.uint8)).save(tmp_path / "clean" / f"{name}.png")
    return tmp_path


def compared(photos):
    sources = open_source(str(photos / "clean")), open_source(str(photos / "protected"))
    return compare(sources, *(source.list() for source in sources))


def protect(photos, name, pixels):
    Image.fromarray(pixels).save(photos / "protected" / f"{name}.png")


def pixels_of(photos, name):
    return np.array(Image.open(photos / "clean" / f"{name}.png"))


def test_the_change_is_that_of_the_photos_and_not_of_small_copies(photos):
    for name in ("a/1", "a/2", "b/1", "b/2"):
        pixels = pixels_of(photos, name)
        pixels[::2, ::2] += 8  # averaged away where it is shrunk
        protect(photos, name, pixels)
    found = compared(photos)
    assert (found.aligned, found.missing, found.resized) == (4, 0, 0)
    assert found.max_abs_delta == pytest.approx(8 / 255)
    assert found.mean_abs_delta == pytest.approx(2 / 255)
    assert [(item.key, item.label) for item in found.gallery] == [("a/1.png", "a"), ("b/1.png", "b")]
    item = found.gallery[0]
    assert item.max_abs_delta == pytest.approx(8 / 255)
    assert item.psnr == pytest.approx(10 * np.log10(255**2 / 16))
    np.testing.assert_array_equal(item.clean, pixels_of(photos, "a/1")[22 : 22 + CROP, 72 : 72 + CROP])


def test_what_has_no_twin_or_another_size_is_counted(photos):
    protect(photos, "a/1", pixels_of(photos, "a/1")[:200])
    protect(photos, "b/2", pixels_of(photos, "b/2"))
    (photos / "protected" / "b" / "1.png").write_bytes(b"no image")
    found = compared(photos)
    assert (found.aligned, found.missing, found.resized, found.max_abs_delta) == (2, 2, 1, 0.0)
    protect(photos, "b/2", pixels_of(photos, "b/2")[:200])
    assert compared(photos).max_abs_delta is None


def test_strangers_are_not_compared(photos):
    for name in ("a/7", "b/7"):
        protect(photos, name, pixels_of(photos, "a/1"))
    found = compared(photos)
    assert (found.aligned, found.missing, found.max_abs_delta, found.gallery) == (0, 4, None, [])
