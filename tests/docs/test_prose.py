"""Tests that pages have short lines, and docstrings have short first lines.

No line of a page has two sentences.
"""

import ast
import re

import pytest
from tests.docs.pages import PAGES, ROOT, prose

SENTENCE_ENDS = r"(?<!e\.g)(?<!i\.e)(?<! al)(?<! vs)[a-z0-9)`\]*%’][.?!] (?=[A-Z`*\[(])"
FOLDERS = ("benchmark", "plugins", "tests", "tools")
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_prose_has_short_lines_with_one_sentence_each(page):
    for number, line in prose(page.read_text("utf-8")):
        assert len(line) <= 100, f"{number}: {len(line)} columns"
        assert not re.search(SENTENCE_ENDS, line), f"{number}: {line}"


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_first_line_of_a_docstring_has_fewer_than_80_characters(folder):
    found = [line for path in sorted((ROOT / folder).rglob("*.py")) for line in first_lines(path)]
    assert found, "no docstring"
    assert not [place for place, line in found if len(line) >= 80]


def first_lines(path):
    """Yields the place and the first line of each docstring in a module."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, DOCUMENTED) and (text := ast.get_docstring(node)):
            yield f"{path.relative_to(ROOT).as_posix()}:{node.body[0].lineno}", text.partition("\n")[0]
