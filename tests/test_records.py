"""No figure of a table is typed by hand: the documents have what the records say."""

import re

import pytest

from benchmarks.tables import ROOT, TABLES, documents, drawn


@pytest.mark.parametrize("page", documents(), ids=lambda page: page.name)
def test_the_tables_of_a_document_are_those_of_the_records(page):
    text = page.read_text()
    assert drawn(text) == text, "python benchmarks/tables.py draws them anew"


def test_every_table_stands_somewhere():
    used = {name for page in documents() for name in re.findall(r"benchmarks/tables\.py (\S+) -->", page.read_text())}
    assert used == TABLES.keys()


def test_the_readme_has_its_figures_from_records():
    assert ROOT / "README.md" in documents()
