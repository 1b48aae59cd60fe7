"""Makes texts of plugins, data and suites inert, with one function per medium.

An inert text is only displayed: it moves no cursor, runs no formula, and links to nothing. The template of the page
escapes HTML, after ``visible``.
"""

from __future__ import annotations

import re
import traceback
import unicodedata
from logging import LogRecord
from typing import Any

MOST_LINE = 500  # characters of an error in a line of a table or a terminal
MOST_MESSAGE = 4096  # characters of an error's message in a record
MOST_TRACEBACK = 65536  # characters of a traceback in a record
MOST_TEXT = 4000  # characters of a line of the log
_MARKED = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # control, format and direction, lone surrogates, line ends
_HARMLESS = "\N{ZERO WIDTH SPACE}\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"  # scripts and emoji need them
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "'")  # some spreadsheets read these as well
_LINKS = re.compile(r"(\])(?=[(\[:])|(:)(?=//)|((?i:www))(?=\.)")  # a backslash after a match removes the link


def visible(text: str, keep: str = "") -> str:
    """Returns a string with a mark such as ``‹U+001B›`` for each invisible character.

    Invisible characters are control characters, line ends, marks of direction and lone surrogates.

    Args:
        text: the string.
        keep: the characters that are not replaced, such as a line end.
    """
    if text.isprintable():
        return text
    return "".join(char if char in keep or not _is_marked(char) else mark(char) for char in text)


def visible_lines(text: str) -> str:
    """Returns a string of several lines that is inert on a terminal."""
    return visible(text, keep="\n\t")


def mark(char: str) -> str:
    """Returns the mark of a character, such as ``‹U+001B›``."""
    return f"‹U+{ord(char):04X}›"


def _is_marked(char: str) -> bool:
    return unicodedata.category(char) in _MARKED and char not in _HARMLESS


def shortened(text: str, most: int) -> str:
    """Returns a string, cut in the middle if it has more than ``most`` characters.

    A note in the middle gives the number of characters that are cut.
    """
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]} … [{len(text) - 2 * half} characters are cut here] … {text[-half:]}"


def in_one_line(text: str, most: int = MOST_LINE) -> str:
    """Returns a string as one inert line of at most about ``most`` characters."""
    return visible(" ".join(shortened(text, most).split()))


def describe_error(error: BaseException, most: int = MOST_LINE) -> str:
    """Returns the class and the message of an exception as one inert line."""
    return in_one_line(f"{type(error).__name__}: {message_of(error)}", most)


def message_of(error: BaseException) -> str:
    """Returns the message of an exception.

    If the exception class of a plugin fails to give a message, the result says so.
    """
    try:
        return str(error)
    except Exception as second:  # the exception class of a plugin may fail here
        return f"(its text cannot be had: {type(second).__name__})"


def well_formed(value: Any) -> Any:
    r"""Returns JSON types with each lone surrogate as text, such as ``\ud800``.

    UTF-8 has no surrogates, so a file cannot hold them.
    """
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {well_formed(name): well_formed(part) for name, part in value.items()}
    return [well_formed(part) for part in value] if isinstance(value, list | tuple) else value


def csv_text(text: str) -> str:
    """Returns a string for a CSV file that no spreadsheet takes for a formula.

    A string that begins with ``=``, ``+``, ``-``, ``@`` or an apostrophe gets an apostrophe in front. A reader gets the
    original string by removing one leading apostrophe.
    """
    shown = visible(text)
    return f"'{shown}" if shown.startswith(_FORMULA) else shown


def markdown_text(text: str) -> str:
    """Returns one line of Markdown without HTML and links. Bold and code remain."""
    line = visible(" ".join(text.splitlines())).replace("<", "&lt;")
    return _LINKS.sub(r"\g<0>\\", line)


def markdown_cell(text: str) -> str:
    """Returns the text of one cell of a Markdown table.

    Characters that would end the cell are escaped.
    """
    return markdown_text(text.replace("\\", "\\\\")).replace("|", "\\|")


def make_inert(record: LogRecord) -> bool:
    """Makes the message and the traceback of a log record inert.

    The function is a filter of the logger.
    """
    lines = (shortened(line, MOST_TEXT) for line in record.getMessage().split("\n"))
    record.msg, record.args = visible_lines("\n".join(lines)), ()
    if record.exc_info and not record.exc_text:
        text = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
        record.exc_text = visible_lines(shortened(text, MOST_TRACEBACK))
    return True
