"""Recognises the format of a file from the beginning of its content."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robench.api import DataError
from robench_plugins.datasets.reading.delimited import BLANKS, QUOTED, SEPARATORS, Delimited, refuse_excel_line
from robench_plugins.datasets.reading.files import PARQUET, parquet_names
from robench_plugins.datasets.reading.json_lines import JSON_LINES
from robench_plugins.datasets.reading.opening import check_text, is_hidden, plain_suffix, read_content
from robench_plugins.datasets.reading.table import SHOWN
from robench_plugins.datasets.reading.text import BOMS

HEAD = 1 << 16  # the number of bytes that are examined
LINES = 100
WIDE = 64  # the number of bytes that are examined for UTF-16 without a mark
MOST_NAMES = 8  # the most names of columns in a message
TABLES = (".csv", ".tsv", ".tab", *JSON_LINES, *PARQUET)  # the endings of tables
DATA = re.compile(r"[-+]?[0-9][0-9.,:TZ+ -]*", re.ASCII)
DECIMAL_COMMA = re.compile(r"[-+]?([0-9]+|[0-9]{1,3}(\.[0-9]{3})+),[0-9]+", re.ASCII)
# a date with the year first, or one that is refused later, because its day and month may be confused
DATE = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{1,2}(?P<sign>[./-])[0-9]{1,2}(?P=sign)([0-9]{4}|[0-9]{2}))([ T].*)?", re.ASCII
)
TIME = re.compile(rf"[0-9]{{9,}}|{DATE.pattern}", re.ASCII)
USUAL = {
    "user": ("user", "user_id", "userid", "uid", "user id", "reviewerid", "customer", "customer_id", "visitorid"),
    "item": (
        *("item", "item_id", "itemid", "iid", "movie", "movie_id", "movieid", "product", "product_id", "productid"),
        *("book_id", "isbn", "song_id", "track_id", "parent_asin", "asin"),
    ),
    "rating": ("rating", "score", "stars", "overall", "book-rating"),
    "time": ("time", "timestamp", "date", "datetime", "unixreviewtime", "created_at"),
}
LINE_BREAK = re.compile("\r\n|\r|\n")
WINDOWS = re.compile(rb"[\x80-\x9f]")  # control characters in Latin-1, and letters and signs in cp1252
UNNAMED = ("user", "item", "rating", "time")
# Names of columns that describe an item or a user, in files that hold no interactions.
OF_ITEMS = ("title", "name", "year", "genre", "genres", "category", "categories", "brand", "price", "description")
OF_USERS = ("age", "gender", "sex", "occupation", "country", "city", "location", "zip", "zipcode")
OF_GOODS = ("sku", "ean", "gtin", "article", "article_id")


def first_lines(path: Path) -> list[str] | None:
    """Returns the first lines of a text file, without empty lines.

    The result is None if the path does not lead to a file, or if the file holds no text.

    Raises:
        DataError: if the file cannot be read, is an Excel workbook or an archive of several files, or is a damaged,
            mislabelled or password-protected compressed file.
    """
    if not path.is_file():
        return None
    content = read_content(path)[: HEAD + 1]
    text = content[:HEAD].decode(_encoding(content), "ignore")
    if "\0" in text:
        return None
    lines = [line for line in LINE_BREAK.split(text) if line.strip()]
    return lines[: LINES if len(content) <= HEAD or len(lines) < 2 else min(LINES, len(lines) - 1)] or None


def _encoding(content: bytes) -> str:
    """Returns the encoding that the first bytes of a file suggest."""
    mark = next((name for bom, name in BOMS.items() if content.startswith(bom)), "")
    if mark:
        return "utf-8-sig" if mark == "utf-8" else mark
    even, odd = content[:WIDE:2], content[1:WIDE:2]
    for encoding, letters, zeros in (("utf-16-le", even, odd), ("utf-16-be", odd, even)):
        if zeros and all(letters) and not any(zeros):
            return encoding
    try:
        content[: HEAD - 4].decode("utf-8")
    except UnicodeDecodeError as error:
        if error.end >= len(content[: HEAD - 4]) - 4 and len(content) > HEAD:
            return "utf-8"
        return "cp1252" if WINDOWS.search(content) and _is_windows(content) else "latin-1"
    return "utf-8"


def _is_windows(content: bytes) -> bool:
    """Returns whether all bytes are characters of cp1252, which has five gaps."""
    return not any(gap in content for gap in (b"\x81", b"\x8d", b"\x8f", b"\x90", b"\x9d"))


def recognise_table(path: Path) -> dict[str, Any] | None:
    """Returns the settings with which ``csv`` reads a file.

    The result is None if the file has no users and items, and its name does not say that it is a table.

    Raises:
        DataError: if the file cannot be read, or if its name says that it is a table and no users and items are found.
    """
    settings = _settings_of(path)
    if settings is None and path.is_file() and not is_hidden(path.name) and plain_suffix(path) in TABLES:
        raise _unrecognised(path)
    return settings


def _unrecognised(path: Path) -> DataError:
    """Returns the error for a table without users and items."""
    if plain_suffix(path) in PARQUET:
        return _no_columns(path, parquet_names(path))
    content = read_content(path)
    check_text(content, path)
    lines = first_lines(path)
    if lines is None:
        return DataError("the file is empty" if not content.strip() else "the file holds no text", where=str(path))
    if plain_suffix(path) in JSON_LINES:
        names = list(first_object(lines) or ())
        if not names:
            return DataError("its first line is not a JSON object", where=f"{path}:1", hint="write one object per line")
    else:
        usual = Delimited().separator_of(path)
        separator = _separator(lines, usual)
        if separator is None:
            number = next(
                (n for n, row in enumerate(_rows(lines, usual)) if len(row) != len(_rows(lines, usual)[0])), 0
            )
            problem = "no separator gives all rows the same number of cells"
            hint = f"row {number + 1} begins with {lines[number][:SHOWN]!r}"
            return DataError(problem, where=str(path), hint=hint)
        names = _rows(lines, separator)[0]
    return _no_columns(path, names)


def _no_columns(path: Path, names: Sequence[str]) -> DataError:
    problem = f"no columns of users and items among {', '.join(names[:MOST_NAMES])}"
    hint = "name them in a suite, as user: NAME and item: NAME of csv"
    if kind := _described(names):
        entry = f"{{name: csv, path: INTERACTIONS, {kind}: {path.name}}}"
        hint = f"it looks like a file of {kind}, which a suite names beside the interactions: {entry}"
    return DataError(problem, where=f"{path}:1", hint=hint)


def _described(names: Sequence[str]) -> str:
    """Returns ``items`` or ``users`` if the columns seem to describe these.

    Otherwise, the result is an empty string.
    """
    folded = {name.strip().casefold() for name in names}
    user, item = bool(_find(names, "user")), bool(_find(names, "item")) or not folded.isdisjoint(OF_GOODS)
    if user == item and "id" not in folded:
        return ""
    if not item and not folded.isdisjoint(OF_USERS):
        return "users"
    return "" if user or folded.isdisjoint(OF_ITEMS) else "items"


def _settings_of(path: Path) -> dict[str, Any] | None:
    """Returns the settings with which ``csv`` reads a table.

    The result is None if the path does not lead to a table with users and items.
    """
    if not path.is_file() or is_hidden(path.name):
        return None
    ending = plain_suffix(path)
    if ending in PARQUET:
        return _with_columns({"path": path}, parquet_names(path))
    lines = first_lines(path)
    if lines is None or ending in JSON_LINES:
        return _with_columns({"path": path}, list(first_object(lines or [""]) or ()))
    return _recognise_delimited(path, lines)


def _recognise_delimited(path: Path, lines: Sequence[str]) -> dict[str, Any] | None:
    """Returns the settings with which ``csv`` reads a delimited text.

    The result is None if the lines have no common separator, or if a header names no users and items.

    Raises:
        DataError: if the first line is for Excel.
    """
    refuse_excel_line(lines[0], path)
    usual = Delimited().separator_of(path)
    separator = _separator(lines, usual)
    if separator is None:
        return None
    rows = _rows(lines, separator)
    settings: dict[str, Any] = {"path": path} | ({"separator": separator} if separator != usual else {})
    encoding = _encoding(read_content(path))
    if encoding not in ("utf-8", "utf-8-sig"):
        settings["encoding"] = encoding
    if separator != "," and any(DECIMAL_COMMA.fullmatch(cell.strip()) for row in rows[1:] for cell in row):
        settings["decimal"] = ","
    return _with_columns(settings, rows[0]) if _is_header(rows) else _without_header(settings, rows)


def _is_header(rows: Sequence[Sequence[str]]) -> bool:
    """Returns whether the first row names the columns.

    The first row names the columns if it has no number or date, and one of two conditions holds. Either it contains a
    usual name, or some column has only numbers or dates in the other rows.
    """
    first, *others = rows
    if any(DATA.fullmatch(cell.strip()) for cell in first):
        return False
    columns = zip(*others, strict=True) if others else ()
    return any(_find(first, what) for what in USUAL) or any(
        all(DATA.fullmatch(cell.strip()) for cell in column) for column in columns
    )


def first_object(lines: Sequence[str]) -> dict[str, Any] | None:
    """Returns the object in the first line, or None if there is none."""
    try:
        value = json.loads(lines[0])
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _separator(lines: Sequence[str], usual: str) -> str | None:
    """Returns the separator that gives all lines the same number of cells, or None.

    The usual separator is tried first. A comma is rejected if another character fits too, and all commas in the
    resulting cells are decimal commas, as in ``u1;i1;3,5``. It is also rejected if the first cell of each line holds
    the other character, as in ``u1;i1;Smith, J.``.
    """
    fitting = [sign for sign in dict.fromkeys((usual, *SEPARATORS, BLANKS)) if _fits(lines, sign)]
    others = [sign for sign in fitting if sign != ","]
    for separator in fitting:
        if separator != "," or not any(_has_decimal_commas(lines, other) for other in others):
            first = [row[0] for row in _rows(lines, separator)] if separator == "," else []
            if not first or not any(all(other in cell for cell in first) for other in others if other != BLANKS):
                return separator
    return None


def _fits(lines: Sequence[str], separator: str) -> bool:
    widths = {len(row) for row in _rows(lines, separator)}
    return len(widths) == 1 and min(widths) > 1


def _has_decimal_commas(lines: Sequence[str], separator: str) -> bool:
    """Returns whether some cells contain commas, and all of these are decimal commas."""
    cells = [cell.strip() for row in _rows(lines, separator) for cell in row if "," in cell]
    return bool(cells) and all(DECIMAL_COMMA.fullmatch(cell) for cell in cells)


def _rows(lines: Sequence[str], separator: str) -> list[list[str]]:
    """Returns the cells of each line."""
    if separator == BLANKS:
        return [line.split() for line in lines]
    if separator in QUOTED:
        return [row for row in csv.reader(io.StringIO("\n".join(lines)), delimiter=separator) if row]
    return [line.split(separator) for line in lines]


def _find(names: Sequence[str], what: str) -> str:
    """Returns the name of the column that holds users, items, ratings or times.

    The result is empty if no name is usual for such a column.
    """
    folded = {name.strip().casefold(): name.strip() for name in names}
    return next((folded[one] for one in USUAL[what] if one in folded), "")


def is_usual(name: str, what: str) -> bool:
    """Returns whether a name is usual for a column of users, items, ratings or times.

    Args:
        name: the name.
        what: the content of the column: ``user``, ``item``, ``rating`` or ``time``.
    """
    return bool(_find((name,), what))


def _with_columns(settings: dict[str, Any], names: Sequence[str]) -> dict[str, Any] | None:
    """Adds the names of columns to the settings, unless they are the default names.

    The result is None if the column of users or the column of items is missing.
    """
    columns = {what: _find(names, what) for what in USUAL}
    if not columns["user"] or not columns["item"]:
        return None
    defaults = {"user": ("user",), "item": ("item",), "rating": ("rating", ""), "time": ("time", "timestamp", "")}
    return settings | {what: name for what, name in columns.items() if name not in defaults[what]}


def _without_header(settings: dict[str, Any], rows: Sequence[Sequence[str]]) -> dict[str, Any] | None:
    """Returns the settings of a file without a header.

    The settings always name the columns, because they are a guess. Users come first, then items, ratings and times. If
    a column of times is elsewhere, the others keep this order. Only dates count as times in the first two columns,
    because a long number there may be an id.
    """
    width = len(rows[0])
    times = [column for column in range(width) if _are_times(rows, column, DATE if column < 2 else TIME)]
    names = [f"column {number}" for number in range(1, width + 1)]
    place = times[0] if width > 2 and times and 3 not in times else 3
    roles = dict(zip((n for n in range(width) if n != place), UNNAMED[:3], strict=False))
    names = [("time" if column == place else roles.get(column, name)) for column, name in enumerate(names)]
    return settings | {"header": False, "columns": names}


def _are_times(rows: Sequence[Sequence[str]], column: int, form: re.Pattern[str] = TIME) -> bool:
    """Returns whether a column holds dates, or numbers of nine digits or more.

    A column that does not exist holds none.

    Args:
        rows: the rows.
        column: the column, counted from 0.
        form: the form of the times.
    """
    cells = [row[column].strip() for row in rows if len(row) > column]
    return bool(cells) and all(form.fullmatch(cell) for cell in cells)
