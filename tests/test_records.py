"""No figure of a table is typed by hand: the documents have what the records say."""

import json
import re

import pytest

from benchmarks.paper_page import PAGE, page
from benchmarks.tables import RESULTS, ROOT, TABLES, documents, drawn


@pytest.mark.parametrize("page", documents(), ids=lambda page: page.name)
def test_the_tables_of_a_document_are_those_of_the_records(page):
    text = page.read_text()
    assert drawn(text) == text, "python benchmarks/tables.py draws them anew"


def test_every_table_stands_somewhere():
    used = {name for page in documents() for name in re.findall(r"benchmarks/tables\.py (\S+) -->", page.read_text())}
    assert used == TABLES.keys()


def test_the_readme_has_its_figures_from_records():
    assert ROOT / "README.md" in documents()


def test_the_page_of_the_paper_is_that_of_the_records():
    assert PAGE.read_text() == page(), "python benchmarks/paper_page.py draws it anew"
    assert "://" not in PAGE.read_text(), "it refers to nothing outside itself"
    assert PAGE.stat().st_size < 400_000


def test_the_seconds_of_photos_in_the_readme_are_those_of_the_record():
    photos = json.loads((RESULTS / "folder-of-photos-cpu.json").read_text())["photos"]
    said = re.sub(r"\s+", " ", (ROOT / "README.md").read_text())
    assert f"60 photos of 1500x1500 take {photos['60']['mean']:.0f} seconds" in said
    assert f"12 take {photos['12']['mean']:.0f} (" in said
