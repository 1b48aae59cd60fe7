"""Makes text from plugins, data and suites inert, with one function per medium.

Inert text is only displayed. It moves no cursor, runs no formula and links to nothing. The template of the HTML page
applies ``visible`` and then escapes HTML.
"""

from __future__ import annotations

import re
import traceback
import unicodedata
from logging import LogRecord
from typing import Any

MOST_LINE = 500  # the most characters of an error in one line of a table or a terminal
MOST_MESSAGE = 4096  # the most characters of an error message in a record
MOST_TRACEBACK = 65536  # the most characters of a traceback in a record
MOST_TEXT = 4000  # the most characters of one line of the log
_MARKED = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # control, format and direction characters, lone surrogates, line ends
_HARMLESS = "\N{ZERO WIDTH SPACE}\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"  # scripts and emoji need them
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "'")  # some spreadsheets also accept the full-width signs
_LINKS = re.compile(r"(\])(?=[(\[:])|(:)(?=//)|((?i:www))(?=\.)")  # a backslash after a match removes the link


def visible(text: str, keep: str = "") -> str:
    """Returns a string with a mark such as ``‹U+001B›`` for each invisible character.

    Invisible characters are control characters, line ends, direction marks and lone surrogates.

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

    A note in the middle says how many characters were cut.
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

    If the exception cannot produce its own message, the result says so.
    """
    try:
        return str(error)
    except Exception as second:  # the exception class of a plugin may fail here
        return f"(its text cannot be had: {type(second).__name__})"


def well_formed(value: Any) -> Any:
    r"""Returns a JSON value with lone surrogates escaped, such as ``\ud800``.

    UTF-8 has no surrogates, so a UTF-8 file cannot contain any.
    """
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {well_formed(name): well_formed(part) for name, part in value.items()}
    return [well_formed(part) for part in value] if isinstance(value, list | tuple) else value


def csv_text(text: str) -> str:
    """Returns a string for a CSV cell that no spreadsheet runs as a formula.

    An apostrophe is added in front of a string that begins with ``=``, ``+``, ``-``, ``@`` or an apostrophe. A reader
    gets the original string by removing one leading apostrophe.
    """
    shown = visible(text)
    return f"'{shown}" if shown.startswith(_FORMULA) else shown


def markdown_text(text: str) -> str:
    """Returns one line of Markdown with HTML and links disabled.

    Bold and code still work.
    """
    line = visible(" ".join(text.splitlines())).replace("<", "&lt;")
    return _LINKS.sub(r"\g<0>\\", line)


def markdown_cell(text: str) -> str:
    """Returns a string for one cell of a Markdown table.

    Characters that would end the cell are escaped.
    """
    return markdown_text(text.replace("\\", "\\\\")).replace("|", "\\|")


def make_inert(record: LogRecord) -> bool:
    """Makes the message and the traceback of a log record inert.

    The function is used as a filter of the logger.
    """
    lines = (shortened(line, MOST_TEXT) for line in record.getMessage().split("\n"))
    record.msg, record.args = visible_lines("\n".join(lines)), ()
    if record.exc_info and not record.exc_text:
        text = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
        record.exc_text = visible_lines(shortened(text, MOST_TRACEBACK))
    return True
