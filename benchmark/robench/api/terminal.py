"""A terminal on which all printed text is inert."""

from __future__ import annotations

import os
import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from robench.api.escapes import MOST_TEXT, shortened, visible_lines

WIDE = 200  # the width of a file or a pipe in columns, so large that no line is broken


class Terminal(Console):
    """A console that interprets no markup, no emoji codes and no control characters.

    Args:
        stderr: whether the console prints to standard error.
    """

    def __init__(self, *, stderr: bool = False, width: int | None = None) -> None:
        # Without markup, labels such as mf[factors=32] stay as they are.
        super().__init__(stderr=stderr, width=width, markup=False, emoji=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """Returns a string as inert text.

        The console passes every string to this method: lines, cells of tables and titles.
        """
        return super().render_str(visible_lines(text), **options)


def screen() -> Terminal:
    """Returns a console for standard output."""
    return Terminal(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDE)


def say(text: str, *, err: bool = False) -> None:
    """Prints lines as inert text. Very long lines are cut in the middle."""
    lines = (shortened(line, MOST_TEXT) for line in text.split("\n"))
    print(visible_lines("\n".join(lines)), file=sys.stderr if err else sys.stdout, flush=True)
