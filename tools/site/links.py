"""Checks the links of a static site: ``python tools/site/links.py site``.

Every link must lead to a file of the site, and its anchor to an element of this file. No page may load a script, a
style or a picture from a network.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "object": "data", "link": "href"}
NOT_LOADED = ("canonical", "next", "prev", "alternate")  # relations of <link> that no browser loads


@dataclass
class Links:
    """The links of a page.

    Args:
        leads: the targets of links, which a reader may follow.
        loads: the addresses that a browser loads with the page.
        ids: the anchors of the page.
    """

    leads: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links = Links()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.links.ids |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.leads.append(values["href"])
        relation = values.get("rel", "")
        if tag in LOADS and values.get(LOADS[tag]) and relation not in NOT_LOADED:
            self.links.loads.append(values[LOADS[tag]])


def read_links(page: Path) -> Links:
    """Returns the links of an HTML file."""
    reader = _Reader()
    reader.feed(page.read_text("utf-8"))
    return reader.links


def find_problems(site: Path) -> list[str]:
    """Returns a line for each dead link and each file from a network.

    Args:
        site: the folder of the site.
    """
    pages = {page.resolve(): read_links(page) for page in sorted(site.rglob("*.html"))}
    return [
        f"{page.relative_to(site.resolve())}: {problem}"
        for page, links in pages.items()
        for problem in _problems(page, links, pages, site.resolve())
    ]


def _problems(page: Path, links: Links, pages: dict[Path, Links], site: Path) -> Iterator[str]:
    for link in links.loads:
        if urlsplit(link).netloc:
            yield f"loads {link}"
    for link in dict.fromkeys([*links.leads, *links.loads]):
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        if parts.path.startswith("/") or not target.is_relative_to(site):
            yield f"{link} leads out of the site"
        elif not target.exists() or (target.is_dir() and not (target / "index.html").is_file()):
            yield f"{link} leads nowhere"
        elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids:
            yield f"{link} has no such anchor"


if __name__ == "__main__":
    found = find_problems(Path(sys.argv[1]))
    print("\n".join(found) or f"{sys.argv[1]}: every link leads somewhere")
    sys.exit(bool(found))
