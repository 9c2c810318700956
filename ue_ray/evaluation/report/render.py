"""Renders the templates of reports. Whatever they show is escaped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def _keep_with_number(shown: Any) -> Any:
    """Binds a per cent sign to the number before it, so that no line breaks between them. Markup stays as it is."""
    return shown.replace(" %", "\u00a0%") if type(shown) is str else shown


TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=_keep_with_number,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(template: str, **shown: Any) -> str:
    """Returns a whole HTML document. ``template``: the name of a file in ``templates/``; ``shown``: its variables."""
    return TEMPLATES.get_template(template).render(shown)
