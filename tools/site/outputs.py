"""Checks and renews the outputs that pages of the documentation show.

A block of the language ``console`` holds commands, each after ``$ ``, and what they print on standard output. A mark
``…`` in a line stands for any text, and a line that is only ``…`` stands for any lines. A yaml block under the name of
a file is written to this file. All commands of a page run in one folder with the suites and results of the repository.

``python tools/site/outputs.py docs/guide/first-board.md`` renews the outputs that differ.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.M | re.S)
FILE = re.compile(r"^`([\w.-]+\.ya?ml)`:\n\n```yaml\n(.*?)^```$", re.M | re.S)
ANY = "…"
WIDTH = "100"  # the columns of the terminal
Run = Callable[[Path, list[str]], str]  # runs ``robench`` with arguments in a folder, and returns what it prints


@dataclass(frozen=True)
class Step:
    """A command on a page.

    Args:
        command: the command, without the ``$``.
        shown: the lines of output that the page shows.
    """

    command: str
    shown: tuple[str, ...]


def read_steps(text: str) -> list[list[Step]]:
    """Returns the commands of a page, by block."""
    return [list(_steps(block)) for block in BLOCK.findall(text)]


def _steps(block: str) -> Iterator[Step]:
    for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
        command, *lines = part.rstrip("\n").split("\n")
        yield Step(command, tuple(lines))


def prepare(text: str, folder: Path) -> None:
    """Writes the files that a page shows, and links to the suites and results."""
    for name, content in FILE.findall(text):
        (folder / name).write_text(content, "utf-8")
    (folder / "suites").symlink_to(ROOT / "suites")
    (folder / "results").mkdir()
    for board in (ROOT / "results").iterdir():
        (folder / "results" / board.name).symlink_to(board)


def matches(shown: tuple[str, ...], printed: list[str]) -> bool:
    """Returns whether lines of output are those that a page shows."""
    lines = [".*" if line.strip() == ANY else ".*".join(map(re.escape, line.split(ANY))) for line in shown]
    pattern = "\n".join(lines)
    pattern = re.sub(r"(?:^|(?<=\n))\.\*(?:\n|$)", "(?:[^\n]*(?:\n|$))*", pattern)
    return re.fullmatch(pattern, "\n".join(printed)) is not None


def renew(text: str, run: Run) -> str:
    """Returns the text of a page in which outputs that differ are replaced.

    Args:
        text: the text of the page.
        run: a function that runs ``robench`` in a folder and returns what it prints.
    """
    with tempfile.TemporaryDirectory() as place:
        prepare(text, Path(place))

        def block(found: re.Match[str]) -> str:
            lines = []
            for step in _steps(found[1]):
                printed = execute(step.command, Path(place), run)
                lines += [f"$ {step.command}", *(step.shown if matches(step.shown, printed) else printed)]
            return "\n".join(["```console", *lines, "```"])

        return BLOCK.sub(block, text)


def execute(command: str, folder: Path, run: Run) -> list[str]:
    """Returns the lines that a command prints, without spaces at their ends.

    Raises:
        ValueError: if it is not a command of robench.
    """
    program, *arguments = shlex.split(command)
    if program != "robench":
        raise ValueError(f"only commands of robench are checked: {command}")
    return [line.rstrip() for line in run(folder, arguments).rstrip("\n").split("\n")]


def run_command(folder: Path, arguments: list[str]) -> str:
    """Runs a command of robench in a process of its own."""
    command = [sys.executable, "-m", "robench", *arguments]
    environment = os.environ | {"COLUMNS": WIDTH}
    return subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


if __name__ == "__main__":
    for name in sys.argv[1:]:
        page = Path(name)
        page.write_text(renew(page.read_text("utf-8"), run_command), "utf-8")
