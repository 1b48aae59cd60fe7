"""Builds the start page of a site, and the same content as JSON.

The files are called index.html and site.json.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from robench.api.escapes import visible
from robench.report.site.card import Card

FORMAT_VERSION = 1  # the version of site.json


def to_start_page(cards: Sequence[Card], docs: str) -> str:
    """Returns the text of the start page.

    The page loads no other file. Names come from users, so the page shows them escaped.

    Args:
        cards: the cards of the boards, in the order of the page.
        docs: the address of the documentation, relative to the page, or an empty string.
    """
    parts = {"style": Markup(_read("start.css")), "script": Markup(_read("start.js"))}
    return _template().render(cards=cards, docs=docs, **parts) + "\n"


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_finalize
    )
    return environment.from_string(_read("start.html"))


def to_catalogue(cards: Sequence[Card]) -> str:
    """Returns the text of site.json."""
    content = {"format_version": FORMAT_VERSION, "boards": [asdict(card) for card in cards]}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _read(name: str) -> str:
    return files("robench.report.site").joinpath(name).read_text(encoding="utf-8")


def _finalize(value: Any) -> Any:
    """Marks the invisible characters of a string. Markup is returned unchanged."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
