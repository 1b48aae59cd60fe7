"""Tests that pages have one sentence per line, and no overlong lines."""

import re

import pytest
from tests.docs.pages import PAGES, ROOT, prose

SENTENCE_ENDS = r"(?<!e\.g)(?<!i\.e)(?<! al)(?<! vs)[a-z0-9)`\]*%’][.?!] (?=[A-Z`*\[(])"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_prose_has_short_lines_with_one_sentence_each(page):
    for number, line in prose(page.read_text("utf-8")):
        assert len(line) <= 100, f"{number}: {len(line)} columns"
        assert not re.search(SENTENCE_ENDS, line), f"{number}: {line}"
