"""Reads the pages of the documentation, for the tests in this folder."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def read(path: str | Path) -> str:
    """Returns the text of a page, given its path relative to the repository."""
    return (ROOT / path).read_text("utf-8")


def blocks(text: str, language: str) -> list[str]:
    """Returns the contents of a page's code blocks in a language, in order."""
    return [code for name, code in re.findall(r"^```(\w*)\n(.*?)^```", text, re.M | re.S) if name == language]


def prose(text: str) -> list[tuple[int, str]]:
    """Returns the lines of prose in a page, each with its line number.

    Code, tables, headings, pictures and HTML are left out.
    """
    lines, code = [], False
    for number, line in enumerate(text.splitlines(), start=1):
        fence = line.lstrip().startswith("```")
        code ^= fence
        if not (code or fence or line.startswith(("|", "#", "![", "<"))):
            lines.append((number, line))
    return lines


def section(text: str, heading: str) -> str:
    """Returns the text under ``## heading``, up to the next heading of that level."""
    assert f"## {heading}\n" in text, heading
    return text.partition(f"## {heading}\n")[2].partition("\n## ")[0]


def tables(text: str) -> list[list[dict[str, str]]]:
    """Returns each Markdown table as a list of rows, which map columns to cells.

    The asterisks of bold cells are removed.
    """
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", text + "\n", re.M):
        head, _, *rows = [
            [c.strip().strip("*") for c in re.split(r"(?<!\\)\|", line.strip()[1:-1])] for line in block.splitlines()
        ]
        found.append([dict(zip(head, row, strict=True)) for row in rows])
    return found
