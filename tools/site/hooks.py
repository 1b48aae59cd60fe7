"""Adapts the pages in docs/ to mkdocs, which calls the functions of this module.

The pages are written for a reader of the repository. Three things differ on the site:

- README.md, CONTRIBUTING.md and CHANGELOG.md are outside docs/, and get a page too.
- Anchors of headings follow the rule of GitHub.
- Nested lists are indented by two spaces.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path, PurePosixPath
from typing import Any

from markdown import Extension, Markdown
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

# The places of the pages that are in the folder above docs/. A page README.md would be another index.html.
PLACES = {"README.md": "introduction.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
LINK = re.compile(r"\]\(([^)\s]+)\)")


class NestedLists(Extension):
    """An extension by which two spaces indent a nested list.

    The extension rebuilds the parser. So it must be the first one.
    """

    def extendMarkdown(self, md: Markdown) -> None:  # the name is Markdown's
        """Changes the width of an indentation."""
        md.tab_length = 2
        md.build_parser()


def make_anchor(heading: str, separator: str) -> str:
    """Returns the anchor that GitHub gives to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", separator)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Adds the rule for anchors and the extension for nested lists."""
    extensions: list[Any] = config.markdown_extensions
    extensions.insert(0, NestedLists())
    config.mdx_configs["toc"]["slugify"] = make_anchor
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that are outside docs/."""
    for name, place in PLACES.items():
        text = (Path(config.docs_dir).parent / name).read_text("utf-8")
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Adapts the links of a page to the folders of the site."""
    folder = PurePosixPath("." if page.file.src_uri in PLACES.values() else "docs", page.file.src_uri).parent
    return LINK.sub(lambda link: f"]({move_link(link[1], folder)})", markdown)


def move_link(link: str, folder: PurePosixPath) -> str:
    """Returns a link of the repository as a link of the site.

    Args:
        link: the link, for example ``../README.md#a-suite``.
        folder: the folder of the page in the repository, for example ``docs``.
    """
    path, mark, anchor = link.partition("#")
    if not path or ":" in path:
        return link
    target = posixpath.normpath(folder / path)
    moved = PLACES.get(target, target.removeprefix("docs/"))
    start = folder.relative_to("docs") if folder.is_relative_to("docs") else PurePosixPath()
    return f"{posixpath.relpath(moved, start)}{mark}{anchor}"


def on_post_build(config: MkDocsConfig) -> None:
    """Removes the files that need the address of the site, which is unknown."""
    for name in ("404.html", "sitemap.xml", "sitemap.xml.gz"):
        (Path(config.site_dir) / name).unlink(missing_ok=True)
