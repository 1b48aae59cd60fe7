"""Tests that the worked examples print what their page shows."""

import re

from tests.docs.pages import blocks, read

PAGE = read("docs/reference/worked-examples.md")
STEPS = re.findall(r"^```python\n(.*?)^```\n\n```\n(.*?)^```", PAGE, re.M | re.S)


def test_every_example_prints_what_the_page_shows(capsys):
    assert len(STEPS) == len(blocks(PAGE, "python")) > 8
    names = {}
    for code, shown in STEPS:
        capsys.readouterr()
        exec(compile(code, "docs/reference/worked-examples.md", "exec"), names)
        assert capsys.readouterr().out.splitlines() == shown.splitlines(), code
