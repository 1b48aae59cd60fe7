"""Makes pages for the links from the boards of a site to the documentation.

A board links to the pages of the repository, for example to ``../../docs/reference/statistics.md``. On a site, such an
address is a folder with a page that forwards to the built page.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_LINK = re.compile(r'href="\.\./\.\./docs/([\w/-]+)\.md["#]')
_HEAD = '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
_STYLE = (
    "<style>:root { color-scheme: light dark } body { margin: 2rem; font: 16px/1.5 system-ui, sans-serif }</style>\n"
)


def find_linked_pages(boards: Iterable[str]) -> list[str]:
    """Returns the pages of the documentation to which boards link.

    A page is named by its path without the extension, for example ``reference/statistics``.

    Args:
        boards: the texts of the boards' pages.
    """
    return sorted({page for text in boards for page in _LINK.findall(text)})


def to_forwarding_page(page: str) -> str:
    """Returns a page that forwards to a built page and keeps the anchor.

    Args:
        page: the path of the built page without the extension. ``find_linked_pages`` accepts all its characters.
    """
    target = f"../{page.rpartition('/')[2]}.html"
    return (
        f'{_HEAD}<title>robench: {page}</title>\n<meta http-equiv="refresh" content="1; url={target}">\n{_STYLE}'
        f'<script>location.replace("{target}" + location.hash)</script>\n</head>\n'
        f'<body><p>This page is <a href="{target}">{page}</a>.</p></body>\n</html>\n'
    )


def to_missing_page(page: str) -> str:
    """Returns a page that says where the documentation is, for a site without it.

    Args:
        page: the path of the page without the extension.
    """
    return (
        f"{_HEAD}<title>robench: {page}</title>\n{_STYLE}</head>\n"
        f"<body><p>This site was built without the documentation. The page is <code>docs/{page}.md</code> in the "
        "repository of robench.</p></body>\n</html>\n"
    )
