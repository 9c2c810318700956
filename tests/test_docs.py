"""The documents: every link leads somewhere, every page is reached, every command and program is real."""

import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest

from ue_ray.cli import COMMANDS
from ue_ray.errors import flag, option_names

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md"),
     ROOT / "cluster" / "README.md", ROOT / "benchmarks" / "README.md"]
)  # fmt: skip
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> list[tuple[Path, str]]:
    found = [link.partition("#") for link in LINK.findall(page.read_text()) if "://" not in link]
    return [((page.parent / path).resolve() if path else page, anchor) for path, _, anchor in found]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page):
    for target, anchor in links(page):
        assert target.exists(), target
        assert not anchor or anchor in anchors(target), f"{target}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_file_that_is_named_exists(page):
    named = re.findall(
        r"`((?:ue_ray|docs|tests|examples|cluster|pipelines|benchmarks)/[\w./-]+\.(?:py|md|yaml|json))`",
        page.read_text(),
    )
    if page.name != "CHANGELOG.md":  # of the past, too
        assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_page_is_reached_from_the_readme():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached and page.suffix == ".md":
            reached.add(page)
            waiting += [target for target, _ in links(page)]
    assert {page for page in PAGES if page.parent.name == "docs"} <= reached


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def programs() -> list[str]:
    pages = (ROOT / "README.md", ROOT / "docs" / "getting-started.md")
    return [code for page in pages for code in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)]


@pytest.mark.parametrize("code", programs())
def test_a_program_of_the_pages_runs(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "page", "exec"), {"__name__": "page"})


def commands() -> list[list[str]]:
    texts = [page.read_text().replace("\\\n", " ") for page in PAGES if page.name != "CHANGELOG.md"]
    lines = [line for text in texts for line in re.findall(r"(?:^|`)((?:ue-ray) [^`\n]+)", text, re.MULTILINE)]
    return [shlex.split(line, comments=True)[1:] for line in lines if "|" not in line and "COMMAND" not in line]


@pytest.mark.ray  # not started, but imported
def test_every_command_of_the_pages_has_the_flags_that_it_is_given():
    assert len(commands()) > 5
    for name, *arguments in commands():
        assert name in COMMANDS
        command = import_module(f"ue_ray.cli.{name}").command()
        known = {flag(option) for section in command.sections.values() for option in option_names(section)}
        known |= {flag(option) for option in command.required} | {"--help"}
        assert {word for word in arguments if word.startswith("--")} <= known, (name, arguments)
