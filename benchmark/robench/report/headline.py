"""Chooses what one screen shows of the ranking tables.

The screen shows the ranked rows of each table. If there are too many, it shows the best row of each model, or the best
rows of all models. A line per reason names the rows without a rank.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from robench.api.errors import counted
from robench.report.blocks import Grid
from robench.report.leaderboard import format_change, name_worst_case
from robench.report.numbers import format_interval, format_number, format_rank, format_victim
from robench.spec import RowKey
from robench.tables.leaderboard import LeaderboardRow, LeaderboardTable
from robench.tables.results import grouped
from robench.tables.rows import Row

OWN_LINES = 4  # the lines of a table without its rows: title, header, the number of further rows, and an empty line
NO_RANK = "No row has a rank, so this table says nothing about who is robust."
NO_ATTACK = "no attack was measured in all seeds"
MOST_NAMES = 3  # the most rows that a line about verdicts names for each word
DECIDED = ("gains", "loses")  # the first words of verdicts that are decided
UNRANKED = "unranked: "  # the start of a flag about a missing attack, or about seeds that are not common
NOT_ABOVE = "not above popularity"  # the flag of a row that does not beat the baseline
# The flags that may take the rank of a row. ``docs/reference/results.md`` explains them.
RANKLESS = (
    NOT_ABOVE,
    "filter not attacked",
    "budget not spent",
    "low power",
    "gaps not judged",
    "hidden gradients",
    "not additive",
    "scores bypass the inputs",
    "hidden context",
    "other inputs than the wrapped model",
    "random without a declaration",
    "random under attack",
    "scores depend on gradients",
    "wrong gradients",
    "wrong gradients of tables",
    "scores ignore the inputs",
    "scores hardly move",
    "saturated scores",
    "not checked",
    "frozen attack",
    "no better than random",
    "black-box beats white-box",
)


def choose_rows(table: LeaderboardTable, most: int) -> list[LeaderboardRow]:
    """Returns the ranked rows that the headline of a table shows.

    If there are too many ranked rows, only the best ones are shown. If models are not ranked against each other, each
    model then has at most one row. The list has at least one row if any row is ranked.

    Args:
        table: the table.
        most: the number of rows that fit on the screen. One more row is shown if no other row is left out.
    """
    ranked = [row for row in table.rows if row.rank is not None]
    if len(ranked) <= most + 1:  # A line that counts one more row would need as much space as this row.
        return ranked
    if not table.threat.ranks_models:
        ranked = [rows[0] for rows in grouped(ranked, lambda row: row.key.model_key).values()]
    return ranked[: max(most, 1)]


def count_rows(tables: Sequence[LeaderboardTable], height: int) -> int:
    """Returns how many rows of each table fit on a screen.

    Args:
        tables: the tables.
        height: the number of lines on the screen.
    """
    if not tables:
        return 0
    others = sum(OWN_LINES + len(explain_unranked(table)) for table in tables)
    return max(1, (height - others) // len(tables))


def build_headline_grid(table: LeaderboardTable, rows: Iterable[LeaderboardRow], detail: int) -> Grid:
    """Returns the headline of a table as a grid.

    Args:
        table: the table.
        rows: the rows of the table to show.
        detail: the amount of detail. Level 2 shows all intervals and verdicts. Level 1 leaves out the clean interval
            and the part of a verdict after the semicolon. Level 0 shows means and one word per verdict.
    """
    chosen = list(rows)
    change = "shift" if table.targets is not None else "rise" if table.rise else "drop"
    head = ["rank", "model, defence", f"clean {table.metric}", name_worst_case(table), change]
    body = [
        [
            format_rank(row),
            format_victim(row.key, row.own_weights if detail else None),
            format_interval(row.clean_interval) if detail > 1 else format_number(row.clean),
            format_interval(row.worst_interval) if detail else format_number(row.worst),
            _format_change(table, row, detail),
            _verdict(row.verdict, detail),
        ]
        for row in chosen
    ]
    return Grid([*head, "verdict"], body)


def _format_change(table: LeaderboardTable, row: LeaderboardRow, detail: int) -> str:
    """Returns the drop, the rise or the shift, which may have an interval."""
    if table.targets is None:
        return format_change(table, row)
    return format_interval(row.shift) if detail else format_number(row.shift and row.shift.mean)


def _verdict(verdict: str, detail: int) -> str:
    """Returns a verdict, shortened at the lower levels of detail.

    Level 1 keeps the part before the semicolon, and level 0 keeps the first word.
    """
    return verdict.partition((" ", ";", "\n")[detail])[0] or "–"


def describe_rest(table: LeaderboardTable, rows: Sequence[LeaderboardRow]) -> list[str]:
    """Returns lines about the ranked rows that the headline leaves out.

    The list is empty if the headline shows every ranked row. Otherwise, the first line counts the other rows. If
    rows have verdicts, a second line sums them up.

    Args:
        table: the table.
        rows: the rows that the headline shows.
    """
    rest = sum(row.rank is not None for row in table.rows) - len(rows)
    if rest <= 0:
        return []
    best = "" if table.threat.ranks_models else "only the best row of a model is shown; "
    return [f"{best}{counted(rest, 'more ranked row')}: --tables ranking", *_sum_up_verdicts(table)]


def _sum_up_verdicts(table: LeaderboardTable) -> list[str]:
    """Returns a line that counts the verdicts and names rows that gain or lose.

    The list is empty if no row has a verdict.
    """
    by_word = grouped((row for row in table.rows if row.verdict), lambda row: row.verdict.partition(" ")[0])
    parts = []
    for word in sorted(by_word):
        rows = by_word[word]
        more = "; ..." if len(rows) > MOST_NAMES else ""
        names = "; ".join(format_victim(row.key) for row in rows[:MOST_NAMES])
        parts.append(f"{len(rows)} {word}" + (f" ({names}{more})" if word in DECIDED else ""))
    return [f"verdicts: {', '.join(parts)}"] if parts else []


def explain_unranked(table: LeaderboardTable) -> list[str]:
    """Returns a line per reason for a missing rank, and one about the baseline.

    For example: ``no rank, low power: lstm (3 rows); mf, none``.
    """
    unranked = [row for row in table.rows if row.rank is None and not row.is_baseline]
    lines = [
        f"no rank, {reason}: {list_rows([row.key for row in rows])}"
        for reason, rows in grouped(unranked, find_reason).items()
    ]
    baselines = [row for row in table.rows if row.is_baseline]
    values = [f"{row.key.model_label}, clean {table.metric} {format_number(row.clean)}" for row in baselines]
    return [*lines, *([f"baseline: {'; '.join(dict.fromkeys(values))}"] if values else [])]


def find_reason(row: LeaderboardRow | Row) -> str:
    """Returns a short reason why a row has no rank, mostly from its flags."""
    return " and ".join(list_reasons(row))


def list_reasons(row: LeaderboardRow | Row) -> list[str]:
    """Returns the reasons why a row has no rank.

    All missing attacks together are one reason.
    """
    names = list(dict.fromkeys(note.flag for note in row.notes))
    missing = [name.removeprefix(UNRANKED) for name in names if name.startswith(UNRANKED)]
    more = [f"{missing[0]}, and {len(missing) - 1} more"] if len(missing) > 1 else missing
    return [*more, *(name for name in names if name in RANKLESS)] or [row.flags or NO_ATTACK]


def list_rows(keys: Sequence[RowKey]) -> str:
    """Returns a list of rows as text, with one entry per model.

    A model with several rows is listed with their number, such as ``lstm (3 rows)``.
    """
    by_model = grouped(keys, lambda key: key.model_label).items()
    return "; ".join(
        f"{label} ({counted(len(some), 'row')})" if len(some) > 1 else format_victim(some[0])
        for label, some in by_model
    )
