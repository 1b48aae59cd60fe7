"""Shows one record, for ``robench show``."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from robench.api.codec import encode
from robench.api.errors import counted
from robench.api.escapes import MOST_TRACEBACK, mark, shortened, visible
from robench.report.fake_users import describe_fakes
from robench.report.lookup import StoredCell, read_cell, summarise
from robench.report.user_lists import show_user

_PARTS = ("metrics", "achieved", "detection", "certificate", "privacy", "membership", "reading", "diagnostics", "fit")
_HEAD = ("dataset", "split", "model_label", "defense_label", "lambda", "attack_label", "epsilon", "seed")


def show_cell(path: Path, user: str | None, console: Console) -> None:
    """Prints a record, or the list of one user in the cell if ``user`` is given.

    If ``path`` is a folder of results, the function prints how many of its cells have each status.

    Args:
        path: ``results/<suite>/<id>``, the path of a record, the id of a cell below ``results/``, the first digits of
            the id, or a folder of results.
        user: the id of a user, or None. The user's ranks and top list are shown for this cell and its clean cell.
        console: the console to print on.

    Raises:
        UserError: if there is no such record or user, if several records match, or if the record or the plan is
            damaged.
    """
    if path.is_dir() and path.name != "cells":
        console.print(summarise(path), highlight=False, soft_wrap=True)
        return
    stored = read_cell(path)
    if user is None:
        _show_record(stored, console)
    else:
        show_user(stored, user, console)


def _show_record(stored: StoredCell, console: Console) -> None:
    record, columns = stored.record, {} if stored.cell is None else encode(stored.cell)
    table = Table("", "", show_header=False, title=f"cell {record['id']}", title_justify="left")
    table.add_row("status", str(record["status"]))
    for name in _HEAD:
        table.add_row(name, str(columns.get(name, "")))
    titles = stored.users().get(f"{stored.role}/title")

    def title(item: int) -> str:
        return str(item) if titles is None else visible(str(titles[item]))

    targets = stored.targets()
    if targets:
        table.add_row("targets", "; ".join(map(title, targets)))
    if record["status"] == "ok":
        for name, value in describe_fakes(stored.store.arrays(record), targets, title):
            table.add_row(name, value)
    for name in (*_PARTS, "provenance"):
        for key, part in record.get(name, {}).items():
            value = part["value"] if name == "metrics" else part
            table.add_row(f"{name}: {key}", "\n".join(value_lines(value)))
    for row in record.get("titles", []):
        similarity = f", similarity {row['similarity']:.2f}" if "similarity" in row else ""
        change = (
            f"{visible(row['before'])}\n→ {mark_invisible(row['after'])} ({counted(row['edits'], 'edit')}{similarity})"
        )
        table.add_row(f"title of item {row['item']}", change)
    if record.get("reason"):
        table.add_row("reason", visible(record["reason"]))
    console.print(table)
    if error := record.get("error") or record.get("rerun_error"):
        text = error["traceback"] or error["message"]
        console.print(shortened(text, MOST_TRACEBACK), highlight=False, markup=False)


def value_lines(value: object) -> list[str]:
    """Returns a value of a record as lines of text.

    A mapping has a line per entry, such as ``python: 3.11.7``. The entries of a list are joined with commas.
    """
    if isinstance(value, Mapping):
        return [f"{key}: {', '.join(value_lines(part))}" for key, part in value.items()] or ["none"]
    if isinstance(value, list | tuple):
        return [", ".join("; ".join(value_lines(part)) for part in value) or "none"]
    if isinstance(value, float):
        return [f"{value:.6g}"]
    named = {None: "none", True: "yes", False: "no"}
    return [named[value] if value is None or isinstance(value, bool) else str(value)]


def mark_invisible(title: str) -> str:
    """Returns a title in which invisible and non-Latin characters are marked.

    For example: ``He‹U+200B›at``.
    """
    return "".join(char if char.isascii() and char.isprintable() else f"{_mark(char)}" for char in title)


def _mark(char: str) -> str:
    """Returns a character as ``mark_invisible`` shows it.

    An invisible character is replaced by its code. A visible character is followed by its code, unless it is based on
    an ASCII character. Therefore, Latin letters with accents are returned unchanged.
    """
    plain = unicodedata.normalize("NFKD", char)[0].isascii() and char.isprintable()
    return char if plain else f"{char if char.isprintable() else ''}{mark(char)}"
