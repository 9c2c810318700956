"""Reads the HTML that reports are made of."""

import re
from base64 import b64decode
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
from PIL import Image

NASTY = '<script>alert("x")</script>'


class Page(HTMLParser):
    """Reads a page, or a part of one, insisting that every element is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data.replace("\u00a0", " ")

    def all(self, tag: str, attribute: str) -> list[str | None]:
        """That attribute of every element of that kind, in order."""
        return [attributes.get(attribute) for kind, attributes in self.elements if kind == tag]

    def images(self) -> list[np.ndarray]:
        return [
            np.asarray(Image.open(BytesIO(b64decode(str(source).split(",")[1])))) for source in self.all("img", "src")
        ]

    def check_self_contained(self) -> None:
        """Nothing runs, and nothing is fetched."""
        assert not {"script", "link", "iframe"} & {tag for tag, _ in self.elements}
        assert not re.search(r"https?://|url\(|@import", self.text)
        for _, attributes in self.elements:
            for name, value in attributes.items():
                assert not name.startswith("on")
                assert name not in ("src", "href") or str(value).startswith("data:image/png;base64,")
