"""Explains the errors of the YAML parser in the words of a suite's author."""

from __future__ import annotations

import re
from collections.abc import Sequence

import yaml

_OPEN = {
    "while parsing a flow sequence": "the list is not closed: write ]",
    "while parsing a flow mapping": "the mapping is not closed: write }",
    "while scanning a quoted scalar": "the quote is not closed",
}
_GLUED = re.compile(r"\s*(- +)?(?P<key>[\w-]+):(?P<value>[^\s/].*)")
_WORD = re.compile(r"\s*(- +)?(?P<key>[\w-]+)\b")


def describe_syntax(error: yaml.MarkedYAMLError, lines: Sequence[str]) -> tuple[str, int | None, str]:
    """Returns the problem, its line from 0 and a hint.

    The line is that of the mistake, which may be above the line at which the parser gave up. It is None if the parser
    names no line.

    Args:
        error: the error of the parser.
        lines: the lines of the file.
    """
    problem, context = str(error.problem or error.context), str(error.context)
    mark, start = error.problem_mark or error.context_mark, error.context_mark
    line = None if mark is None else mark.line
    if "'\\t'" in problem:
        return problem, line, "YAML takes no tabs: use spaces"
    if start is not None and line is not None:
        if problem == "could not find expected ':'":
            return problem, start.line, _suggest_colon(lines[start.line : start.line + 1])
        if context in _OPEN and start.line < line:
            return problem, start.line, _OPEN[context]
    if problem == "mapping values are not allowed here" and line is not None:
        glued = next(filter(None, map(_GLUED.match, lines[max(line - 1, 0) : line])), None)
        if glued:
            hint = f"a space after the colon: write {glued['key']}: {glued['value'].strip()}"
            return problem, line - 1, hint
    return problem, line, ""


def _suggest_colon(lines: Sequence[str]) -> str:
    word = next(filter(None, map(_WORD.match, lines)), None)
    return f"write '{word['key']}: ', with a colon and a space" if word else "a key ends in a colon and a space"
