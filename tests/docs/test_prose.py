"""The pages are written one sentence to a line, in lines that a diff and an editor can show."""

import re

import pytest
from tests.docs.pages import PAGES, README, ROOT, prose

OLD = {ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")} - {ROOT / "docs" / "results.md"}
WRITTEN = [page for page in PAGES if page not in OLD]
SENTENCE_ENDS = r"(?<!e\.g)(?<!i\.e)(?<! al)(?<! vs)[a-z0-9)`\]*%’][.?!] (?=[A-Z`*\[(])"


@pytest.mark.parametrize("page", WRITTEN, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_prose_has_short_lines_with_one_sentence_each(page):
    for number, line in prose(page.read_text("utf-8")):
        assert len(line) <= 100, f"{number}: {len(line)} columns"
        assert not re.search(SENTENCE_ENDS, line), f"{number}: {line}"


def test_the_readme_can_be_read_to_the_end():
    text = README.read_text("utf-8")
    assert len(text.splitlines()) <= 120
    for heading in ("## Two commands", "## What comes out", "## What is attacked", "## A suite", "## A plugin"):
        assert f"\n{heading}\n" in text
