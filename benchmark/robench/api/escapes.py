"""Makes text from plugins, data and suites inert, with one function per medium.

Inert text is only displayed: no cursor moves, no formula runs, and nothing becomes a link. The template of the HTML
page applies ``visible`` and then escapes HTML.
"""

from __future__ import annotations

import re
import traceback
import unicodedata
from logging import LogRecord
from typing import Any

MOST_LINE = 500  # the largest length of an error in one line of a table or a terminal, in characters
MOST_MESSAGE = 4096  # the largest length of an error message in a record, in characters
MOST_TRACEBACK = 65536  # the largest length of a traceback in a record, in characters
MOST_TEXT = 4000  # the largest length of one line of the log, in characters
_MARKED = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # control, format and direction characters, lone surrogates, line breaks
_HARMLESS = "\N{ZERO WIDTH SPACE}\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"  # some scripts and emoji need these
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "'")  # some spreadsheets also accept the full-width signs
_LINKS = re.compile(r"(\])(?=[(\[:])|(:)(?=//)|((?i:www))(?=\.)")  # a backslash after a match removes the link


def visible(text: str, keep: str = "") -> str:
    """Replaces each invisible character of a string with a mark like ``‹U+001B›``.

    Invisible characters are control characters, line breaks, lone surrogates, and format characters such as direction
    marks. Zero-width spaces and joiners are not replaced.

    Args:
        text: the string.
        keep: the characters that are not replaced, such as a line break.
    """
    if text.isprintable():
        return text
    return "".join(char if char in keep or not _is_marked(char) else mark(char) for char in text)


def visible_lines(text: str) -> str:
    """Makes a string inert for a terminal, but keeps its line breaks and tabs."""
    return visible(text, keep="\n\t")


def mark(char: str) -> str:
    """Returns the mark that replaces a character, such as ``‹U+001B›``."""
    return f"‹U+{ord(char):04X}›"


def _is_marked(char: str) -> bool:
    return unicodedata.category(char) in _MARKED and char not in _HARMLESS


def shortened(text: str, most: int) -> str:
    """Cuts the middle out of a string with more than ``most`` characters.

    A note in place of the middle says how many characters were cut.
    """
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]} … [{len(text) - 2 * half} characters are cut here] … {text[-half:]}"


def in_one_line(text: str, most: int = MOST_LINE) -> str:
    """Converts a string to one inert line of at most about ``most`` characters."""
    return visible(" ".join(shortened(text, most).split()))


def describe_error(error: BaseException, most: int = MOST_LINE) -> str:
    """Returns the class and the message of an exception as one inert line."""
    return in_one_line(f"{type(error).__name__}: {message_of(error)}", most)


def message_of(error: BaseException) -> str:
    """Returns the message of an exception.

    If the message cannot be computed, the result says so.
    """
    try:
        return str(error)
    except Exception as second:  # the exception class of a plugin may fail here
        return f"(its text cannot be had: {type(second).__name__})"


def well_formed(value: Any) -> Any:
    r"""Replaces lone surrogates in a JSON value with escapes such as ``\ud800``.

    Lone surrogates cannot be encoded as UTF-8.
    """
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {well_formed(name): well_formed(part) for name, part in value.items()}
    return [well_formed(part) for part in value] if isinstance(value, list | tuple) else value


def csv_text(text: str) -> str:
    """Converts a string for a CSV cell, so that no spreadsheet runs it as a formula.

    Invisible characters are replaced as in ``visible``. An apostrophe is added in front of a string that begins with an
    apostrophe, with ``=``, ``+``, ``-`` or ``@``, or with the full-width form of one of these four characters. A reader
    of the CSV file can remove one leading apostrophe to undo this change.
    """
    shown = visible(text)
    return f"'{shown}" if shown.startswith(_FORMULA) else shown


def markdown_text(text: str) -> str:
    """Converts a string to one line of Markdown without active HTML or links.

    Bold text and code are still rendered.
    """
    line = visible(" ".join(text.splitlines())).replace("<", "&lt;")
    return _LINKS.sub(r"\g<0>\\", line)


def markdown_cell(text: str) -> str:
    """Converts a string to the content of one cell in a Markdown table.

    The result is one line without active HTML or links. Characters that would end the cell are escaped.
    """
    return markdown_text(text.replace("\\", "\\\\")).replace("|", "\\|")


def make_inert(record: LogRecord) -> bool:
    """Makes the message and the traceback of a log record inert, and returns True.

    The function is used as a filter of the logger.
    """
    lines = (shortened(line, MOST_TEXT) for line in record.getMessage().split("\n"))
    record.msg, record.args = visible_lines("\n".join(lines)), ()
    if record.exc_info and not record.exc_text:
        text = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
        record.exc_text = visible_lines(shortened(text, MOST_TRACEBACK))
    return True
