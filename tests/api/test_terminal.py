"""Tests that text printed on a terminal is inert, in lines, cells and titles."""

import io

from rich.table import Table

from robench.api.terminal import Terminal, say

EVIL = "\x1b]0;title\x07:bomb: [red]x[/red] \u202e\x9b\ud800"
SHOWN = "‹U+001B›]0;title‹U+0007›:bomb: [red]x[/red] ‹U+202E›‹U+009B›‹U+D800›"


def test_lines_cells_and_titles_are_inert():
    console = Terminal(width=300)
    console.file = io.StringIO()
    table = Table(EVIL, title=EVIL)
    table.add_row(EVIL)
    console.print(table)
    console.print(EVIL, style="red", highlight=False)
    assert console.file.getvalue().count(SHOWN) == 4
    assert not set(console.file.getvalue()) & set("\x1b\x07\u202e\x9b\ud800")


def test_what_is_said_is_inert_and_short(capsys):
    say(f"{EVIL}\n{'x' * 100_000}", err=True)
    first, second = capsys.readouterr().err.splitlines()
    assert first == SHOWN
    assert len(second) < 5000
