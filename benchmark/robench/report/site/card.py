"""Sums up one board for the start page of a site."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from robench.api.errors import counted
from robench.report.headline import NO_ATTACK
from robench.report.leaderboard import explain_missing_attacks, format_title
from robench.report.numbers import format_number, format_rank, format_victim
from robench.report.page.tested import write_tested
from robench.report.sections import write_warning
from robench.tables.build import Tables
from robench.tables.leaderboard import LeaderboardRow, LeaderboardTable
from robench.tables.results import grouped

NO_TABLE = "The board has no ranking table."
MOST_MODELS = 3  # the most models of which a table that ranks within models names the best row


@dataclass(frozen=True)
class Card:
    """The summary of one board on the start page.

    Args:
        folder: the name of the board's folder below ``boards/``.
        suite: the name of the suite.
        tested: sentences on what was tested, which the board's own page has too.
        headlines: the title of every ranking table, with a sentence on its best rows.
        rows: a sentence with the number of rows, ranked rows and cells.
        warning: a sentence about failed and missing cells, or an empty string.
        date: the last day on which a cell was measured, such as ``2026-11-30``, or an empty string if the records do
            not state days.
        root: the sha256 of MANIFEST.json, which covers all files of the board.
        files: the number of files that the root covers.
        cells: the number of records that the root covers.
    """

    folder: str
    suite: str
    tested: Sequence[str]
    headlines: Sequence[tuple[str, str]]
    rows: str
    warning: str
    date: str
    root: str
    files: int
    cells: int


def build_card(tables: Tables, *, folder: str, root: str, files: int, cells: int) -> Card:
    """Returns the card of a board.

    The arguments after ``tables`` are those of ``Card``.
    """
    dates = tables.origin.dates
    return Card(
        folder,
        tables.suite,
        write_tested(tables)[:2],
        [(format_title(table), _describe_best(table)) for table in tables.leaderboard]
        or [("", explain_missing_attacks(tables) or NO_TABLE)],
        _count_rows(tables),
        write_warning(tables.incomplete),
        dates[-1] if dates else "",
        root,
        files,
        cells,
    )


def order_cards(cards: Iterable[Card]) -> list[Card]:
    """Returns cards with the newest first.

    Boards without a date come last. Cards of one date are sorted by the name of the suite.
    """
    by_name = sorted(cards, key=lambda card: (card.suite.casefold(), card.folder))
    return sorted(by_name, key=lambda card: card.date, reverse=True)


def _describe_best(table: LeaderboardTable) -> str:
    """Returns a sentence on the best row of a table or of each model."""
    ranked = [row for row in table.rows if row.rank is not None]
    if not ranked:
        reason = "" if any(row.worst is not None for row in table.rows) else f": {NO_ATTACK}"
        return f"No row has a rank{reason}."
    if table.threat.ranks_models:
        return f"Best by worst case: {_describe_row(table, ranked[0])}, rank {format_rank(ranked[0])}."
    return f"Best by worst case, within each model: {'; '.join(_best_of_models(table, ranked))}."


def _best_of_models(table: LeaderboardTable, ranked: Sequence[LeaderboardRow]) -> Iterator[str]:
    models = list(grouped(ranked, lambda row: row.key.model_key).values())
    for rows in models[:MOST_MODELS]:
        yield _describe_row(table, rows[0])
    if len(models) > MOST_MODELS:
        yield f"and {counted(len(models) - MOST_MODELS, 'more model')}"


def _describe_row(table: LeaderboardTable, row: LeaderboardRow) -> str:
    """Returns a row with its value under attack and its clean value."""
    values = f"{format_number(row.worst)} under attack, {format_number(row.clean)} without"
    return f"{format_victim(row.key, row.own_weights)} ({values})"


def _count_rows(tables: Tables) -> str:
    """Returns a sentence with the number of rows and cells."""
    rows = tables.csv_rows()
    ranked = sum(row.rank is not None for row in rows)
    counts = ", ".join(f"{count} {status}" for status, count in sorted(tables.counts.items()))
    named = counted(len(tables.leaderboard), "table")
    return f"{counted(len(rows), 'row')} in {named}, {ranked} with a rank. Cells: {counts}."
