"""Reads the HTML that reports are made of."""

import re
from base64 import b64decode
from html.parser import HTMLParser
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from ue_ray.evaluation.report.page import TEMPLATES

REFERENCES = {"action", "background", "cite", "data", "formaction", "ping", "poster", "srcset", "xlink:href"}
NASTY = '<script>alert("x")</script>'


def drawn(macro: str, *arguments: Any) -> str:
    """What a macro of ``figures.html.jinja`` writes."""
    text: str = getattr(TEMPLATES.get_template("figures.html.jinja").module, macro)(*arguments)
    return text


class Page(HTMLParser):
    """Reads a page, or a part of one, insisting that every element is closed in order.

    ``words``: its text, without the white space that lays out the source between elements.
    """

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
        if tag not in ("meta", "img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
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
        assert not {"script", "link", "iframe", "object", "embed", "base"} & {tag for tag, _ in self.elements}
        assert not re.search(r"https?://|url\(|@import", self.text)
        for _, attributes in self.elements:
            assert not REFERENCES & attributes.keys()
            for name, value in attributes.items():
                assert not name.startswith("on")
                assert name not in ("src", "href") or str(value).startswith("data:image/png;base64,")

    def check_policy(self) -> None:
        """The browser is told to fetch nothing and to run nothing, whatever the page says."""
        assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in self.all("meta", "content")

    def check_escaped(self, *values: str) -> None:
        """Each value is shown as it is, and is no markup."""
        assert "<script" not in self.text.lower()
        for value in values:
            assert value in self.words
