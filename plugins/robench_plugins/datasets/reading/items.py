"""Reads the descriptions of items and the profiles of users from tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from robench.api import Item
from robench.api.errors import counted
from robench_plugins.datasets.reading.table import Table, shortened

YEAR = re.compile(r"\s*([0-9]{1,4})(\.0*)?\s*")


def parse_year(cell: str) -> int | None:
    """Returns the year in a cell such as ``1994`` or ``1994.0``.

    The result is None if the cell holds anything else.
    """
    match = YEAR.fullmatch(cell)
    return int(match[1]) if match else None


def distinct_ids(table: Table, name: str, key: str, kind: str) -> list[str]:
    """Returns the ids in a column, after checking that they are distinct.

    Args:
        table: a table with one row per item or user.
        name: the name of the column.
        key: the setting that names the column.
        kind: the kind of thing that has these ids, for messages.

    Raises:
        DataError: if there is no such column, or if an id is empty or repeated.
    """
    ids = table.ids(name, key).tolist()
    seen: set[str] = set()
    for row, one in enumerate(ids):
        if one in seen:
            raise table.error(f"{kind} '{one}' is described twice", row)
        seen.add(one)
    return ids


def read_items(
    table: Table,
    ids: Sequence[str],
    title: str,
    year: str,
    genres: str,
    description: str,
    split: Callable[[str], list[str]],
) -> dict[str, Item]:
    """Maps the id of every item to the item's description.

    Args:
        table: a table with one row per item.
        ids: the id of each row.
        title: the column of titles. A missing column counts as empty, here and below.
        year: the column of years.
        genres: the column of genres.
        description: the column of descriptions.
        split: a function from a cell of genres to the genres.
    """
    columns = [table.texts(name) for name in (title, year, genres, description)]
    return {
        one: Item(name, parse_year(when), tuple(filter(None, map(str.strip, split(kinds)))), text)
        for one, name, when, kinds, text in zip(ids, *columns, strict=True)
    }


def describe_items(table: Table, title: str, year: str, others: Sequence[str]) -> tuple[str, ...]:
    """Returns notes about missing descriptions, or about years that are not read.

    Args:
        table: a table with one row per item.
        title: the column of titles.
        year: the column of years.
        others: the columns of genres and descriptions.
    """
    columns = (title, year, *others)
    if missing := describe_missing(table.path.name, columns, table.names, table.advice.column("title")):
        return missing
    wrong = [cell for cell in table.texts(year) if cell.strip() and parse_year(cell) is None]
    return describe_years(table.path.name, wrong, "numbers")


def describe_missing(file: str, wanted: Sequence[str], names: Sequence[str], advice: str = "") -> tuple[str, ...]:
    """Returns a line about a file that has none of the wanted columns.

    The result is empty if the file has at least one of them.

    Args:
        file: the name of the file.
        wanted: the columns of titles, years and other texts.
        names: the columns of the file.
        advice: advice on a setting, or an empty string.
    """
    if any(name in names for name in wanted):
        return ()
    hint = "; ".join(filter(None, (f"its columns: {', '.join(names)}", advice)))
    return (f"{file} has no column {', '.join(wanted[:-1])} or {wanted[-1]} ({hint})",)


def describe_years(file: str, wrong: Sequence[str], form: str) -> tuple[str, ...]:
    """Returns a line about cells from which no year was read.

    The result is empty if there are no such cells.

    Args:
        file: the name of the file.
        wrong: the cells that are not empty, and hold no year.
        form: what these cells should be, such as ``numbers``.
    """
    if not wrong:
        return ()
    return (f"{counted(len(wrong), 'year')} of {file} left out, such as {shortened(wrong[0])}: no {form}",)


def read_profiles(table: Table, ids: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """Maps the id of every user to a text about the user.

    A text such as ``age: 24, occupation: nurse`` has the cells in the order of the columns, without empty cells.
    """
    rows = zip(*(table.texts(name) for name in names), strict=True) if names else [()] * len(table)
    texts = [", ".join(f"{name}: {cell}" for name, cell in zip(names, row, strict=True) if cell) for row in rows]
    return dict(zip(ids, texts, strict=True))
