"""Tests the links and paths in the documentation.

Each link leads to an existing file and heading, and each path to an existing file.
"""

import re

import pytest
from tests.docs.pages import PAGES, README, ROOT

from robench.authoring.kinds import LAYOUTS


def anchors(text: str) -> set[str]:
    """Returns the anchors that GitHub creates for the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
    assert len(plain) == len(set(plain)), "two headings of one name"
    return set(plain)


def links(text: str) -> list[str]:
    """Returns the targets of the links and pictures in a page, except web addresses."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not link.startswith(("http:", "https:"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    for link in links(page.read_text("utf-8")):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text("utf-8")), link


def test_every_page_is_reached_from_the_readme():
    reached, todo = set(), [README]
    while todo:
        page = todo.pop()
        if page.suffix == ".md" and page not in reached:
            reached.add(page)
            todo += [(page.parent / link.partition("#")[0]).resolve() for link in links(page.read_text("utf-8"))]
    assert set(PAGES) <= reached


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_and_tests_that_a_page_names_exist(page):
    named = re.findall(r"`((?:benchmark|plugins|suites|tests|tools)/[\w/.-]+)(?:::(\w+))?`", page.read_text("utf-8"))
    assert len(named) > 25 or page.name != "article.md"
    in_a_package = (
        {f"tests/test_{layout.module}.py" for layout in LAYOUTS.values()} if page.parent.name == "plugins" else {}
    )
    for path, test in named:
        if path in in_a_package:  # of a package that robench new-plugin writes
            continue
        assert (ROOT / path).exists(), path
        if test:
            text = (ROOT / path).read_text("utf-8")
            assert re.search(rf"^def {test}\(", text, re.M), f"{path} has no {test}"


def test_new_words_of_the_glossary_are_in_the_code():
    table = (ROOT / "docs" / "glossary.md").read_text("utf-8").partition("## Old names")[2]
    sources = [path for root in ("benchmark", "plugins") for path in (ROOT / root).rglob("*.py")]
    code = "".join(path.read_text("utf-8") for path in sources)
    new = [name for row in re.findall(r"^\|[^|]*\|(.*)\|$", table, re.M) for name in re.findall(r"`([^`]+)`", row)]
    assert len(new) > 15
    for name in new:
        if name.endswith(".py"):
            assert any(path.as_posix().endswith(name) for path in sources), name
        else:
            assert re.search(rf"\b{name}\b", code), name


def test_make_targets_that_a_page_names_exist():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    for page in PAGES:
        named = set(re.findall(r"^make (\w+)|`make (\w+)`", page.read_text("utf-8"), re.M))
        assert {name for pair in named for name in pair if name} <= targets, page
