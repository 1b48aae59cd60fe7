"""Recognises a header in a file that is said to have none."""

from __future__ import annotations

from collections.abc import Iterable

from robench.api import DataError, Ids
from robench_plugins.datasets.reading.recognition import is_usual
from robench_plugins.datasets.reading.table import Table


def refuse_names(table: Table, user: str, item: str, numeric: Iterable[str], hint: str) -> None:
    """Checks that the first row of a file holds data and not the names of columns.

    Args:
        table: the table of one file.
        user: the column of users.
        item: the column of items.
        numeric: the columns of ratings and times. Columns that the table lacks are ignored.
        hint: advice for a file with a header.

    Raises:
        DataError: if the first user and the first item are names of their columns or usual names, or if the first
            rating or time has no digit and the second one has.
    """
    named = all(
        cell.casefold() == column.casefold() or is_usual(cell, key)
        for cell, column, key in ((_cell(table, user, 0), user, "user"), (_cell(table, item, 0), item, "item"))
    )
    words = len(table) > 1 and any(
        _cell(table, column, 0) and not _has_digit(_cell(table, column, 0)) and _has_digit(_cell(table, column, 1))
        for column in numeric
        if column in table
    )
    if named or words:
        raise _looks_like_header(table, hint)


def refuse_words(table: Table, users: Ids, items: Ids, hint: str) -> None:
    """Checks that the first row is not the only one in which ids are words.

    Args:
        table: the table.
        users: the user of each row.
        items: the item of each row.
        hint: advice for a file with a header.

    Raises:
        DataError: if all users and items are whole numbers except those of the first row.
    """
    first = [ids.names[int(ids.codes[0])] for ids in (users, items)]
    if all(not one.isdecimal() and _is_alone(ids, one) for ids, one in zip((users, items), first, strict=True)):
        raise _looks_like_header(table, hint)


def _looks_like_header(table: Table, hint: str) -> DataError:
    cells = [_cell(table, name, 0) for name in table.names]
    return table.error(f"the first row looks like a header: {', '.join(cells)}", 0, hint)


def _cell(table: Table, column: str, row: int) -> str:
    """Returns a cell as a string without spaces around it.

    A missing cell gives an empty string.
    """
    value = table.data[column][row].as_py()
    return "" if value is None else str(value).strip()


def _has_digit(cell: str) -> bool:
    return any(map(str.isdecimal, cell))


def _is_alone(ids: Ids, name: str) -> bool:
    """Returns whether there are ids other than ``name``, all of them whole numbers."""
    return len(ids.names) > 1 and all(other == name or other.isdecimal() for other in ids.names)
