"""Formats the ranking tables for a paper, as LaTeX with the package booktabs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from robench.api.escapes import visible
from robench.report.leaderboard import build_leaderboard_grid, format_title
from robench.tables.build import Tables
from robench.tables.leaderboard import LeaderboardTable

LEFT_OUT = ("flags",)  # columns that are too wide for a page
MEANINGS = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "λ": r"$\lambda$",
    "ε": r"$\varepsilon$",
    "δ": r"$\delta$",
    "≤": r"$\leq$",
    "−": r"$-$",
    "–": "--",
}


def to_latex(tables: Tables) -> str:
    """Returns the ranking tables as LaTeX.

    The preamble of the paper needs the package booktabs.
    """
    parts = ["\n".join(_lines(table)) for table in tables.leaderboard]
    return "\n\n".join(["% \\usepackage{booktabs}", *parts]) + "\n"


def latex_text(text: str) -> str:
    """Escapes text, so that LaTeX prints the text and executes nothing."""
    escaped = "".join(MEANINGS.get(character, character) for character in visible(text))
    return re.sub(r"(?<![\w-])-(?=\.?\d)", "$-$", escaped)  # the sign of a number


def _lines(table: LeaderboardTable) -> Iterator[str]:
    grid = build_leaderboard_grid(table)
    kept = [place for place, name in enumerate(grid.head) if name not in LEFT_OUT]
    alignment = "".join("l" if grid.head[place] in ("model", "defence", "verdict") else "r" for place in kept)
    yield r"\begin{table}"
    yield r"\centering"
    yield rf"\caption{{{latex_text(f'{format_title(table)} ({table.title}); 95% intervals in brackets.')}}}"
    yield rf"\begin{{tabular}}{{{alignment}}}"
    yield r"\toprule"
    yield _row([grid.head[place] for place in kept])
    yield r"\midrule"
    for line in grid.body:
        yield _row([line[place] for place in kept])
    yield r"\bottomrule"
    yield r"\end{tabular}"
    yield r"\end{table}"


def _row(cells: list[str]) -> str:
    return " & ".join(_protected(latex_text(cell)) for cell in cells) + r" \\"


def _protected(cell: str) -> str:
    """Returns a cell in braces if it begins with a bracket or an asterisk.

    After a line break, LaTeX would read these characters as arguments.
    """
    return f"{{{cell}}}" if cell.startswith(("[", "*")) else cell
