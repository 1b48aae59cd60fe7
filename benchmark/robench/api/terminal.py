"""Functions that print text on a terminal in inert form."""

from __future__ import annotations

import os
import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from robench.api.escapes import MOST_TEXT, shortened, visible_lines

WIDE = 200  # the width of a file or a pipe in columns, which is large so that lines are not broken


class Terminal(Console):
    """A console that interprets no markup, no emoji codes and no control characters.

    Args:
        stderr: whether the console prints to standard error.
        width: the width in columns, or None for the width of the terminal.
    """

    def __init__(self, *, stderr: bool = False, width: int | None = None) -> None:
        # Markup would change labels such as mf[factors=32].
        super().__init__(stderr=stderr, width=width, markup=False, emoji=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """Converts a string to inert text.

        The console calls this method for every string: lines, cells of tables and titles.
        """
        return super().render_str(visible_lines(text), **options)


def screen() -> Terminal:
    """Returns a console for standard output."""
    return Terminal(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDE)


def say(text: str, *, err: bool = False) -> None:
    """Prints lines of text in inert form.

    Very long lines are cut in the middle.

    Args:
        text: the lines, separated by line breaks.
        err: whether to print to standard error.
    """
    lines = (shortened(line, MOST_TEXT) for line in text.split("\n"))
    print(visible_lines("\n".join(lines)), file=sys.stderr if err else sys.stdout, flush=True)
