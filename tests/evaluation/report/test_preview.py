"""The page of images before and after: whole, bounded, and said to hold originals."""

import numpy as np

from tests.pages import NASTY, Page
from ue_ray.evaluation.gallery import GalleryItem
from ue_ray.evaluation.report import preview
from ue_ray.evaluation.report.preview import Preview


def item(height: int = 300, width: int = 400, key: str = "a/1.png", delta: int = 8) -> GalleryItem:
    clean = np.random.default_rng(0).integers(20, 200, (height, width, 3), dtype=np.uint8)
    return GalleryItem.of(key, "a", clean, clean + np.uint8(delta))


def page_of(spread: list[GalleryItem], worst: list[GalleryItem], protected: int = 1000) -> str:
    return Preview(spread, worst, protected, {"noise": ["random"]}, ["random noise does not protect"]).page()


def test_images_are_shown_before_and_after_with_the_difference_ten_times():
    page = Page(page_of([item(20, 30, delta=4)], []))
    clean, protected, difference = page.images()
    assert np.array_equal(protected, clean + 4)
    assert np.all(difference == 168)  # 127.5 + 40, rounded
    for words in (
        "delta × 10",
        "PSNR 36.1 dB",
        "SSIM",
        "Do not publish it",
        "Random noise does not protect.",
        "1 of 1,000",
    ):
        assert words in page.words


def test_a_large_image_shows_its_middle_and_the_worst_less_of_it():
    page = Page(page_of([item()], [item()]))
    assert [picture.shape[:2] for picture in page.images()] == [(256, 256)] * 3 + [(128, 128)] * 3
    assert "of more than 256 pixels" in page.words


def test_a_page_is_bounded_whatever_it_shows(monkeypatch):
    monkeypatch.setattr(preview, "MOST_CHARACTERS", 400_000)
    text = page_of([item()] * 2, [])
    assert len(text) <= 400_000
    assert Page(text).images()[0].shape[:2] == (128, 128)
    assert "of more than 128 pixels" in Page(text).words


def test_a_few_images_are_not_shown_twice():
    assert len(Page(page_of([item(20, 20)], [item(20, 20)], protected=1)).images()) == 3


def test_keys_are_escaped_and_nothing_is_fetched():
    page = Page(page_of([item(20, 20, NASTY)], []))
    page.check_escaped(NASTY)
    page.check_self_contained()
    page.check_policy()
