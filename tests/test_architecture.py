"""docs/architecture.md is the one list of rooms and extension points: held against the tree."""

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "ue_ray"
PAGE = (ROOT / "docs" / "architecture.md").read_text()
FLOORS = (
    "errors", "images", "storage", "learning", "noise", "protection", "evaluation", "experiments", "transforms",
    "ray_data", "cli", "distributed",
)  # fmt: skip


def section(title: str) -> list[list[str]]:
    """The cells of the rows of the table below a heading."""
    text = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def rooms() -> list[str]:
    return [row[0].strip("`") for row in section("Rooms")]


def in_the_tree() -> list[str]:
    """Top modules and packages, and the packages below them that hold Python."""
    modules = [path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__"]
    packages = [path.parent.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("__init__.py")]
    return sorted(modules + [name for name in packages if name != "."])


def imported(path: Path) -> set[str]:
    """The rooms at the top of ue_ray that a file imports as it is loaded."""
    tree = ast.parse(path.read_text())
    names = [node.module for node in tree.body if isinstance(node, ast.ImportFrom) and node.module]
    return {name.split(".")[1] for name in names if name.startswith("ue_ray.")}


def test_the_table_is_the_tree():
    assert sorted(rooms()) == in_the_tree()


def test_there_are_few_names_at_the_top():
    assert len([name for name in in_the_tree() if "/" not in name] + ["__init__"]) <= 13


def test_no_room_imports_one_below_it_in_the_table():
    assert list(FLOORS) == [name for name in rooms() if "/" not in name]
    upward = []
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).with_suffix("").parts[0]
        if room != "__init__":
            upward += [
                f"{path.relative_to(ROOT)} -> {other}"
                for other in imported(path)
                if FLOORS.index(other) > FLOORS.index(room)
            ]
    assert upward == [], "an arrow that runs back up"


@pytest.mark.parametrize("row", section("Where to add something"), ids=lambda row: row[0])
def test_an_extension_point_is_where_the_page_says(row):
    for place in re.findall(r"`((?:ue_ray|tests)/[^`]+)`", "|".join(row)):
        assert (ROOT / place).exists(), place
    listed = re.search(r"`(\w+)` in `(ue_ray/[^`]+)\.py`", row[2])
    if listed:
        module = import_module(listed[2].removesuffix("/__init__").replace("/", "."))
        assert hasattr(module, listed[1])
    table = re.search(r"`(\w+)` in `(tests/[^`]+)`", row[3])
    if table:
        assert re.search(rf"^{table[1]} = ", (ROOT / table[2]).read_text(), re.MULTILINE)
